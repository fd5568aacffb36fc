// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"slices"
	"testing"

	"sigs.k8s.io/steward/internal/awsfake"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/jobs"
)

// TestAccount: an account of AWS is who the settings say it is, or the third proof fails.
func TestAccount(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	address := awsfake.Start(t, awsfake.New(awsfake.Options{}))
	reach := jobs.JanitorReach{
		Endpoint: address, Number: "111122223333", AWS: settings.JanitorAWS{Role: "arn:aws:iam::{id}:role/janitor"},
	}
	kinds, a, err := Accounts()[settings.AccountAWS](t.Context(), reach, "aws-01")
	if err != nil {
		t.Fatal(err)
	}
	if a.ID != "aws-01" || a.Number != reach.Number || len(a.Within) == 0 || len(kinds) < 50 {
		t.Errorf("%d kinds, account %+v", len(kinds), a)
	}
	if !slices.ContainsFunc(a.Within, func(w string) bool { return w[:2] == "r-" }) {
		t.Errorf("it lies in %v, want up to the root", a.Within)
	}
	reach.Number = "444455556666"
	if kinds, a, err := Accounts()[settings.AccountAWS](t.Context(), reach, "aws-01"); err == nil && (a.ID == "aws-01" || kinds != nil) {
		t.Errorf("another account passes for it: %+v", a)
	}
}
