// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"testing"

	"sigs.k8s.io/steward/internal/thread"
)

func TestBlobLinkStaysInsideItsParentheses(t *testing.T) {
	tests := []struct {
		file string
		line int
		want string
	}{
		{"dns/OWNERS", 3, "https://h/o/r/blob/c/dns/OWNERS#L3"},
		{"OWNERS", 0, "https://h/o/r/blob/c/OWNERS"},
		{"a) [x](http:/OWNERS", 1, "https://h/o/r/blob/c/a%29%20%5Bx%5D%28http:/OWNERS#L1"},
		{"<a>\n#?%/OWNERS", 0, "https://h/o/r/blob/c/%3Ca%3E%0A%23%3F%25/OWNERS"},
	}
	for _, tt := range tests {
		if got := blobLink("https://h", thread.Repo{Org: "o", Name: "r"}, "c", tt.file, tt.line); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.file, got, tt.want)
		}
	}
}
