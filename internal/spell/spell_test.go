// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package spell

import "testing"

func TestNearest(t *testing.T) {
	verbs := []string{"why", "freeze", "unfreeze", "frozen", "help", "drift"}
	tests := map[string]string{
		"wyh": "why", "whi": "why", "wy": "why", "xyz": "", "w": "", "": "", "frezee": "freeze", "freez": "freeze",
		"unfrezze": "unfreeze", "froezn": "frozen", "hlep": "help", "helpme": "help", "drifting": "", "why": "why",
		"freezefreezefreezefreezefreezefreezefreeze": "",
	}
	for word, want := range tests {
		if got := Nearest(word, verbs); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "ba", 1}, {"dns-admin", "dns-admins", 1}, {"kitten", "sitting", 3}} {
		if got := Distance(c.a, c.b); got != c.want || Distance(c.b, c.a) != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
