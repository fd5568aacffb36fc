// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import "testing"

func TestTaken(t *testing.T) {
	tests := map[string]string{
		"test": "trigger", "test-all": "trigger", "retest-required": "trigger", "status": "milestonestatus", "payload-job": "openshift",
		"lgtm": "lgtm", "cherry-pick": "cherrypicker", "help": "help", "sig": "label", "hold": "hold", "approve": "approve",
		"why": "", "freeze": "", "approved": "", "infra": "", "": "",
	}
	for word, want := range tests {
		if got := Taken(word); got != want {
			t.Errorf("C-15: Taken(%q) = %q, want %q", word, got, want)
		}
	}
}
