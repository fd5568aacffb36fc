// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"context"
	"time"
)

// Watchdog returns a context that ends, with late as its cause, when alive was not called for so long. stop ends it too, and is
// to be called when it is not needed any more. alive and stop are safe for concurrent use; alive does nothing after the end.
func Watchdog(ctx context.Context, limit time.Duration, late error) (watched context.Context, alive, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(late) })
	return watched, func() {
			if watched.Err() == nil {
				timer.Reset(limit)
			}
		}, func() {
			timer.Stop()
			cancel(nil)
		}
}
