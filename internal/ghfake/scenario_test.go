// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/ghfake"
)

func TestScenarioProblems(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"-- github.yaml --\nuser: {}\n", "github.yaml: yaml: unmarshal errors:\n  line 1: field user not found"},
		{"-- other.yaml --\n", "other.yaml: unknown section"},
		{"-- repo/acme/README.md --\n", "unknown section"},
		{"-- pull/acme/infra/x/pull.yaml --\n", `"x" is not a number`},
		{"-- pull/acme/infra/1/pul.yaml --\n", "unknown file pul.yaml (want pull.yaml)"},
		{"-- issue/acme/infra/1/files/x --\n", "unknown file files/x (want issue.yaml)"},
		{"-- pull/acme/infra/1/pull.yaml --\ntitle: x\nauthor: a\n", "acme/infra#1: no such repository"},
		{"-- repo/acme/infra/x --\n-- issue/acme/infra/1/issue.yaml --\ntitle: x\n", "acme/infra#1: author and title are required"},
		{"-- repo/acme/infra/x --\n-- pull/acme/infra/1/pull.yaml --\ntitle: x\nauthor: a\ndeletes: [y]\n", "delete y: no such file"},
		{"-- repo/acme/infra/x --\n-- pull/acme/infra/1/pull.yaml --\ntitle: x\nauthor: a\nbase: z\n", `no base branch "z"`},
		{"-- github.yaml --\nrepos:\n  acme/infra: {collaborators: {bob: push, eve: root}}\n", `repos.acme/infra.collaborators.eve: unknown level "root"`},
		{"-- github.yaml --\nrepos:\n  acme/infra: {dir: /no/such/place}\n", "repos.acme/infra.dir: "},
	} {
		sc, err := ghfake.ParseScenario([]byte(test.text))
		if err == nil {
			err = ghfake.New(ghfake.Options{}).Load(sc)
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.want)
		}
	}
}

func TestScenarioNamesAllProblems(t *testing.T) {
	_, err := ghfake.ParseScenario([]byte("-- a --\n-- b --\n"))
	if err == nil || !strings.Contains(err.Error(), "a: unknown") || !strings.Contains(err.Error(), "b: unknown") {
		t.Errorf("got %v, want both", err)
	}
}

func TestScenarioFromFile(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"world.txtar":    "-- github.yaml --\nnow: 2024-06-06T10:00:00Z\nrepos:\n  acme/infra: {dir: tree, default_branch: trunk}\n-- repo/acme/infra/b --\nfrom the section\n",
		"tree/a":         "from the directory\n",
		"tree/b":         "hidden\n",
		"tree/.git/HEAD": "no\n",
		"tree/sub/run":   "#!/bin/sh\n",
	} {
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		ok(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600))
	}
	ok(t, os.Chmod(filepath.Join(dir, "tree/sub/run"), 0o700))
	ok(t, os.Symlink("a", filepath.Join(dir, "tree/link")))
	sc := must(ghfake.ReadScenario(filepath.Join(dir, "world.txtar")))(t)
	s := ghfake.New(ghfake.Options{})
	ok(t, s.Load(sc))
	url, stop, err := s.Listen("127.0.0.1:0")
	ok(t, err)
	defer func() { ok(t, stop()) }()
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", url+"/acme/infra", clone)
	equal(t, "tree", git(t, clone, "ls-tree", "-r", "--format=%(objectmode) %(path)", "trunk"), "100644 a\n100644 b\n120000 link\n100755 sub/run")
	equal(t, "b", git(t, clone, "show", "trunk:b"), "from the section")
	equal(t, "date", git(t, clone, "log", "-1", "--format=%aI"), "2024-06-06T10:00:00+00:00")
}

func TestClockNeverGoesBack(t *testing.T) {
	now := time.Date(2024, 6, 6, 12, 0, 0, 900, time.UTC)
	gh := ghfake.StartWith(t, ghfake.Options{Clock: func() time.Time { return now }, FirstID: 5_000_000_000}, acme)
	c := as(t, gh, "bot-token")
	post := func() (string, string) {
		got := c.do("POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`).want(201)
		return got.at("created_at"), got.at("id")
	}
	at1, id1 := post()
	now = now.Add(-time.Hour)
	at2, id2 := post()
	equal(t, "second", at2, at1)
	equal(t, "whole seconds", at1, "2024-06-06T12:00:00Z")
	if id2 <= id1 {
		t.Errorf("ids: %s then %s", id1, id2)
	}
	query := `{"query":"{repository(owner:\"acme\",name:\"infra\"){issue(number:1){comments(last:1){nodes{databaseId fullDatabaseId}}}}}"}`
	got := c.do("POST", "/graphql", query).want(200)
	equal(t, "databaseId does not fit", got.at("data.repository.issue.comments.nodes.0.databaseId"), "<nil>")
	equal(t, "fullDatabaseId", got.at("data.repository.issue.comments.nodes.0.fullDatabaseId"), id2)
	as(t, gh, "").do("POST", "/_fake/clock", `{"now":"2025-01-01T00:00:00Z"}`).want(200)
	at3, _ := post()
	equal(t, "set", at3, "2025-01-01T00:00:00Z")
}

// TestRealTree loads the k8s.io repository where it is at hand.
func TestRealTree(t *testing.T) {
	dir, err := filepath.Abs("../../../shared/data/k8s.io")
	ok(t, err)
	if _, err := os.Stat(dir); err != nil {
		t.Skip("shared/data/k8s.io is not here")
	}
	gh := ghfake.Start(t, "-- github.yaml --\ntokens: {t: bot}\nrepos:\n  kubernetes/k8s.io: {dir: "+dir+", collaborators: {bot: write}}\n")
	tree := as(t, gh, "t").get("/repos/kubernetes/k8s.io/git/trees/main?recursive=1").want(200)
	equal(t, "truncated", tree.at("truncated"), "false")
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", "--quiet", "--bare", gh.URL+"/kubernetes/k8s.io", clone)
	equal(t, "tree", git(t, clone, "rev-parse", "HEAD^{tree}"), tree.at("sha"))
	git(t, clone, "fsck")
}
