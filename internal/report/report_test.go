// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
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

func render(t *testing.T, format string, opts Options) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, format, sample, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	id := sample[2].Fingerprint()
	want := "private:" + id + `
        critical  R-9  details are in the private report
a
        warning   R-1  odd @team
b
     3  error     R-2  broken | ` + "\ufffd" + `[2J
        fix: mend it
lint: 1 critical, 1 error, 1 warning
`
	if got := render(t, "text", Options{Title: "lint"}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := render(t, "text", Options{Title: "lint", Color: true}); !strings.Contains(got, "\x1b[31merror   \x1b[0m") {
		t.Errorf("no colour in %q", got)
	}
}

func TestPrivateFindingsShowNothing(t *testing.T) {
	for _, format := range Formats() {
		got := render(t, format, Options{Title: "lint"})
		for _, secret := range []string{"leaked-bucket", "secret/file", "AKIA"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s output shows %q:\n%s", format, secret, got)
			}
		}
		if !strings.Contains(got, sample[2].Fingerprint()) {
			t.Errorf("%s output does not carry the id", format)
		}
	}
}

func TestJSON(t *testing.T) {
	var got jsonReport
	if err := json.Unmarshal([]byte(render(t, "json", Options{Title: "lint", Commit: "c0ffee"})), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != SchemaVersion || got.Commit != "c0ffee" || len(got.Findings) != 3 || got.Counts["error"] != 1 {
		t.Errorf("%+v", got)
	}
	if got.Findings[2].ID != sample[0].Fingerprint() {
		t.Errorf("id %q", got.Findings[2].ID)
	}
}

func TestMarkdownEscapesWhatOthersTyped(t *testing.T) {
	got := render(t, "markdown", Options{Title: "lint"})
	if !strings.Contains(got, "| `b:3` | error: broken \\| \ufffd\\[2J<br>fix: mend it | R-2 |") {
		t.Errorf("got\n%s", got)
	}
	if strings.Contains(got, "@team") {
		t.Errorf("a mention survived:\n%s", got)
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := Write(&strings.Builder{}, "yaml", nil, Options{}); err == nil || !strings.Contains(err.Error(), "json, markdown, text") {
		t.Errorf("err = %v", err)
	}
}

func TestCountsOfNothing(t *testing.T) {
	if Counts(nil) != "no findings" {
		t.Error(Counts(nil))
	}
}
