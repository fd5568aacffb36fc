// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"strings"
	"testing"
)

func TestAncestor(t *testing.T) {
	dir, git := repository(t)
	first := commit(t, dir, git, map[string]string{"a": "1"})
	second := commit(t, dir, git, map[string]string{"a": "2"})
	git("checkout", "-q", "-b", "aside", first)
	aside := commit(t, dir, git, map[string]string{"a": "3"})
	for _, tt := range []struct {
		older, newer string
		want         bool
	}{{first, second, true}, {second, second, true}, {second, first, false}, {aside, second, false}} {
		if got, err := Ancestor(t.Context(), dir, tt.older, tt.newer); got != tt.want || err != nil {
			t.Errorf("Ancestor(%s, %s) = %t, %v", tt.older, tt.newer, got, err)
		}
	}
	for _, unknown := range []string{strings.Repeat("0", 40), "HEAD", "--help"} {
		if got, err := Ancestor(t.Context(), dir, unknown, second); got || err == nil {
			t.Errorf("Ancestor(%s) = %t, %v", unknown, got, err)
		}
	}
}
