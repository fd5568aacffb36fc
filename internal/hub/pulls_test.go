// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/thread"
)

const branchName = "steward/drift/accept-0123456789abcdef-7"

func proposal(s *thread.Snapshot) thread.CreatePull {
	return thread.CreatePull{Pull: thread.Pull{
		Branch: branchName, Base: s.Base, Commit: s.BaseCommit, Title: "Acknowledge 0123456789abcdef",
		Text: "for *people*", Files: []thread.Content{{Path: "audit/acknowledged.yaml", Data: "- a: ü\n"}},
	}}
}

// proposed is all that there must be, once.
func proposed(t *testing.T, fake *ghfake.Running, c *Client) string {
	t.Helper()
	created := fake.Audit(ghfake.Audit{Kind: "pull.create"})
	if len(created) != 1 {
		t.Fatalf("%d pull requests were made", len(created))
	}
	s := snapshot(t, c, created[0].Number)
	if s.Title != "Acknowledge 0123456789abcdef" || !s.Own() || s.Where != thread.OpenPull || s.Base != "main" {
		t.Errorf("%q by %s, %s into %s", s.Title, s.Author, s.Where, s.Base)
	}
	if len(s.Files) != 1 || s.Files[0].Path != "audit/acknowledged.yaml" || s.Files[0].Status != "added" {
		t.Errorf("files %+v", s.Files)
	}
	fsys, err := c.FS(t.Context(), acme, s.Head, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	if data, err := fs.ReadFile(fsys, "audit/acknowledged.yaml"); err != nil || string(data) != "- a: ü\n" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := fs.Stat(fsys, "dns/zone.yaml"); err != nil {
		t.Error("the other files are gone:", err)
	}
	for kind, most := range map[string]int{"ref.create": 1, "ref.update": 0, "ref.delete": 0} {
		if n := len(fake.Audit(ghfake.Audit{Kind: kind})); n != most {
			t.Errorf("%d times %s", n, kind)
		}
	}
	return fmt.Sprintf("[pull request %d](https://github.com/acme/infra/pull/%d)", s.Number, s.Number)
}

// L-8: one pull request per branch, however often it is asked for, and the answer links it.
func TestCreatePullIsDoneOnce(t *testing.T) {
	fake, c := start(t)
	s := snapshot(t, c, 2)
	for range 3 {
		if err := c.Execute(t.Context(), s, proposal(s)); err != nil {
			t.Fatal(err)
		}
	}
	link := proposed(t, fake, c)
	// Another process finds the same one and its number, also when it was closed and its branch is gone.
	number := fake.Audit(ghfake.Audit{Kind: "pull.create"})[0].Number
	if _, err := fake.Act(ghfake.Act{As: "alice", Do: "close", Repo: "acme/infra", Number: number}); err != nil {
		t.Fatal(err)
	}
	other := client(t, fake.URL)
	if err := other.Execute(t.Context(), s, proposal(s)); err != nil {
		t.Fatal(err)
	}
	if n := len(fake.Audit(ghfake.Audit{Kind: "pull.create"})); n != 1 {
		t.Errorf("%d pull requests after it was closed", n)
	}
	body := "<!-- steward:drift v1 dropped= -->\nsee " + thread.PullLink(branchName) + "."
	for _, who := range []*Client{c, other} {
		if err := who.Execute(t.Context(), s, thread.PostComment{Topic: fmt.Sprintf("drift%p", who), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range fake.Audit(ghfake.Audit{Kind: "comment.create"}) {
		if !strings.Contains(a.Body, "see "+link+".") {
			t.Errorf("the comment says %s", a.Body)
		}
	}
}

// Whatever request fails, before or after it took effect: asking again ends with one whole pull request.
func TestCreatePullHealsAnyFault(t *testing.T) {
	clean, c := start(t)
	s := snapshot(t, c, 2)
	before := len(clean.Requests())
	if err := c.Execute(t.Context(), s, proposal(s)); err != nil {
		t.Fatal(err)
	}
	steps := len(clean.Requests()) - before
	if steps != 7 {
		t.Errorf("%d requests", steps)
	}
	for step := 1; step <= steps; step++ {
		for _, fault := range []ghfake.Fault{
			{Action: "status", Status: 500}, {Action: "status", Status: 502, After: true}, {Action: "reset"}, {Action: "reset", After: true},
			{Action: "truncate"}, {Action: "status", Status: 403}, {Action: "secondary", Seconds: 1}, {Action: "status", Status: 404}, {Action: "status", Status: 422},
		} {
			t.Run(fmt.Sprintf("%d %s %d %t", step, fault.Action, fault.Status, fault.After), func(t *testing.T) {
				fake, c := start(t)
				s := snapshot(t, c, 2)
				fault.Nth = step
				if err := fake.Inject(fault); err != nil {
					t.Fatal(err)
				}
				if err := c.Execute(t.Context(), s, proposal(s)); err == nil && fault.Status != 404 && fault.Status != 422 && (fault.Action != "reset" || step > 3) {
					t.Error("the fault went unnoticed") // net/http repeats a GET whose connection was reset
				}
				fake.Heal()
				if err := c.Execute(t.Context(), s, proposal(s)); err != nil {
					t.Fatal(err)
				}
				proposed(t, fake, c)
			})
		}
	}
}

// The base may have moved between two attempts: what was begun is finished as it was begun.
func TestCreatePullGoesOnWithItsOwnBranch(t *testing.T) {
	fake, c := start(t)
	s := snapshot(t, c, 2)
	if err := fake.Inject(ghfake.Fault{Method: "POST", Path: "/pulls$", Action: "status", Status: 500}); err != nil {
		t.Fatal(err)
	}
	if err := c.Execute(t.Context(), s, proposal(s)); err == nil {
		t.Fatal("no error")
	}
	fake.Heal()
	if _, err := fake.Act(ghfake.Act{As: "alice", Do: "push", Repo: "acme/infra", Branch: "main", Files: map[string]string{"new": "x"}}); err != nil {
		t.Fatal(err)
	}
	moved := snapshot(t, c, 2)
	if moved.BaseCommit == s.BaseCommit {
		t.Fatal("the base did not move")
	}
	if err := c.Execute(t.Context(), moved, proposal(moved)); err != nil {
		t.Fatal(err)
	}
	proposed(t, fake, c)
}

// L-8: a branch that somebody else made or moved is left alone.
func TestCreatePullLeavesForeignBranchesAlone(t *testing.T) {
	fake, c := start(t)
	s := snapshot(t, c, 2)
	if _, err := fake.Act(ghfake.Act{As: "alice", Do: "push", Repo: "acme/infra", Branch: branchName, Files: map[string]string{"evil": "x"}}); err != nil {
		t.Fatal(err)
	}
	err := c.Execute(t.Context(), s, proposal(s))
	if err == nil || !strings.Contains(err.Error(), "somebody else has moved it") {
		t.Errorf("err = %v", err)
	}
	for _, kind := range []string{"pull.create", "ref.update", "ref.delete"} {
		if n := len(fake.Audit(ghfake.Audit{Kind: kind, Login: "steward[bot]"})); n != 0 {
			t.Errorf("%d times %s", n, kind)
		}
	}
}

// GitHub ignores a head that it does not understand, and an organization may own a fork: only a pull request from
// our branch of this repository counts, an open one before others.
func TestPullOf(t *testing.T) {
	const entry = `{"number":%d,"html_url":"https://github.com/acme/infra/pull/%d","state":%q,"head":{"ref":%q,"repo":%s}}`
	ours, fork := `{"full_name":"Acme/infra"}`, `{"full_name":"acme/infra-fork"}`
	tests := []struct {
		listed []string
		want   string
	}{
		{nil, ""},
		{[]string{fmt.Sprintf(entry, 1, 1, "open", "other", ours)}, ""},
		{[]string{fmt.Sprintf(entry, 1, 1, "open", branchName, fork)}, ""},
		{[]string{fmt.Sprintf(entry, 1, 1, "closed", branchName, "null")}, ""},
		{[]string{fmt.Sprintf(entry, 1, 1, "open", branchName, ours)}, "[pull request 1](https://github.com/acme/infra/pull/1)"},
		{[]string{fmt.Sprintf(entry, 3, 3, "closed", branchName, ours), fmt.Sprintf(entry, 5, 5, "closed", branchName, ours), fmt.Sprintf(entry, 4, 4, "closed", branchName, ours)},
			"[pull request 5](https://github.com/acme/infra/pull/5)"},
		{[]string{fmt.Sprintf(entry, 3, 3, "closed", branchName, ours), fmt.Sprintf(entry, 2, 2, "open", branchName, ours), fmt.Sprintf(entry, 4, 4, "closed", branchName, ours)},
			"[pull request 2](https://github.com/acme/infra/pull/2)"},
	}
	for i, tt := range tests {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); q.Get("head") != "acme:"+branchName || q.Get("state") != "all" {
				t.Errorf("asked for %v", q)
			}
			fmt.Fprintf(w, "[%s]", strings.Join(tt.listed, ","))
		}))
		c := client(t, server.URL)
		there, err := c.pullOf(t.Context(), acme, branchName)
		server.Close()
		got := c.pulls.fill(acme, thread.PullLink(branchName))
		if want := tt.want; err != nil || there != (want != "") || want != "" && got != want {
			t.Errorf("%d: %t, %s, %v; want %s", i, there, got, err, want)
		}
	}
}

