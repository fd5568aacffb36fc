// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

var sample = []finding.Finding{
	{Rule: "R-2", Severity: finding.Error, Object: "b", File: "b", Line: 3, Message: "broken | \x1b[2J", Fix: "mend it"},
	{Rule: "R-1", Severity: finding.Warning, Object: "a", File: "a", Message: "odd @team"},
	{Rule: "R-9", Severity: finding.Critical, Visibility: finding.Private, Object: "leaked-bucket",
		File: "secret/file", Message: "key AKIA", Fix: "rotate AKIA", Owners: []string{"alice"}},
}

// drift is what an audit finds: a difference, and one that is acknowledged.
var drift = []finding.Finding{
	{Rule: "GCS-X", Severity: finding.Error, Object: "gs://b", Field: "lifecycle", File: "infra.yaml", Line: 12, Message: "it differs",
		Declared: "60 days", Fix: "apply", Owners: []string{"dora", "alice"}, FirstSeen: morning.AddDate(0, 0, -3), LastSeen: morning},
	{Rule: "GCS-X", Severity: finding.Warning, Object: "gs://a", File: "infra.yaml", Line: 4, Message: "it is not declared", Observed: "exists",
		Owners: []string{"dora", "alice"}, FirstSeen: morning, LastSeen: morning,
		Acknowledged: &finding.Acknowledgement{By: "dora", Reason: "moves", Expires: "2027-01-31"}},
}

func render(t testing.TB, format string, all []finding.Finding, opts Options) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, format, all, opts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// RP-10
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

