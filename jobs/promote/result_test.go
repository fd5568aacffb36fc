// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/copier"
)

// TestRemedy: what is advised is about who failed. That of a source is told apart by the copier, whose test has it.
func TestRemedy(t *testing.T) {
	for want, err := range map[string]error{
		"run again: only":                 fmt.Errorf("x: %w", context.Canceled),
		"run again when the mirror works": errors.New("503"),
		"when the mirror works: only":     copier.ErrGivenUp,
	} {
		if got := remedy(err); !strings.Contains(got, want) {
			t.Errorf("%v: %s", err, got)
		}
	}
}
