// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/thread"
)

const world = `
-- github.yaml --
users:
  steward[bot]: {}
  alice: {}
  mallory: {}
tokens: {t-bot: "steward[bot]"}
orgs:
  acme: {members: {alice: member}}
repos:
  acme/infra:
    collaborators: {"steward[bot]": write, alice: read}
-- repo/acme/infra/OWNERS --
approvers: [alice]
-- repo/acme/infra/dns/OWNERS --
approvers: [dora]
-- repo/acme/infra/dns/zone.yaml --
a: 1
-- repo/acme/infra/old.txt --
some text that is long enough to be recognised as renamed
-- issue/acme/infra/1/issue.yaml --
title: a question
author: alice
-- pull/acme/infra/2/pull.yaml --
title: a change
author: mallory
renames: {old.txt: dns/new.txt}
comments: [{author: alice, body: "/infra why"}]
reviews: [{author: alice, state: APPROVED}]
statuses: [{context: ci, state: success, description: fine}]
-- pull/acme/infra/2/files/dns/zone.yaml --
a: 2
`

var acme = thread.Repo{Org: "acme", Name: "infra"}

func key(n int) thread.Key { return thread.Key{Repo: acme, Number: n} }

func start(t *testing.T) (*ghfake.Running, *Client) {
	t.Helper()
	fake := ghfake.Start(t, world)
	return fake, client(t, fake.URL)
}

