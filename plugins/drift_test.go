// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

const (
	dnsID  = "b70c31ebee0f68d3" // of the findings of exampleReport
	gcsID  = "221d7f900a61b2ef"
	accept = "/infra drift accept " + dnsID + " until 2026-03-01 "
)

// D-1, D-3: what is shown where, of what it is said to be, and what is left out.
func TestDriftShows(t *testing.T) {
	tests := []struct {
		name, body string
		onIssue    bool
		change     func(*world)
		want       []string
		not        []string
	}{
		{"on a pull request", "/drift", false, nil,
			[]string{"**Drift of what this changes**: 1 error; incomplete: 1 of 7 units not read whole", "### `alice`, `dora`", "`www.example.org. A`", "(since 3 days)",
				"declared `192.0.2.10`, observed `192.0.2.66`", "fix: steward dns apply", "`" + dnsID + "`", "**Incomplete.**", "2 more concern other files", "Private ones, of which no file is named here: 1.",
				"[`" + zone + ":12`](https://github.com/example-org/example-infra/blob/0123456789abcdef0123456789abcdef01234567/" + zone + "#L12)",
				"Read 2026-01-02", "[The whole report](https://github.com/example-org/report.html)"},
			[]string{"example-web-site", "example-secrets", "not be fetched again"}},
		{"on an issue, worst first", "/drift", true, nil, []string{"2 critical, 1 error", "### `alice`, `bob`", "allUsers", "### `alice`, `dora`", "acknowledged by tom until 2026-02-01", "private"},
			[]string{"example-secrets", "a key that works", "no file is named here"}},
		{"one part", "/drift gcs", true, nil, []string{"2 critical", "gs://example-web-site"}, []string{"example.org", "tool:v1.0.0", "Not read"}},
		{"two parts", "/infra drift dns IMAGES", true, nil, []string{"www.example.org. A", "tool:v1.0.0", "Not read"}, []string{"gs://"}},
		{"no such part", "/drift gsc", true, nil, []string{"There is no part `gsc`. Did you mean `gcs`? The parts of the report are `gcs`, `images`, `dns`."}, nil},
		{"a verb mistyped", "/drift acept x", true, nil, []string{"Did you mean `accept`?"}, nil},
		{"nothing here", "/drift", false, func(w *world) { w.threads[1].Files = modified("apps/x") }, []string{"**Drift of what this changes**: no findings", "3 more concern other files"}, []string{"| where |"}},
		{"a rename away", "/drift", false, func(w *world) { w.threads[1].Files = []thread.File{{Path: "x", Previous: zone, Status: "renamed"}} }, []string{"www.example.org. A"}, nil},
		{"files that GitHub does not list", "/drift", false, func(w *world) { w.threads[1].FilesLost = 7 }, []string{"does not list 7 of the changed files"}, nil},
		{"cannot be read", "/drift", false, func(w *world) { w.broken = "report" }, []string{"The drift report cannot be read: report cannot be read."}, nil},
		{"could not be fetched again", "/drift", false, func(w *world) { w.fetched = noon.Add(-time.Hour) },
			[]string{"as it was fetched at 2026-01-02 11:00 UTC; it could not be fetched again since"}, nil},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.pull(1)
		if tt.onIssue {
			w.issue(1)
		}
		if tt.change != nil {
			tt.change(w)
		}
		w.say(1, 1, "carol", tt.body)
		w.settle()
		got := unescaped.Replace(w.sticky(1, "drift"))
		for _, want := range tt.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: the answer lacks %q:\n%s", tt.name, want, got)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(got, not) {
				t.Errorf("%s: the answer has %q:\n%s", tt.name, not, got)
			}
		}
	}
}