func TestTwoProcessesOpenOnePull(t *testing.T) {
	fake, c := start(t)
	other := client(t, fake.URL)
	s := snapshot(t, c, 2)
	errs := make(chan error, 2)
	for _, who := range []*Client{c, other} {
		go func() { errs <- who.Execute(t.Context(), s, proposal(s)) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Error(err)
	}
	proposed(t, fake, c)
}

func TestUnreviewedAccountsOpenNoPulls(t *testing.T) {
	fake, c := start(t)
	c.opts.Unreviewed = func() []string { return []string{"k8s-ci-robot", "Steward[bot]"} }
	s := snapshot(t, c, 2)
	if err := c.Execute(t.Context(), s, proposal(s)); err == nil || !strings.Contains(err.Error(), "merged without review") {
		t.Errorf("err = %v", err)
	}
	bad := proposal(s)
	c.opts.Unreviewed = nil
	for _, branch := range []string{"main", "steward/drift/../main", "refs/heads/steward/drift/a"} {
		bad.Branch = branch
		if err := c.Execute(t.Context(), s, bad); err == nil {
			t.Errorf("branch %q was taken", branch)
		}
	}
	writes := slices.DeleteFunc(fake.Requests(), func(r ghfake.Request) bool { return r.Method == "GET" || r.Path == "/graphql" })
	if len(writes) != 0 {
		t.Errorf("%v", writes)
	}
}
