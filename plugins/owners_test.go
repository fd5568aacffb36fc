// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/thread"
)

func modified(paths ...string) []thread.File {
	var files []thread.File
	for _, p := range paths {
		files = append(files, thread.File{Path: p, Status: "modified"})
	}
	return files
}

func TestOwnersGate(t *testing.T) {
	tests := []struct {
		name   string
		base   map[string]string // changes of the example at the base, "" deletes
		head   map[string]string // and at the head
		files  []thread.File
		status string
		sticky string // a part of it; "" wants none
	}{
		{name: "no OWNERS file", files: modified("dns/x.yaml"), status: "success: Not applicable: no OWNERS file changes"},
		{name: "nothing wrong", head: map[string]string{"apps/perfdash/OWNERS": "approvers: [pat, quinn]\n"},
			files: modified("apps/perfdash/OWNERS"), status: "success: Nothing gets worse in OWNERS files"},
		{name: "malformed", head: map[string]string{"dns/OWNERS": "approvers: {\n"},
			files: modified("dns/OWNERS"), status: "failure: In OWNERS files: 1 error", sticky: "OWNERS-F1"},
		{name: "a misspelt option", head: map[string]string{"dns/OWNERS": "options:\n  no_parent_owner: true\napprovers:\n- dora\n"},
			files: modified("dns/OWNERS"), status: "failure: In OWNERS files: 1 error", sticky: "| `dns/OWNERS:2` | error:"},
		{name: "a warning passes", head: map[string]string{"apps/perfdash/OWNERS": "approvers: [pat, pat]\n"},
			files: modified("apps/perfdash/OWNERS"), status: "success: In OWNERS files: 1 warning", sticky: "OWNERS-DUPLICATE"},
		{name: "an alias goes that others use", head: map[string]string{"OWNERS_ALIASES": "aliases:\n  infra-leads: [alice, bob]\n  release-engineers: [ruth]\n"},
			files: modified("OWNERS_ALIASES"), status: "failure: In OWNERS files: ", sticky: "`dns/OWNERS:6`"},
		{name: "the root file is deleted", head: map[string]string{"OWNERS": ""},
			files: []thread.File{{Path: "OWNERS", Status: "removed"}}, status: "failure: In OWNERS files: 1 error", sticky: "OWNERS-NO-ROOT-APPROVERS"},
		{name: "the root file is renamed", head: map[string]string{"OWNERS": ""},
			files: []thread.File{{Path: "OWNERS.bak", Previous: "OWNERS", Status: "renamed"}}, status: "failure: In OWNERS files: 1 error", sticky: "OWNERS-NO-ROOT-APPROVERS"},
		{name: "an old fault blocks nobody", base: map[string]string{"apps/OWNERS": "approvers: {\n"}, head: map[string]string{"apps/OWNERS": "approvers: {\n"},
			files: modified("apps/x"), status: "success: Not applicable: no OWNERS file changes"},
		{name: "an old fault stays in the file", base: map[string]string{"apps/OWNERS": "approvers: {\n"}, head: map[string]string{"apps/OWNERS": "approvers: {\n# x\n"},
			files: modified("apps/OWNERS"), status: "success: Nothing gets worse in OWNERS files"},
		{name: "the head is older than a repair elsewhere", head: map[string]string{"groups/OWNERS": "approvers: {\n", "apps/perfdash/OWNERS": "approvers: [quinn]\n"},
			files: modified("apps/perfdash/OWNERS"), status: "success: Nothing gets worse in OWNERS files"},
		{name: "names are no Markdown", head: map[string]string{"dns/OWNERS": "'|@x<b>`': 1\napprovers: [dora]\n"},
			files: modified("dns/OWNERS"), status: "failure: In OWNERS files: ", sticky: "dns/OWNERS"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.commit("old", tt.base)
		w.base = "old"
		w.commit("head", tt.head)
		w.pull(1).Files = tt.files
		w.settle()
		got, sticky := w.status(1, "steward/owners"), w.sticky(1, "owners")
		if !strings.HasPrefix(got, tt.status) || !strings.Contains(sticky, tt.sticky) || tt.sticky == "" && sticky != "" {
			t.Errorf("%s: %s\nwant %s\n%s", tt.name, got, tt.status, sticky)
		}
		if bad := active(strings.ReplaceAll(sticky, "<br>", "")); bad != "" {
			t.Errorf("%s: active %s in\n%s", tt.name, bad, sticky)
		}
	}
}

func TestOwnersGateIsClearedByAPush(t *testing.T) {
	w := newWorld(t)
	w.commit("head", map[string]string{"dns/OWNERS": "approvers: {\n"})
	w.commit("fixed", map[string]string{"dns/OWNERS": "approvers: [dora]\n"})
	s := w.pull(1)
	s.Files = modified("dns/OWNERS")
	w.settle()
	if !strings.HasPrefix(w.status(1, "steward/owners"), "failure") {
		t.Fatal(w.status(1, "steward/owners"))
	}
	s.Head = "fixed"
	w.settle()
	if w.status(1, "steward/owners") != "success: Nothing gets worse in OWNERS files" || w.sticky(1, "owners") != "" {
		t.Errorf("%s\n%s", w.status(1, "steward/owners"), w.sticky(1, "owners"))
	}
}

// What cannot be read gives no status at all, and a required status that is
// missing holds the pull request.
func TestOwnersGateFailsClosed(t *testing.T) {
	w := newWorld(t)
	w.commit("head", map[string]string{"dns/OWNERS": "approvers: [dora]\n"})
	s := w.pull(1)
	s.Files = modified("dns/OWNERS")
	w.broken = "owners"
	if _, err := w.look(1); err == nil || w.status(1, "steward/owners") != ": " {
		t.Errorf("%v, %s", err, w.status(1, "steward/owners"))
	}
	w.broken = ""
	s.Files, s.FilesLost = modified("x"), 17
	w.settle()
	if got := w.status(1, "steward/owners"); got != "failure: GitHub does not list 17 of the changed files, so they cannot be checked: split the pull request" {
		t.Error(got)
	}
	s.Where = thread.MergedPull
	if n, err := w.look(1); n != 0 || err != nil {
		t.Errorf("a merged pull request gets %d writes, %v", n, err)
	}
}

func TestLeavingARestrictedFolder(t *testing.T) {
	renamed := func(from, to string) thread.File { return thread.File{Path: to, Previous: from, Status: "renamed"} }
	out := renamed("dns/zone-configs/z.yaml", "apps/z.yaml")
	approve := func(author, body string) func(*world) {
		return func(w *world) { w.say(1, 1, author, body) }
	}
	both := func(a, b func(*world)) func(*world) { return func(w *world) { a(w); b(w) } }
	review := func(author, state string) func(*world) {
		return func(w *world) {
			w.threads[1].Reviews = append(w.threads[1].Reviews, thread.Review{Author: author, State: state})
		}
	}
	later := func(author, body string) func(*world) { return func(w *world) { w.say(1, 2, author, body) } }
	last := func(change func(*thread.Comment)) func(*world) {
		return func(w *world) { change(&w.threads[1].Comments[len(w.threads[1].Comments)-1]) }
	}
	none := func(*world) {}
	tests := []struct {
		name string
		file thread.File
		do   func(*world)
		ok   bool
	}{
		{"nobody approves", out, none, false},
		{"the author is an approver", out, func(w *world) { w.threads[1].Author = "Dora" }, true},
		{"an approver reviews", out, review("dora", "APPROVED"), true},
		{"an approver comments", out, review("dora", "COMMENTED"), false},
		{"a root approver reviews", out, review("bob", "APPROVED"), false},
		{"an approver says so", out, approve("Dora", "/approve"), true},
		{"with words around", out, approve("dora", "Fine.\n\n/Approve no-issue\n"), true},
		{"in a fence", out, approve("dora", "```\n/approve\n```"), false},
		{"in a quote", out, approve("dora", "> /approve"), false},
		{"in a sentence", out, approve("dora", "to /approve"), false},
		{"in another word", out, approve("dora", "/approved"), false},
		{"edited", out, both(approve("dora", "/approve"), last(func(c *thread.Comment) { c.Edited = true })), false},
		{"by an App of that name", out, both(approve("dora", "/approve"), last(func(c *thread.Comment) { c.Bot = true })), false},
		{"cancelled", out, both(approve("dora", "/approve"), later("dora", "/approve cancel")), false},
		{"removed", out, both(approve("dora", "/approve"), later("DORA", "text\n /Remove-Approve")), false},
		{"cancelled in an edit", out, both(both(approve("dora", "/approve"), later("dora", "/remove-approve")), last(func(c *thread.Comment) { c.Edited = true })), false},
		{"cancelled by somebody else", out, both(approve("dora", "/approve"), later("bob", "/approve cancel")), true},
		{"said again", out, both(approve("dora", "/approve cancel"), later("dora", "/approve")), true},
		{"a review is cancelled", out, both(review("dora", "APPROVED"), approve("dora", "/approve cancel")), false},
		{"changes are requested", out, both(approve("dora", "/approve"), review("dora", "CHANGES_REQUESTED")), false},
		{"one of two asks for changes", out, both(approve("alice", "/approve"), review("dora", "CHANGES_REQUESTED")), true},
		{"an approver who left", out, both(approve("dora", "/approve"), func(w *world) { w.members = "alice bob" }), false},
		{"within the folder", renamed("dns/a", "dns/b/c"), none, true},
		{"into the folder", renamed("apps/a", "dns/b"), none, true},
		{"between open folders", renamed("apps/a", "groups/b"), none, true},
		{"out of a folder without OWNERS", renamed("x/a", "b"), none, true},
		{"a copy", thread.File{Path: "apps/z.yaml", Previous: "dns/z.yaml", Status: "copied"}, none, true},
		{"into a part with owners of its own", renamed("dns/a", "dns/sub/a"), func(w *world) {
			w.commit("sub", map[string]string{"dns/sub/OWNERS": "approvers: [pat]\n"})
			w.base = "sub"
		}, false},
		{"into a folder that fewer of them own", renamed("dns/a", "dns/sub/a"), func(w *world) {
			w.commit("sub", map[string]string{"dns/sub/OWNERS": "options: {no_parent_owners: true}\napprovers: [dora]\n"})
			w.base = "sub"
		}, false},
		{"out of a folder whose OWNERS is broken", renamed("apps/x", "b"), func(w *world) {
			w.commit("sub", map[string]string{"apps/OWNERS": "approvers: {\n"})
			w.base = "sub"
		}, false},
		{"into a folder that approves itself", renamed("dns/a", "dns/new/a"), func(w *world) {
			w.commit("sub", map[string]string{"dns/OWNERS": "options: {no_parent_owners: true, auto_approve_unowned_subfolders: true}\napprovers: [dora]\n"})
			w.base = "sub"
		}, false},
		{"between filters of one file", renamed("dns/a.yaml", "dns/a.md"), func(w *world) {
			w.commit("sub", map[string]string{"dns/OWNERS": "options: {no_parent_owners: true}\nfilters:\n  '\\.yaml$': {approvers: [dora]}\n  '\\.md$': {approvers: [pat]}\n"})
			w.base = "sub"
		}, false},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.pull(1).Files = []thread.File{tt.file}
		tt.do(w)
		w.settle()
		status, sticky := w.status(1, "steward/owners"), w.sticky(1, "owners")
		if strings.HasPrefix(status, "success") != tt.ok || (sticky == "") != tt.ok {
			t.Errorf("%s: %s\n%s", tt.name, status, sticky)
		}
	}
}

func TestAMoveNamesFolderFilesAndPeople(t *testing.T) {
	w := newWorld(t)
	s := w.pull(1)
	s.Files = nil
	for i := range 30 {
		s.Files = append(s.Files, thread.File{Path: fmt.Sprintf("apps/%d", i), Previous: fmt.Sprintf("dns/%d", i), Status: "renamed"})
	}
	w.settle()
	if got := w.status(1, "steward/owners"); got != "failure: 30 files leave a restricted folder without its owners' approval" {
		t.Error(got)
	}
	if got := w.sticky(1, "owners"); !strings.Contains(got, "| `dns` | `dns/0` | `apps/0` | `alice`, `dora` |") || !strings.Contains(got, "\nAnd 10 more.") {
		t.Error(got)
	}
	w.broken = "member"
	w.threads[1].Author = "dora"
	if _, err := w.look(1); err == nil || !strings.Contains(err.Error(), "member cannot be read") {
		t.Errorf("err = %v", err)
	}
}