func client(t *testing.T, endpoints ...string) *Client {
	t.Helper()
	c, err := New(Options{
		Endpoints: endpoints, GraphQL: endpoints[len(endpoints)-1] + "/graphql",
		Token: func(string) (string, error) { return "t-bot", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func snapshot(t *testing.T, c *Client, n int) *thread.Snapshot {
	t.Helper()
	s, err := c.Snapshot(t.Context(), key(n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// L-1: one look costs one query and one request for the files.
func TestSnapshotOfAPull(t *testing.T) {
	fake, c := start(t)
	s := snapshot(t, c, 2)
	if s.Where != thread.OpenPull || s.Author != "mallory" || s.Own() || s.Bot != "steward[bot]" || s.Base != "main" || len(s.BaseCommit) != 40 || len(s.Head) != 40 {
		t.Errorf("%v by %s, bot %s, base %s at %s, head %s", s.Where, s.Author, s.Bot, s.Base, s.BaseCommit, s.Head)
	}
	if st := s.Statuses["ci"]; st.State != thread.Success || st.Description != "fine" {
		t.Errorf("statuses %v", s.Statuses)
	}
	if len(s.Reviews) != 1 || s.Reviews[0] != (thread.Review{Author: "alice", State: "APPROVED"}) {
		t.Errorf("reviews %v", s.Reviews)
	}
	if len(s.Comments) != 1 || s.Comments[0].Body != "/infra why" || s.Comments[0].ID < 1_000_000 || s.Comments[0].Edited {
		t.Errorf("comments %+v", s.Comments)
	}
	var files []string
	for _, f := range s.Files {
		files = append(files, f.Status+" "+f.Previous+">"+f.Path)
	}
	if want := []string{"renamed old.txt>dns/new.txt", "modified >dns/zone.yaml"}; !slices.Equal(files, want) {
		t.Errorf("files %q", files)
	}
	if n := len(fake.Requests()); n != 2 {
		t.Errorf("%d requests: %v", n, fake.Requests())
	}
}

func TestSnapshotOfAnIssueAndOfNothing(t *testing.T) {
	fake, c := start(t)
	if s := snapshot(t, c, 1); s.Where != thread.OpenIssue || s.IsPull() || s.Base != "main" || len(s.BaseCommit) != 40 {
		t.Errorf("%+v", s)
	}
	for range 3 {
		must(t, fake, ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 1, Body: "x"})
	}
	_, err := c.Snapshot(t.Context(), key(99))
	if !IsNotFound(err) {
		t.Errorf("err = %v", err)
	}
}

func must(t *testing.T, fake *ghfake.Running, a ghfake.Act) ghfake.Result {
	t.Helper()
	r, err := fake.Act(a)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Long threads are read whole, and ids beyond 2^31, which GitHub reached in
// 2024, are kept.
func TestManyComments(t *testing.T) {
	fake := ghfake.StartWith(t, ghfake.Options{FirstID: 1 << 33}, world)
	c := client(t, fake.URL)
	for i := range 250 {
		must(t, fake, ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 2, Body: fmt.Sprint(i)})
	}
	s := snapshot(t, c, 2)
	if len(s.Comments) != 251 || s.Comments[250].Body != "249" || s.Comments[250].ID < 1<<33 {
		t.Errorf("%d comments, last %+v", len(s.Comments), s.Comments[len(s.Comments)-1])
	}
}

func TestExecuteEveryWrite(t *testing.T) {
	fake, c := start(t)
	wants := []thread.Action{
		thread.Issue{Key: "freeze/dns", Title: "dns is frozen", Text: "by alice", Data: []byte(`{"x":1}`), Open: true, Stamp: thread.Stamp{Unix: 1, Comment: 2}},
		thread.Status{Context: "steward/owners", State: thread.Failure, Description: "no", URL: "https://example.org/x"},
		thread.Sticky{Topic: "owners", Body: "hello"},
	}
	write := func() (kinds []string) {
		s := snapshot(t, c, 2)
		for _, w := range thread.Diff(s, wants) {
			if err := c.Execute(t.Context(), s, w); err != nil {
				t.Fatalf("%T: %v", w, err)
			}
			kinds = append(kinds, fmt.Sprintf("%T", w))
		}
		return kinds
	}
	if got := write(); len(got) != 3 {
		t.Fatalf("first: %v", got)
	}
	if got := write(); len(got) != 0 {
		t.Fatalf("again: %v", got)
	}
	wants = []thread.Action{
		thread.Issue{Key: "freeze/dns", Title: "dns was frozen", Stamp: thread.Stamp{Unix: 3}},
		thread.Sticky{Topic: "owners", Body: "bye"},
	}
	if got := write(); len(got) != 2 {
		t.Fatalf("edits: %v", got)
	}
	s := snapshot(t, c, 2)
	if r, ok := s.Record("freeze/dns"); !ok || r.Open || r.Title != "dns was frozen" {
		t.Errorf("record %+v", r)
	}
	wants = []thread.Action{thread.Sticky{Topic: "owners"}}
	if got := write(); len(got) != 1 || len(snapshot(t, c, 2).Comments) != 1 {
		t.Errorf("delete: %v", got)
	}
	if n := len(fake.Audit(ghfake.Audit{Kind: "issue.create"})); n != 1 {
		t.Errorf("%d issues were made", n)
	}
}

// A record that somebody else wrote is not a record.
func TestForeignRecords(t *testing.T) {
	fake, c := start(t)
	body := thread.Issue{Key: "freeze/dns", Open: true}.Render()
	must(t, fake, ghfake.Act{As: "mallory", Do: "open-issue", Repo: "acme/infra", Title: "x", Body: body, Labels: []string{thread.RecordLabel}})
	if r := snapshot(t, c, 1).Records; len(r) != 0 {
		t.Errorf("records %+v", r)
	}
}

// L-5: where another process was faster, ours goes.
func TestRaces(t *testing.T) {
	fake, c := start(t)
	s := snapshot(t, c, 2)
	want := []thread.Action{
		thread.Issue{Key: "freeze/dns", Title: "t", Open: true, Stamp: thread.Stamp{Unix: 1}},
		thread.Answer{Topic: "owners", Comment: 5, Body: "x"},
	}
	writes := thread.Diff(s, want)
	for _, w := range writes {
		if err := c.Execute(t.Context(), s, w); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range writes { // the other process, with the same old snapshot
		if err := c.Execute(t.Context(), s, w); !errors.Is(err, ErrRaced) {
			t.Errorf("%T: err = %v", w, err)
		}
	}
	s = snapshot(t, c, 2)
	if len(s.Comments) != 2 || len(s.Records) != 1 {
		t.Errorf("%d comments, records %+v", len(s.Comments), s.Records)
	}
	_ = fake
}

func TestMember(t *testing.T) {
	fake, c := start(t)
	for login, want := range map[string]bool{"alice": true, "mallory": false, "ALICE": true} {
		if got, err := c.Member(t.Context(), acme, login); err != nil || got != want {
			t.Errorf("%s: %v, %v", login, got, err)
		}
	}
	if n := fake.Counters()["GET /repos/{owner}/{repo}/collaborators/{user}"]; n.Total > 2 {
		t.Errorf("the cache does not fold case: %+v", fake.Counters())
	}
	if err := fake.Inject(ghfake.Fault{Path: "collaborators", Action: "status", Status: 500}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Member(t.Context(), acme, "bob"); err == nil {
		t.Error("a failed question was answered")
	}
	if got, err := c.Member(t.Context(), acme, "alice"); err != nil || !got {
		t.Error("a cached answer was lost")
	}
}

func TestRateLimits(t *testing.T) {
	tests := map[string]ghfake.Fault{
		"primary":        {Action: "rate-limit", Seconds: 600},
		"secondary":      {Action: "secondary", Seconds: 600},
		"secondary 429":  {Action: "secondary", Seconds: 600, Status: 429},
		"without a time": {Action: "status", Status: 403, Body: `{"message":"You have exceeded a secondary rate limit."}`},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			fake, c := start(t)
			if err := fake.Inject(fault); err != nil {
				t.Fatal(err)
			}
			_, err := c.Snapshot(t.Context(), key(2))
			var limit *RateLimitError
			if !errors.As(err, &limit) {
				t.Fatalf("err = %v", err)
			}
			left := time.Until(limit.PauseUntil())
			want := 10 * time.Minute
			if name == "without a time" {
				want = time.Minute
			}
			if left < want-10*time.Second || left > want+10*time.Second {
				t.Errorf("pause of %v", left)
			}
		})
	}
}

// L-4: a write whose outcome is unknown is not repeated by the client.
func TestWritesAreNotRepeated(t *testing.T) {
	fake, c := start(t)
	for _, f := range []ghfake.Fault{
		{Method: "POST", Path: "comments", Action: "reset", After: true, Times: 1},
		{Method: "POST", Path: "comments", Action: "status", Status: 502, After: true, Times: 1},
	} {
		fake.Heal()
		if err := fake.Inject(f); err != nil {
			t.Fatal(err)
		}
		s := snapshot(t, c, 1)
		before := len(fake.Audit(ghfake.Audit{Kind: "comment.create"}))
		if err := c.Execute(t.Context(), s, thread.PostComment{Topic: "owners", Body: "x"}); err == nil {
			t.Error("the error was swallowed")
		}
		if n := len(fake.Audit(ghfake.Audit{Kind: "comment.create"})) - before; n != 1 {
			t.Errorf("%s: %d comments", f.Action, n)
		}
	}
}

// What cannot be read whole is an error, never less of it.
func TestEveryReadFault(t *testing.T) {
	for _, action := range []string{"reset", "truncate", "status"} {
		for nth := 1; nth <= 2; nth++ {
			fake, c := start(t)
			if err := fake.Inject(ghfake.Fault{Action: action, Status: 500, Nth: nth, Times: 9}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Snapshot(t.Context(), key(2)); err == nil || IsNotFound(err) {
				t.Errorf("%s of request %d: err = %v", action, nth, err)
			}
		}
	}
}

func TestFallbackEndpoint(t *testing.T) {
	fake := ghfake.Start(t, world)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := "http://" + l.Addr().String()
	l.Close()
	c := client(t, dead, fake.URL)
	if ok, err := c.Member(t.Context(), acme, "alice"); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

// Neither an endless nor a redirected answer hurts, and no error shows the token.
func TestHostileServer(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		switch {
		case strings.Contains(r.URL.Path, "redirect"):
			http.Redirect(w, r, "https://attacker.example/", http.StatusFound)
		case strings.Contains(r.URL.Path, "deep"):
			_, _ = w.Write([]byte(strings.Repeat(`{"a":`, 100_000)))
		default:
			http.Error(w, strings.Repeat("x", 10_000)+" t-bot", 500)
		}
	}))
	defer srv.Close()
	c := client(t, srv.URL)
	for _, path := range []string{"/redirect", "/deep", "/other"} {
		_, err := c.call(context.Background(), request{method: "GET", path: path}, &struct{}{})
		if err == nil || len(err.Error()) > 600 || strings.Contains(err.Error(), "t-bot") {
			t.Errorf("%s: err = %v", path, err)
		}
	}
	if got.Get("Authorization") != "Bearer t-bot" {
		t.Errorf("headers %v", got)
	}
}

func isOwners(name string) bool { return name == "OWNERS" }

// The first tree costs one listing and one query for its OWNERS; a later commit
// costs the directories that changed.
func TestFS(t *testing.T) {
	fake, c := start(t)
	read := func() map[string]string {
		s := snapshot(t, c, 2)
		before := len(fake.Requests())
		fsys, err := c.FS(t.Context(), acme, s.BaseCommit, isOwners)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "OWNERS" {
				raw, readErr := fs.ReadFile(fsys, p)
				found[p], err = string(raw), readErr
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		found["requests"] = fmt.Sprint(len(fake.Requests()) - before)
		return found
	}
	want := map[string]string{"OWNERS": "approvers: [alice]\n", "dns/OWNERS": "approvers: [dora]\n", "requests": "2"}
	if got := read(); !maps.Equal(got, want) {
		t.Errorf("first: %q", got)
	}
	want["requests"] = "0"
	if got := read(); !maps.Equal(got, want) {
		t.Errorf("again: %q", got)
	}
	must(t, fake, ghfake.Act{As: "alice", Do: "merge", Repo: "acme/infra", Number: 2})
	want["requests"] = "2" // the root and dns
	if got := read(); !maps.Equal(got, want) {
		t.Errorf("after a merge: %q", got)
	}
}

// Whoever opens a pull request decides how many directories it has, not how many
// requests it costs.
func TestManyDirectories(t *testing.T) {
	fake, c := start(t)
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("d%d/e/OWNERS", i)] = fmt.Sprintf("approvers: [u%d]\n", i)
	}
	if _, err := c.FS(t.Context(), acme, snapshot(t, c, 2).BaseCommit, isOwners); err != nil {
		t.Fatal(err)
	}
	n := must(t, fake, ghfake.Act{As: "mallory", Do: "open-pull", Repo: "acme/infra", Title: "x", Files: files}).Number
	s := snapshot(t, c, n)
	before := len(fake.Requests())
	fsys, err := c.FS(t.Context(), acme, s.Head, isOwners)
	if err != nil {
		t.Fatal(err)
	}
	found, err := fs.Glob(fsys, "d*/e/OWNERS")
	for _, name := range found {
		if _, err := fs.ReadFile(fsys, name); err != nil {
			t.Fatal(err)
		}
	}
	if cost := len(fake.Requests()) - before; err != nil || len(found) != 500 || cost > manyTrees+10 {
		t.Errorf("%d files, %v, for %d requests", len(found), err, cost)
	}
}

func TestTruncatedTree(t *testing.T) {
	fake := ghfake.StartWith(t, ghfake.Options{TreeLimit: 2}, world)
	c := client(t, fake.URL)
	fsys, err := c.FS(t.Context(), acme, snapshot(t, c, 2).BaseCommit, isOwners)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := fs.ReadFile(fsys, "dns/OWNERS"); err != nil || string(raw) != "approvers: [dora]\n" {
		t.Errorf("%q, %v", raw, err)
	}
}

func TestLists(t *testing.T) {
	fake, c := start(t)
	first, last, err := fake.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 230})
	if err != nil {
		t.Fatal(err)
	}
	open, commit, err := c.OpenPulls(t.Context(), acme)
	if err != nil || len(open) != 231 || open[0].Contexts["ci"] != thread.Success || len(commit) != 40 {
		t.Fatalf("%d open, %v", len(open), err)
	}
	all, err := c.UpdatedSince(t.Context(), acme, time.Unix(0, 0))
	if err != nil || len(all) != 232 {
		t.Errorf("%d changed since ever, %v (bulk %d to %d)", len(all), err, first, last)
	}
	fake.Advance(time.Hour)
	must(t, fake, ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 1, Body: "x"})
	some, err := c.UpdatedSince(t.Context(), acme, open[0].Updated.Add(time.Minute))
	if err != nil || len(some) != 1 || some[0].Key.Number != 1 {
		t.Errorf("changed since: %v, %v", some, err)
	}
}