// RP-10, RP-5, RP-6
func TestTextOfAnAudit(t *testing.T) {
	want := `infra.yaml
    12  error     GCS-X  it differs  (since 3 days)
        gs://b lifecycle  ` + drift[0].Fingerprint() + `
        - declared: 60 days
        + observed: (nothing)
        fix: apply
     4  warning   GCS-X  it is not declared (acknowledged by dora until 2027-01-31: moves)
coverage: gcs 409 of 412 units, 4211 objects; images 96 units, 38114 objects; dns 9 units, 1204 objects
  not read: gcs projects/k8s-infra-sandbox (denied): storage.buckets.list is not granted
  not read: gcs gs://k8s-release-dev iam (throttled): 429 over 5 attempts
  not read: gcs gs://k8s-conform iam (timed-out)
audit run: 1 error, 1 acknowledged; incomplete: 3 of 517 units not read whole
`
	if got := render(t, "text", drift, audited(false)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	opts := audited(false)
	opts.Color = true
	for _, painted := range []string{"\x1b[2m     4  warning", "\x1b[31m        - declared", "\x1b[33m  not read", "\x1b[2m  (since 3 days)"} {
		if got := render(t, "text", drift, opts); !strings.Contains(got, painted) {
			t.Errorf("no %q in\n%s", painted, got)
		}
	}
}

// RP-10
func TestTextBoundsGaps(t *testing.T) {
	opts := audited(true)
	for n := range 70 {
		opts.Coverage[0].Gaps = append(opts.Coverage[0].Gaps, finding.Gap{Scope: fmt.Sprint("gs://", n), Reason: finding.Denied})
	}
	got := render(t, "text", nil, opts)
	if strings.Count(got, "not read:") != 20 || !strings.Contains(got, "\n  and 50 more\naudit run: no findings; incomplete: 70 gaps in what was read\n") {
		t.Error(got)
	}
}

// RP-6: in no format a run that did not read everything looks like a clean one.
func TestIncompleteShows(t *testing.T) {
	for format, text := range map[string]string{
		"text": "incomplete: 3 of 517", "markdown": "**Incomplete.**", "json": `"complete": false`,
		"junit": `<error type="incomplete"`, "sarif": `"executionSuccessful": false`, "html": "Incomplete: 3 of 517",
	} {
		if got := render(t, format, nil, audited(false)); !strings.Contains(got, text) {
			t.Errorf("%s has no %q", format, text)
		}
		if got := render(t, format, nil, audited(true)); strings.Contains(got, text) {
			t.Errorf("%s of a complete run has %q", format, text)
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(&strings.Builder{}, "yaml", nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "html, json, junit, markdown, sarif, text") {
		t.Errorf("err = %v", err)
	}
	s, err := Prepare(nil, Options{})
	if err != nil || s.Write(io.Discard, "yaml") == nil {
		t.Errorf("a sheet wrote yaml, %v", err)
	}
}

// RP-8
func TestAddressesAreChecked(t *testing.T) {
	for _, address := range []string{"javascript:alert(1)", "github.com/x/y", "https://", "https://x/" + strings.Repeat("y", 500)} {
		for _, opts := range []Options{{Links: address}, {Full: address}} {
			var b strings.Builder
			err := errors.Join(Write(&b, "text", sample, opts))
			if err == nil || b.Len() > 0 {
				t.Errorf("%.30q: %v, wrote %d bytes", address, err, b.Len())
			}
			if WritePrivate(&b, "text", sample, opts) == nil {
				t.Errorf("%.30q in a private report", address)
			}
		}
	}
}

// RP-8
func TestLinksStayInTheRepository(t *testing.T) {
	const commit = "0f9c2a7d5e0b41c8a6f1d9e3b7c2850f4a6e9d1c"
	tests := []struct {
		commit, file string
		line         int
		want         string
	}{
		{commit, "dns/a b.yaml", 3, "https://h/r/blob/" + commit + "/dns/a%20b.yaml#L3"},
		{commit, "a(1)?#%.yaml", 0, "https://h/r/blob/" + commit + "/a%281%29%3F%23%25.yaml"},
		{commit, "../../../evil", 1, ""},
		{commit, "/etc/passwd", 1, ""},
		{commit, "", 1, ""},
		{"../../evil", "a", 1, ""},
		{"", "a", 1, ""},
	}
	for _, tt := range tests {
		s := sheet{Options: Options{Links: "https://h/r/", Commit: tt.commit}}
		if got := s.link(finding.Finding{File: tt.file, Line: tt.line}); got != tt.want {
			t.Errorf("%s at %q: %s, want %s", tt.file, tt.commit, got, tt.want)
		}
	}
}

// RP-9
func TestAge(t *testing.T) {
	s := sheet{Options: Options{Ended: morning}}
	for days, want := range map[int]string{-4: "since today", 0: "since today", 1: "since 1 day", 60: "since 60 days", 61: "since 2 months", 729: "since 24 months", 800: "since 2 years"} {
		if got := s.age(finding.Finding{FirstSeen: morning.AddDate(0, 0, -days), LastSeen: morning.Add(time.Hour)}); got != want {
			t.Errorf("%d days: %s, want %s", days, got, want)
		}
	}
	if got := s.age(finding.Finding{FirstSeen: morning, LastSeen: morning}); got != "new" {
		t.Error(got)
	}
	if got := s.age(finding.Finding{}) + (&sheet{}).age(finding.Finding{FirstSeen: morning}); got != "" {
		t.Errorf("an age from nowhere: %q", got)
	}
}

func TestCounts(t *testing.T) {
	if got := Counts(nil); got != "no findings" {
		t.Error(got)
	}
	if got := Counts(drift); got != "1 error, 1 acknowledged" {
		t.Error(got)
	}
	if got := Counts(drift[1:]); got != "no findings, 1 acknowledged" {
		t.Error(got)
	}
}

func TestTheArgumentIsLeftAlone(t *testing.T) {
	all := community(40)
	slices.Reverse(all)
	before := fmt.Sprintf("%#v", all)
	for _, format := range Formats() {
		render(t, format, all, audited(false))
	}
	if err := WritePrivate(io.Discard, "json", all, audited(false)); err != nil || fmt.Sprintf("%#v", all) != before {
		t.Errorf("changed, %v", err)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	opts := Options{Key: Key("canary")}
	inJSON, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(opts), fmt.Sprintf("%v %+v %#v %q %x %d", opts, opts, opts, opts.Key, opts.Key, opts.Key), string(inJSON)} {
		if strings.Contains(got, "canary") || strings.Contains(got, "63616e617279") || strings.Contains(got, "99 97") || !strings.Contains(got, "redacted") {
			t.Error(got)
		}
	}
}

type broken struct{ after int }

var errBroken = errors.New("no space left")

func (b *broken) Write(p []byte) (int, error) {
	if b.after -= len(p); b.after < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestWriteErrorsAreReturned(t *testing.T) {
	all := community(600)
	for _, format := range Formats() {
		for _, after := range []int{0, 70_000} {
			if err := Write(&broken{after}, format, all, Options{Limit: 300_000}); !errors.Is(err, errBroken) {
				t.Errorf("%s, after %d bytes: %v", format, after, err)
			}
		}
	}
}