// D-2: known drift is told and holds nothing, whatever it is and whether it can be read.
func TestDriftGate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		want   string
	}{
		{"known drift", nil, "success: Known drift in what this changes: 1 error (/infra drift)"},
		{"none", func(w *world) { w.threads[1].Files = modified("apps/x") }, "success: No known drift in what this changes"},
		{"acknowledged", func(w *world) { w.threads[1].Files = modified("registry.k8s.io/images/staging-tools/images.yaml") },
			"success: Known drift in what this changes: no findings, 1 acknowledged (/infra drift)"},
		{"unreadable", func(w *world) { w.broken = "report" }, "success: The drift report cannot be read: report cannot be read"},
		{"too many files", func(w *world) { w.threads[1].FilesLost = 9 }, "success: Known drift in what this changes: 1 error (/infra drift)"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.pull(1)
		if tt.change != nil {
			tt.change(w)
		}
		w.settle()
		if got := w.status(1, "steward/drift"); got != tt.want {
			t.Errorf("D-2: %s: %s, want %s", tt.name, got, tt.want)
		}
		if got := w.sticky(1, "drift"); got != "" {
			t.Errorf("D-2: %s: a comment where nobody asked: %s", tt.name, got)
		}
	}
	w := newWorld(t)
	w.pull(1)
	w.settle()
	if got := w.threads[1].Statuses["steward/drift"].URL; got != "https://github.com/example-org/report.html" {
		t.Error(got)
	}
}

