// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestWatchdog: it ends after the last sign of life, with its own error, and before that only with its context or stop.
func TestWatchdog(t *testing.T) {
	errLate := errors.New("late")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, alive, stop := Watchdog(t.Context(), time.Minute, errLate)
		for range 3 {
			time.Sleep(50 * time.Second)
			alive()
		}
		<-ctx.Done()
		if took := time.Since(began); took != 210*time.Second || !errors.Is(context.Cause(ctx), errLate) {
			t.Errorf("%v after %v", context.Cause(ctx), took)
		}
		stop()

		ctx, alive, stop = Watchdog(t.Context(), time.Minute, errLate)
		stop()
		alive()
		time.Sleep(time.Hour)
		if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}

		outer, cancel := context.WithCancel(t.Context())
		ctx, _, stop = Watchdog(outer, time.Minute, errLate)
		defer stop()
		cancel()
		if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}
