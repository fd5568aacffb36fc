// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
)

var sample = []finding.Finding{
	{Rule: "R-2", Severity: finding.Error, Object: "b", File: "b", Line: 3, Message: "broken | \x1b[2J", Fix: "mend it"},
	{Rule: "R-1", Severity: finding.Warning, Object: "a", File: "a", Message: "odd @team"},
	{Rule: "R-9", Severity: finding.Critical, Visibility: finding.Private, Object: "leaked-bucket",
		File: "secret/file", Message: "key AKIA", Fix: "rotate AKIA", Owners: []string{"alice"}},
}

func render(t testing.TB, format string, all []finding.Finding, opts Options) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, format, all, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	want := `private:1
        critical  R-9  details are in the private report, ask alice
a
        warning   R-1  odd @team
b
     3  error     R-2  broken | ` + "\ufffd" + `[2J
        fix: mend it
lint: 1 critical, 1 error, 1 warning
`
	if got := render(t, "text", sample, Options{Title: "lint"}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := render(t, "text", sample, Options{Title: "lint", Color: true}); !strings.Contains(got, "\x1b[31merror   \x1b[0m") {
		t.Errorf("no colour in %q", got)
	}
}
