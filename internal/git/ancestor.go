// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
)

// Ancestor tells whether older is newer or one of the commits that it is built on, in the
// repository at dir. Both are full ids. A commit that is not there, because the clone is
// too shallow for instance, is an error and never a no.
func Ancestor(ctx context.Context, dir, older, newer string) (bool, error) {
	for _, id := range []string{older, newer} {
		if !isID(id) {
			return false, fmt.Errorf("compare commits: %q is not the full id of one", id)
		}
	}
	_, err := run(ctx, dir, "merge-base", "--is-ancestor", older, newer)
	if f := (*failure)(nil); errors.As(err, &f) && f.code == 1 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare commits %s and %s: %w", older, newer, err)
	}
	return true, nil
}
