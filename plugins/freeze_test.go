// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/thread"
)

func TestFreezeGate(t *testing.T) {
	tests := []struct {
		name, file string // of freeze.yaml
		commands   string // by alice, who may freeze dns and all
		files      []thread.File
		lost       int
		want       string
	}{
		{name: "nothing", want: "success: Nothing is frozen."},
		{name: "another scope", file: "- {scope: promotion, reason: x}", files: modified("dns/a"), want: "success: Nothing that this changes is frozen."},
		{name: "by file", file: "- {scope: dns, reason: audit week}", files: modified("apps/a", "dns/a"), want: "pending: dns is frozen: audit week"},
		{name: "by command", commands: "/infra freeze dns on fire", files: modified("dns/a"), want: "pending: dns is frozen: on fire"},
		{name: "by both", file: "- {scope: all, reason: holidays}", commands: "/infra freeze dns on fire", files: modified("dns/a"), want: "pending: all, dns are frozen: holidays"},
		{name: "a neighbour by name", commands: "/infra freeze dns x", files: modified("dns-old/a", "dns.yaml"), want: "success: Nothing that this changes is frozen."},
		{name: "a rename out", commands: "/infra freeze dns x", files: []thread.File{{Path: "a", Previous: "dns/a", Status: "renamed"}}, want: "pending: dns is frozen: x"},
		{name: "all", commands: "/infra freeze all x", files: modified("a"), want: "pending: all is frozen: x"},
		{name: "too many files", commands: "/infra freeze dns x", files: modified("a"), lost: 1, want: "pending: dns is frozen: x"},
		{name: "too many files, nothing frozen", files: modified("a"), lost: 1, want: "success: Nothing is frozen."},
		{name: "lifted", commands: "/infra freeze dns x\n/infra unfreeze dns", files: modified("dns/a"), want: "success: Nothing is frozen."},
		{name: "a command does not lift the file", file: "- {scope: dns, reason: x}", commands: "/infra unfreeze dns", files: modified("dns/a"), want: "pending: dns is frozen: x"},
		{name: "a broken file", file: "- {scope: dns, why: x}", files: modified("a"), want: `pending: all is frozen: freeze.yaml:1: unknown key "why"`},
		{name: "over", file: "- {scope: dns, reason: x, until: 2026-01-01}", files: modified("dns/a"), want: "success: Nothing is frozen."},
		{name: "control characters", commands: "/infra freeze dns a\u202eb\x1b[2J", files: modified("dns/a"), want: "pending: dns is frozen: a b [2J"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.commit("frozen", map[string]string{"freeze.yaml": tt.file})
		w.base = "frozen"
		s := w.pull(1)
		s.Files, s.FilesLost = tt.files, tt.lost
		w.issue(2)
		w.say(2, 1, "alice", tt.commands)
		w.settle()
		if got := w.status(1, "steward/freeze"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestFreezeStatusLinksItsReason(t *testing.T) {
	w := newWorld(t)
	w.pull(1).Base = "release-1.0#(x"
	w.commit("frozen", map[string]string{"freeze.yaml": "\n- {scope: dns, reason: x}"})
	w.base = "frozen"
	w.settle()
	if got := w.threads[1].Statuses["steward/freeze"].URL; got != "https://github.com/example-org/example-infra/blob/release-1.0%23%28x/freeze.yaml#L2" {
		t.Error(got)
	}
	w.base = "base"
	w.issue(2)
	w.say(2, 1, "dora", "/infra freeze dns x")
	w.settle()
	if got := w.threads[1].Statuses["steward/freeze"].URL; got != "https://github.com/example-org/example-infra/issues/5001" {
		t.Error(got)
	}
}

func TestFreezeFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.pull(1)
	w.broken = "file"
	if _, err := w.look(1); err == nil || w.status(1, "steward/freeze") != ": " {
		t.Errorf("%v, %s", err, w.status(1, "steward/freeze"))
	}
}

// The issue is for people: closing, retitling or rewriting it lifts nothing.
func TestTheIssueOfAFreezeIsPutBack(t *testing.T) {
	w := newWorld(t)
	w.pull(1)
	w.say(1, 1, "dora", "/infra freeze dns on fire")
	w.settle()
	number := 0
	for n := range w.records {
		number = n
	}
	want := w.records[number]
	w.issue(number)
	for _, state := range []thread.Where{thread.OpenIssue, thread.ClosedIssue} {
		r := want
		r.Open, r.Title, r.Body = false, "solved", r.Body+"\nsolved"
		w.records[number] = r
		w.threads[number].Where = state
		w.settle()
		if got := w.records[number]; got.Title != want.Title || got.Body != want.Body || !got.Open {
			t.Errorf("the record is\n%+v\nwant\n%+v", got, want)
		}
	}
	if !want.Open || want.Title != "Frozen: dns" || !strings.Contains(want.Body, "was frozen by `dora` at 2026-01-02 12:00 UTC (OWNERS at `base`): on fire") {
		t.Errorf("%+v", want)
	}
	w.say(1, 2, "alice", "/infra unfreeze dns out")
	w.settle()
	if r := w.records[number]; len(w.records) != 1 || r.Open || r.Title != "Not frozen: dns" || !strings.Contains(r.Body, "was unfrozen by `alice`") {
		t.Errorf("%+v", w.records)
	}
}

// Whoever comes late with an older command changes nothing and is told so.
func TestTheLaterCommandHolds(t *testing.T) {
	for _, order := range [][]int{{1, 2}, {2, 1}} {
		w := newWorld(t)
		w.pull(1)
		w.pull(2)
		w.say(1, 10, "dora", "/infra freeze dns on fire")
		w.say(2, 20, "alice", "/infra unfreeze dns out")
		for _, number := range order {
			if _, err := w.look(number); err != nil {
				t.Fatal(err)
			}
		}
		w.settle()
		if got := w.record("freeze/dns"); !strings.HasPrefix(got, "Not frozen: dns open=false stamp=20") {
			t.Errorf("C-6: %v: %s", order, got)
		}
		late := strings.Contains(w.sticky(1, "freeze"), "Nothing changed: `alice` unfroze `dns` later, at 2026-01-02 12:00 UTC.")
		if late != (order[0] == 2) {
			t.Errorf("C-6: %v: %s", order, w.sticky(1, "freeze"))
		}
		for number := 1; number <= 2; number++ {
			if got := w.status(number, "steward/freeze"); got != "success: Nothing is frozen." {
				t.Errorf("C-6: %v: %s", order, got)
			}
		}
	}
}

// Two processes may each have opened an issue for a scope. The later command
// counts, and the first issue is brought up to date.
func TestTwoRecordsOfOneScope(t *testing.T) {
	state := func(frozen string) []byte {
		return []byte(`{"scope":"dns","by":"dora","reason":"r","ownersCommit":"c","at":"2026-01-01T00:00:00Z","frozen":` + frozen + `}`)
	}
	w := newWorld(t)
	w.pull(1)
	w.write(8, thread.Issue{Key: "freeze/dns", Title: "x", Data: state("false"), Stamp: thread.Stamp{Unix: 1}})
	w.write(9, thread.Issue{Key: "freeze/dns", Title: "x", Data: state("true"), Stamp: thread.Stamp{Unix: 2}, Open: true})
	w.settle()
	if r := w.records[8]; r.Title != "Frozen: dns" || !r.Open || r.Stamp.Unix != 2 {
		t.Errorf("the first record is %+v", r)
	}
	if got := w.status(1, "steward/freeze"); got != "pending: dns is frozen: r" {
		t.Error(got)
	}
}

// A scope that leaves the settings while frozen holds everything until a root
// approver lifts it.
func TestAFrozenScopeThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.pull(1).Files = modified("a")
	issue := thread.Issue{Key: "freeze/old", Title: "x", Data: []byte(`{"scope":"old","by":"bob","reason":"r","ownersCommit":"c","at":"2026-01-01T00:00:00Z","frozen":true}`), Open: true}
	w.write(9, issue)
	w.settle()
	if got := w.status(1, "steward/freeze"); !strings.HasPrefix(got, `pending: all is frozen: record freeze/old in #9: scope "old" is frozen and not in the settings any more`) {
		t.Error(got)
	}
	w.say(1, 1, "dora", "/infra unfreeze old")
	w.say(1, 2, "alice", "/infra freeze old again")
	w.settle()
	if got := w.sticky(1, "freeze"); !strings.Contains(got, "Denied: `dora`") || !strings.Contains(got, "There is no scope `old`.") {
		t.Error(got)
	}
	w.say(1, 3, "alice", "/infra unfreeze old")
	w.settle()
	if got := w.status(1, "steward/freeze"); got != "success: Nothing is frozen." {
		t.Error(got)
	}
}

// A record that cannot be read is mended by the next command.
func TestARecordThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.pull(1).Files = modified("a")
	w.write(9, thread.Issue{Key: "freeze/dns", Title: "x", Data: []byte(`{`), Open: true})
	w.settle()
	if got := w.status(1, "steward/freeze"); !strings.HasPrefix(got, "pending: all is frozen: record freeze/dns in #9") {
		t.Error(got)
	}
	w.say(1, 1, "alice", "/infra unfreeze dns")
	w.settle()
	if got := w.status(1, "steward/freeze"); got != "success: Nothing is frozen." || len(w.records) != 1 {
		t.Error(got)
	}
}

// Whoever can push a branch writes its OWNERS: they do not decide about the whole
// repository.
func TestFreezeIsJudgedByTheDefaultBranch(t *testing.T) {
	w := newWorld(t)
	w.pull(1).Base = "my-branch"
	w.say(1, 1, "alice", "/infra freeze all because")
	w.settle()
	if got := w.status(1, "steward/freeze"); got != "success: Nothing is frozen." {
		t.Error(got)
	}
	if body := w.threads[1].Comments[1].Body; !strings.Contains(body, "judged by the OWNERS of `main` only") {
		t.Error(body)
	}
}