// entryText is an entry for the DNS finding, with some values replaced.
func entryText(t *testing.T, replace ...string) string {
	t.Helper()
	found, _ := exampleReport()
	f := found[0]
	content, err := ack.Add(nil, ack.Entry{
		ID: f.Fingerprint(), State: f.State(), Rule: f.Rule, Object: f.Object, Reason: "slow", ApprovedBy: "dora", Expires: noon.AddDate(0, 2, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(replace...).Replace(string(content))
}

// D-4, D-5: a pull request that writes acknowledgements answers for those that it adds or changes, and for no others.
func TestAcknowledgementsOfAPull(t *testing.T) {
	good := entryText(t)
	tests := []struct {
		name, base, head string
		author           string
		change           func(*world, *thread.Snapshot)
		want             string
		sticky           string
	}{
		{"good", "", good, "dora", nil, "success: 1 new acknowledgement checked; No known drift in what this changes", ""},
		{"approved in a review", "", good, "carol", func(_ *world, s *thread.Snapshot) {
			s.Reviews = []thread.Review{{Author: "Dora", State: "APPROVED"}}
		}, "success: 1 new acknowledgement checked", ""},
		{"approved by a comment", "", good, "carol", func(w *world, _ *thread.Snapshot) { w.say(1, 1, "dora", "/approve") }, "success: 1 new", ""},
		{"our own", "", good, "steward", func(_ *world, s *thread.Snapshot) { s.AuthorBot = true }, "success: 1 new", ""},
		{"a user with our name", "", good, "steward", nil, "failure: Acknowledgements that do not hold: 1 fault", "dora has neither written nor approved the entry"},
		{"in the name of another", "", good, "carol", nil, "failure: Acknowledgements that do not hold: 1 fault; No known", "dora has neither written nor approved the entry"},
		{"taken back", "", good, "carol", func(w *world, _ *thread.Snapshot) { w.say(1, 1, "dora", "/approve\n\n/approve cancel") }, "failure: ", "ACK-12"},
		{"by somebody who may not", "", strings.ReplaceAll(good, `"dora"`, `"bob"`), "bob", nil, "failure: ", "bob may not approve " + zone},
		{"nobody may by what the pull request says", "", strings.ReplaceAll(good, `"dora"`, `"bob"`), "bob", func(w *world, s *thread.Snapshot) {
			w.commit("head2", map[string]string{ack.File: entryText(t, `"dora"`, `"bob"`), "dns/OWNERS": "approvers: [bob]\n"})
			s.Head = "head2"
		}, "failure: ", "bob may not approve " + zone},
		{"of nothing", "", entryText(t, dnsID, "0000000000000000"), "dora", nil, "failure: ", "no public finding of the latest report has the id 0000000000000000"},
		{"as it was before", "", entryText(t, "state: ", "state: \"0000000000000000\" # "), "dora", nil, "failure: ", "is not as it was acknowledged"},
		{"under another name", "", entryText(t, "www.example.org. A", "harmless.example.org. A"), "dora", nil, "failure: ", "ACK-9"},
		{"too long", "", entryText(t, "2026-03-02", "2026-09-09"), "dora", nil, "failure: ", "more than 180 days ahead"},
		{"malformed", "", good + "- x\n", "dora", nil, "failure: ", "want a mapping"},
		{"no list", "", "a: b\n", "dora", nil, "failure: ", "want a list of entries"},
		{"a link", "", "", "dora", func(w *world, _ *thread.Snapshot) { w.broken = "no file" }, "failure: audit/acknowledged.yaml cannot be read: it is no regular file", ""},
		{"taken out", good, "", "carol", nil, "success: No known drift in what this changes", ""},
		{"bad before", good + "- x\n", good + "- x\n# a comment\n", "carol", nil, "success: No known drift", ""},
		{"renewed", good, entryText(t, "2026-03-02", "2026-04-01"), "carol", nil, "failure: ", "ACK-12"},
		{"over before", entryText(t, "2026-03-02", "2025-01-01"), entryText(t, "2026-03-02", "2025-01-01", "# Find", "# All find"), "carol", nil, "success: No known", ""},
		{"cannot be checked", "", good, "dora", func(w *world, _ *thread.Snapshot) { w.broken = "report" },
			"pending: 1 new acknowledgement cannot be checked yet; The drift report cannot be read: report cannot be read", ""},
		{"cannot be checked and is wrong anyway", "", good, "carol", func(w *world, _ *thread.Snapshot) { w.broken = "report" }, "failure: Acknowledgements that do not hold: 1 fault", "ACK-12"},
		{"not listed by GitHub", "", good, "carol", func(_ *world, s *thread.Snapshot) { s.Files, s.FilesLost = nil, 1 }, "failure: ", "ACK-12"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.commit("acked", map[string]string{ack.File: tt.base})
		w.commit("head", map[string]string{ack.File: tt.head})
		w.base = "acked"
		s := w.pull(1)
		s.Files, s.Author = modified(ack.File), tt.author
		if tt.change != nil {
			tt.change(w, s)
		}
		w.settle()
		if got := w.status(1, "steward/drift"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("D-4: %s: %s, want %s", tt.name, got, tt.want)
		}
		if got := unescaped.Replace(w.sticky(1, "drift")); !strings.Contains(got, tt.sticky) || (got != "") != (tt.sticky != "") {
			t.Errorf("D-4: %s: the comment is %q, want %s", tt.name, got, tt.sticky)
		}
	}
}

// D-4: a head that cannot be read is not taken for one without acknowledgements.
func TestDriftGateWaitsForTheFile(t *testing.T) {
	w := newWorld(t)
	w.pull(1).Files = modified(ack.File)
	w.broken = "file"
	if _, err := w.look(1); err == nil || w.status(1, "steward/drift") != ": " {
		t.Errorf("%v, %s", err, w.status(1, "steward/drift"))
	}
}

// D-6: who may start the job, when it is started, and what is said when it is not.
func TestDriftRerun(t *testing.T) {
	tests := []struct {
		name, author string
		change       func(*world)
		want         string
		started      bool
	}{
		{"an approver of the file", "bob", nil, "`periodic-steward-audit` is started.", true},
		{"another approver", "dora", nil, "Denied: `dora` may not approve", false},
		{"not allowed here", "bob", func(w *world) { w.job.Hurdle = "steward-hook has no rights in a cluster" },
			"Not started: steward-hook has no rights in a cluster. `periodic-steward-audit` makes the next report by itself, every 4 h, next at about 2026-01-02 15:00 UTC.", false},
		{"not allowed, and late", "bob", func(w *world) { w.job.Hurdle, w.job.Interval = "no", 30*time.Minute }, "every 30 min; it started last at 2026-01-02 11:00 UTC and is late.", false},
		{"not allowed, and no report", "bob", func(w *world) { w.job.Hurdle, w.broken = "no", "report" }, "makes the next report by itself, every 4 h.", false},
		{"not allowed, and no interval", "bob", func(w *world) { w.job.Hurdle, w.job.Interval = "no", 0 }, "makes the next report by itself.", false},
		{"runs already", "bob", func(w *world) { w.job.Running = noon }, "`periodic-steward-audit` runs since 2026-01-02 12:00 UTC, so it was not started again.", false},
		{"no job", "bob", func(w *world) { w.job = thread.PeriodicJob{} }, "name no job", false},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.issue(1)
		if tt.change != nil {
			tt.change(w)
		}
		w.say(1, 7, tt.author, "/drift rerun")
		w.settle()
		if got := unescaped.Replace(w.sticky(1, "drift")); !strings.Contains(got, tt.want) || (len(w.jobs) > 0) != tt.started {
			t.Errorf("D-6: %s: %s\nwant %s; started %v", tt.name, got, tt.want, w.jobs)
		}
	}
	w := newWorld(t)
	w.issue(1)
	w.say(1, 7, "alice", "/drift rerun")
	w.settle()
	want := thread.StartJob{
		Job: "periodic-steward-audit", Key: "drift/rerun-7",
		Why: "alice asked for it in example-org/example-infra#1, comment 7, as approver by OWNERS at base",
	}
	if got := w.jobs["drift/rerun-7"]; got != want {
		t.Errorf("D-6: %+v", got)
	}
	w.broken = "job"
	w.say(1, 8, "alice", "/drift rerun")
	if _, err := w.look(1); err == nil || len(w.jobs) != 1 || strings.Contains(w.sticky(1, "drift"), "issuecomment-8") {
		t.Errorf("C-14: %v, %v", err, w.jobs)
	}
}

// D-7: who may accept what until when, and the refusals.
func TestDriftAcceptRefuses(t *testing.T) {
	private := func() string {
		found, opts := exampleReport()
		for _, item := range parsed(t, found, opts).Items {
			if item.Visibility == finding.Private {
				return item.ID
			}
		}
		return ""
	}()
	found, _ := exampleReport()
	tests := []struct{ name, author, body, want string }{
		{"another approver", "bob", accept + "x", "Denied: `bob` may not approve what this command is about, by OWNERS at `base`.\n- `" + zone + "`: not an approver"},
		{"a stranger", "mallory", accept + "x", "Denied: `/infra drift accept ID until DATE REASON…` is for approvers of the file that the finding is about, and GitHub"},
		{"no arguments", "dora", "/drift accept", "Which finding?"},
		{"no date", "dora", "/drift accept " + dnsID, "Until when?"},
		{"no until", "dora", "/drift accept " + dnsID + " 2026-03-01 x", "Until when?"},
		{"no reason", "dora", strings.TrimSpace(accept), "Nothing is acknowledged without a reason"},
		{"no date at all", "dora", "/drift accept " + dnsID + " until tomorrow x", "`tomorrow` is not a date such as 2026-02-02."},
		{"no day", "dora", "/drift accept " + dnsID + " until 2026-02-30 x", "`2026-02-30` is not a date"},
		{"the past", "dora", "/drift accept " + dnsID + " until 2025-03-01 x", "2025-03-01 is not in the future."},
		{"today", "dora", "/drift accept " + dnsID + " until 2026-01-02 x", "2026-01-02 is not in the future."},
		{"too far", "dora", "/drift accept " + dnsID + " until 2026-07-02 x", "2026-07-02 is more than 180 days ahead; the last day is 2026-07-01"},
		{"an unknown id", "bob", "/drift accept 0123456789abcdef until 2026-03-01 x", "There is no finding `0123456789abcdef` in the latest report, which was made at 2026-01-02 11:10 UTC."},
		{"no id", "bob", "/drift accept www.example.org until 2026-03-01 x", "There is no finding `www.example.org`"},
		{"private, by its public id", "alice", "/drift accept " + private + " until 2026-03-01 x", "is private: it is not acknowledged in public. Its owners (`alice`) decide"},
		{"private, by who may approve nothing there", "dora", "/drift accept " + private + " until 2026-03-01 x", "is private: it is not acknowledged in public."},
		{"private, guessed", "alice", "/drift accept " + found[3].Fingerprint() + " until 2026-03-01 x", "There is no finding"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.issue(1)
		w.say(1, 7, tt.author, tt.body)
		w.settle()
		if got := unescaped.Replace(w.sticky(1, "drift")); !strings.Contains(got, tt.want) || len(w.pulls) != 0 {
			t.Errorf("D-7: %s: %s\nwant %s; opened %v", tt.name, got, tt.want, w.pulls)
		}
	}
}

// A report that comes between the check of the author and the decision, and that says that another file declares the
// object, opens nothing for somebody who may not approve that one.
func TestDriftAcceptChecksWhatItAccepts(t *testing.T) {
	w := newWorld(t)
	w.issue(1)
	found, opts := exampleReport()
	found[0].File = "registry.k8s.io/images/x.yaml"
	moved := parsed(t, found, opts)
	w.served = func(n int) *report.Report {
		if n > 1 {
			return moved
		}
		return w.report
	}
	w.say(1, 7, "dora", accept+"x")
	if _, err := w.look(1); err != nil {
		t.Fatal(err)
	}
	if got := w.sticky(1, "drift"); !strings.Contains(got, "Denied: `dora` may not approve") || len(w.pulls) != 0 {
		t.Errorf("%s\nopened %v", got, w.pulls)
	}
}

// D-8: what is opened: the entry, after all that was there, and a text in which everything is told.
func TestDriftAccepts(t *testing.T) {
	w := newWorld(t)
	old := entryText(t, dnsID, "aaaaaaaaaaaaaaaa")
	w.commit("acked", map[string]string{ack.File: old})
	w.base = "acked"
	w.issue(1)
	w.say(1, 7, "Dora", "/drift accept "+strings.ToUpper(dnsID)+" UNTIL 2026-03-01 the registrar | is *slow* @alice <!-- x -->")
	w.settle()
	branch := "steward/drift/accept-" + dnsID + "-7"
	p, ok := w.pulls[branch]
	if !ok || len(w.pulls) != 1 {
		t.Fatalf("opened %v: %s", slices.Collect(maps.Keys(w.pulls)), w.sticky(1, "drift"))
	}
	if p.Base != "main" || p.Commit != "acked" || p.Title != "Acknowledge drift "+dnsID+" until 2026-03-01" || len(p.Files) != 1 || p.Files[0].Path != ack.File {
		t.Errorf("%+v", p)
	}
	added, ok := strings.CutPrefix(p.Files[0].Data, old)
	if !ok {
		t.Fatalf("the file does not begin with what it was:\n%s", p.Files[0].Data)
	}
	found, _ := exampleReport()
	want := fmt.Sprintf("- id: %q\n  state: %q\n  rule: \"DNS-1\"\n  object: \"www.example.org. A\"\n  reason: \"the registrar | is *slow* @alice <!-- x -->\"\n"+
		"  approvedBy: \"Dora\"\n  expires: 2026-03-01\n  issue: \"https://github.com/example-org/example-infra/issues/1#issuecomment-7\"\n", dnsID, found[0].State())
	if added != want {
		t.Errorf("added\n%s\nwant\n%s", added, want)
	}
	text := unescaped.Replace(p.Text)
	for _, want := range []string{
		"`Dora` acknowledges a finding of the audit ([comment](https://github.com/example-org/example-infra/issues/1#issuecomment-7))",
		"| finding | `" + dnsID + "` |", "| declared | `192.0.2.10` |", "| severity | error |", "| reason | the registrar | is *slow* @alice &lt;!-- x --&gt; |",
		"`Dora` may approve changes of `" + zone + "`, by OWNERS at `acked`",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if bad := active(p.Text); bad != "" {
		t.Errorf("active as %s:\n%s", bad, p.Text)
	}
	reply := fmt.Sprintf("Opened [pull request %d](https://github.com/example-org/example-infra/pull/%d): once it is merged, `DNS-1` of `www.example.org. A` is acknowledged until 2026-03-01. "+
		"It needs an approver of `audit/acknowledged.yaml`: `alice`, `bob`.", p.number, p.number)
	if got := w.sticky(1, "drift"); !strings.Contains(got, reply) {
		t.Errorf("%s\nwant %s", got, reply)
	}

	// What it opened passes its own gate.
	w.commit("head", map[string]string{ack.File: p.Files[0].Data})
	s := w.pull(2)
	s.Files, s.Author, s.AuthorBot = modified(ack.File), "steward", true
	w.settle()
	if got := w.status(2, "steward/drift"); got != "success: 1 new acknowledgement checked; No known drift in what this changes" {
		t.Error(got)
	}
}

// What hinders an accept that is right in itself.
func TestDriftAcceptIsHindered(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world)
		want   string
	}{
		{"the report", func(w *world) { w.broken = "report" }, "The drift report cannot be read: report cannot be read."},
		{"the file", func(w *world) { w.commit("acked", map[string]string{ack.File: "a: b"}) }, "Not done: `audit/acknowledged.yaml` has to be mended first: audit/acknowledged.yaml:1: want a list of entries."},
		{"no file", func(w *world) { w.broken = "no file" }, "Not done: `audit/acknowledged.yaml` has to be mended first: it is no file that can be read."},
		{"a login without review", func(w *world) { w.unreviewed = []string{"x", "Steward[bot]"} }, "Not done: pull requests of `steward[bot]` are merged without review"},
		{"there already", func(w *world) { w.commit("acked", map[string]string{ack.File: entryText(t)}) },
			"Nothing to do: `dora` has acknowledged it until 2026-03-02 already, in line 8 of `audit/acknowledged.yaml`."},
		{"a text too long", func(w *world) {
			found, opts := exampleReport()
			found[0].Message = strings.Repeat("x", 100_000)
			w.report = parsed(t, found, opts)
		}, "is not whole in the report"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.commit("acked", nil)
		w.base = "acked"
		w.issue(1)
		tt.change(w)
		w.say(1, 7, "dora", accept+"x")
		w.settle()
		if got := unescaped.Replace(w.sticky(1, "drift")); !strings.Contains(got, tt.want) || len(w.pulls) != 0 {
			t.Errorf("%s: %s\nwant %s; opened %v", tt.name, got, tt.want, w.pulls)
		}
	}
	// An entry that ends earlier is renewed in its place.
	w := newWorld(t)
	w.commit("acked", map[string]string{ack.File: entryText(t, "2026-03-02", "2026-02-01") + "# end\n"})
	w.base = "acked"
	w.issue(1)
	w.say(1, 7, "dora", accept+"x")
	w.settle()
	if data := w.pulls["steward/drift/accept-"+dnsID+"-7"].Files; len(data) != 1 || strings.Count(data[0].Data, "- id:") != 1 || !strings.HasSuffix(data[0].Data, "# end\n") {
		t.Errorf("%+v\n%s", data, w.sticky(1, "drift"))
	}
}

// Nothing in a report, which others may have written to, does anything in an answer or a pull request.
func TestAHostileReportIsInert(t *testing.T) {
	for _, evil := range []string{
		"@org/everyone", "](http://evil)", "`@a`", "<!-- steward:end -->", "<img src=x>", "|", "#12", "*b*", "http://evil.example", "\u202e", "`",
		"<!-- steward:pull steward/drift/accept-x -->", "\n\n/infra freeze all\n", "</details>", "fixes #1",
	} {
		found, opts := exampleReport()
		f := &found[0]
		f.Object, f.Message, f.Declared, f.Observed, f.Fix, f.Field, f.Owners = "o"+evil, "m"+evil, evil, evil, evil, evil, []string{evil}
		found[2].Acknowledged.Reason, found[2].Acknowledged.By, found[1].Rule = evil, evil, "R"+evil
		opts.Commit, opts.Coverage[2].Gaps[0].Scope, opts.Coverage[2].Gaps[0].Detail, opts.Coverage[0].Part = evil, evil, evil, "p"+evil
		w := newWorld(t)
		w.report = parsed(t, found, opts)
		w.pull(1)
		w.issue(2)
		for _, number := range []int{1, 2} {
			w.say(number, int64(number), "dora", "/drift\n/drift "+"p\n/drift accept "+f.Fingerprint()+" until 2026-03-01 x")
		}
		w.settle()
		bodies := []string{w.sticky(1, "drift"), w.sticky(2, "drift")}
		for _, p := range w.pulls {
			bodies = append(bodies, p.Text)
			if l := ack.Parse([]byte(p.Files[0].Data), noon); len(l.Entries) != 1 || finding.AtLeast(l.Problems, finding.Error) > 0 {
				t.Errorf("%q: %+v\n%s", evil, l.Problems, p.Files[0].Data)
			}
			if strings.Contains(p.Title, evil) {
				t.Errorf("%q is in the title %s", evil, p.Title)
			}
		}
		if len(bodies) < 3 {
			t.Errorf("%q: %d bodies: %s", evil, len(bodies), bodies)
		}
		for _, body := range bodies {
			if bad := active(body); bad != "" {
				t.Errorf("%q is active as %s in\n%s", evil, bad, body)
			}
		}
	}
}

// An answer stays within its bounds, whatever the size of the report.
func TestDriftAnswerIsBounded(t *testing.T) {
	found, opts := exampleReport()
	for i := range 5000 {
		f := found[0]
		f.Object, f.Owners = fmt.Sprintf("r%d.example.org. A", i), []string{fmt.Sprintf("owner%d", i%70)}
		found = append(found, f)
	}
	w := newWorld(t)
	w.report = parsed(t, found, opts)
	w.pull(1)
	w.say(1, 1, "carol", "/drift")
	w.settle()
	if got := w.sticky(1, "drift"); len([]rune(got)) > 22_000 || !strings.Contains(got, "5001 errors") || !strings.Contains(got, "The whole report") {
		t.Errorf("%d characters: %.300s", len([]rune(got)), got)
	}
	if got := w.status(1, "steward/drift"); got != "success: Known drift in what this changes: 5001 errors (/infra drift)" {
		t.Error(got)
	}
}
