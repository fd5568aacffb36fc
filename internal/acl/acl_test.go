// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"sigs.k8s.io/steward/internal/acl"
)

// tree makes a file system of a txtar archive.
func tree(archive string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return files
}

func load(t testing.TB, fsys fs.FS, opts acl.Options) *acl.Tree {
	t.Helper()
	loaded, err := acl.Load(fsys, "0123456789abcdef", opts)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func names(s acl.Set) string { return strings.Join(slices.Sorted(maps.Keys(s)), " ") }

// rootApprovers is the first file of most cases: alice owns everything.
const rootApprovers = `
-- OWNERS --
approvers: [alice]
`

// The twelve ways in which Prow fails open (docs/owners.md). Each case names who
// asks for which path, the strict answer and what Prow's rules say.
func TestFailClosed(t *testing.T) {
	for _, c := range []struct {
		rule, files, user, path string
		code                    string // strict; "" allows
		compat                  bool
	}{
		{"F1 malformed YAML in a restricted directory", rootApprovers + `
-- dns/OWNERS --
options:
  no_parent_owners: true
approvers: [bob
`, "alice", "dns/zone", acl.CodeMalformed, true},
		{"F1 holds below the broken directory too", rootApprovers + "-- dns/OWNERS --\n- bob\n-- dns/a/OWNERS --\nreviewers: [bob]\n", "alice", "dns/a/zone", acl.CodeMalformed, true},
		{"F1 a nearer readable file still grants", rootApprovers + "-- dns/OWNERS --\n\tx\n-- dns/a/OWNERS --\napprovers: [bob]\n", "bob", "dns/a/zone", "", true},
		{"F1 duplicate keys hide one another", rootApprovers + "-- dns/OWNERS --\napprovers: [bob]\napprovers: [eve]\n", "eve", "dns/zone", acl.CodeMalformed, true},
		{"F1 a second document is never read", rootApprovers + "-- dns/OWNERS --\nlabels: [a]\n---\noptions: {no_parent_owners: true}\n", "alice", "dns/zone", acl.CodeMalformed, true},
		{"F1 an option that is no boolean", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owners: \"true\"}\napprovers: [bob]\n", "alice", "dns/zone", acl.CodeMalformed, true},
		{"F1 approvers that are no list", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owners: true}\napprovers: bob\n", "alice", "dns/zone", acl.CodeMalformed, true},
		{"F2 approvers beside filters", rootApprovers + `
-- dns/OWNERS --
approvers: [bob]
filters:
  "secret": {approvers: [carol]}
`, "bob", "dns/secret", acl.CodeMixed, true},
		{"F3 restricted, no filter matches", rootApprovers + `
-- dns/OWNERS --
options: {no_parent_owners: true}
filters:
  "\\.yaml$": {approvers: [bob]}
`, "alice", "dns/zone.txt", acl.CodeUnmatched, true},
		{"F3 the filter that matches grants", rootApprovers + `
-- dns/OWNERS --
options: {no_parent_owners: true}
filters:
  "\\.yaml$": {approvers: [bob]}
`, "bob", "dns/a/zone.yaml", "", true},
		{"F3 not restricted: the parents decide", rootApprovers + "-- dns/OWNERS --\nfilters:\n  x: {approvers: [bob]}\n", "alice", "dns/zone", "", true},
		{"F4 restricted and empty", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owners: true}\nlabels: [area/dns]\n", "alice", "dns/zone", acl.CodeVacant, true},
		{"F4 restricted to an empty alias", rootApprovers + "-- OWNERS_ALIASES --\naliases: {team-a: []}\n-- dns/OWNERS --\noptions: {no_parent_owners: true}\napprovers: [team-a]\n", "alice", "dns/zone", acl.CodeVacant, true},
		{"F6 bad regular expression", rootApprovers + `
-- dns/OWNERS --
options: {no_parent_owners: true}
filters:
  "(": {approvers: [bob]}
`, "alice", "dns/zone", acl.CodePattern, true},
		{"F6 one bad filter spoils the file", rootApprovers + "-- dns/OWNERS --\nfilters:\n  \".*\": {approvers: [bob]}\n  \"[\": {approvers: [carol]}\n", "bob", "dns/zone", acl.CodePattern, true},
		{"F7 malformed aliases grant nothing", rootApprovers + "-- OWNERS_ALIASES --\naliases:\n  team-a: bob\n-- dns/OWNERS --\napprovers: [team-a]\n", "bob", "dns/zone", acl.CodeAliases, false},
		{"F7 an alias of the broken file is no login", rootApprovers + "-- OWNERS_ALIASES --\naliases: {teama: [bob, {}]}\n-- dns/OWNERS --\napprovers: [teama]\n", "teama", "dns/zone", acl.CodeAliases, true},
		{"F7 a name with a hyphen may be a lost alias", rootApprovers + "-- OWNERS_ALIASES --\naliases: [\n-- dns/OWNERS --\napprovers: [dns-people]\n", "dns-people", "dns/zone", acl.CodeAliases, true},
		{"F7 a member of the broken file is a login", rootApprovers + "-- OWNERS_ALIASES --\naliases:\n  x: 1\n  y:\n  - stp-ip\n-- dns/OWNERS --\napprovers: [stp-ip]\n", "stp-ip", "dns/zone", "", true},
		{"F7 plain logins keep their grants", rootApprovers + "-- OWNERS_ALIASES --\n[\n", "alice", "dns/zone", "", true},
		{"F7 an undefined alias is no login", rootApprovers + "-- dns/OWNERS --\napprovers: [sig-dns-leads]\n", "sig-dns-leads", "dns/zone", acl.CodeNotLogin, true},
		{"F7 aliases are expanded once", rootApprovers + "-- OWNERS_ALIASES --\naliases: {team-a: [team-b], team-b: [bob]}\n-- dns/OWNERS --\napprovers: [team-a]\n", "bob", "dns/zone", acl.CodeNotApprover, false},
		{"F7 a nested alias is no login", rootApprovers + "-- OWNERS_ALIASES --\naliases: {a: [b], b: [bob]}\n-- dns/OWNERS --\napprovers: [a]\n", "b", "dns/zone", acl.CodeNotLogin, true},
		{"F11 an unknown key does not deny", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owner: true}\nminimum_reviewers: 2\napprovers: [bob]\n", "alice", "dns/zone", "", true},
		{"F11 case is folded, so the restriction holds", rootApprovers + "-- dns/OWNERS --\nOptions: {No_Parent_Owners: true}\napprovers: [bob]\n", "alice", "dns/zone", acl.CodeNotApprover, false},
		{"F11 words of YAML 1.1 are booleans", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owners: yes}\napprovers: [bob]\n", "alice", "dns/zone", acl.CodeNotApprover, false},
		{"F12 dot dot", rootApprovers + "-- dns/OWNERS --\noptions: {no_parent_owners: true}\napprovers: [bob]\n", "alice", "x/../dns/zone", acl.CodePath, false},
		{"O-14 bounds: too large", rootApprovers + "-- dns/OWNERS --\napprovers: [bob]\n#" + strings.Repeat("x", 300<<10) + "\n", "bob", "dns/zone", acl.CodeMalformed, false},
		{"O-14 bounds: deep", rootApprovers + "-- dns/OWNERS --\napprovers: [bob]\nx: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n", "bob", "dns/zone", acl.CodeMalformed, true},
		{"O-14 bounds: alias bomb", rootApprovers + "-- dns/OWNERS --\na: &a [x,x]\nb: &b [*a,*a]\napprovers: [*b,*b]\n", "x", "dns/zone", acl.CodeMalformed, false},
		{"O-14 bounds: regexp that blows up", rootApprovers + "-- dns/OWNERS --\nfilters:\n  \"((a{30}){30}b{9}){1,30}\": {approvers: [bob]}\n  \".*\": {approvers: [bob]}\n", "bob", "dns/zone", acl.CodePattern, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			files := tree(c.files)
			strict := load(t, files, acl.Options{})
			e := strict.Explain(c.user, c.path)
			if e.Code != c.code || e.Allowed != (c.code == "") {
				t.Errorf("strict: %t %s (%s), want code %q", e.Allowed, e.Code, e.Reason, c.code)
			}
			compat := load(t, files, acl.Options{Mode: acl.Compat}).Explain(c.user, c.path)
			if compat.Allowed != c.compat {
				t.Errorf("compat: %t (%s), want %t", compat.Allowed, compat.Reason, c.compat)
			}
		})
	}
}

// F4 and F5: facts about membership.
func TestMembership(t *testing.T) {
	files := tree(rootApprovers + `
-- dns/OWNERS --
options: {no_parent_owners: true}
approvers: [Bob, carol]
-- open/OWNERS --
approvers: [bob]
`)
	strict, compat := load(t, files, acl.Options{}), load(t, files, acl.Options{Mode: acl.Compat})
	for _, c := range []struct {
		rule       string
		members    acl.Members
		user, path string
		code       string
		compat     bool
	}{
		{"no facts", nil, "bob", "dns/zone", "", true},
		{"F4 all have left, a leaver asks", acl.EveryMember("alice"), "bob", "dns/zone", acl.CodeVacant, false},
		{"F4 all have left, root asks", acl.EveryMember("alice"), "alice", "dns/zone", acl.CodeVacant, true},
		{"one has left", acl.EveryMember("alice", "@Carol"), "bob", "dns/zone", acl.CodeNotMember, false},
		{"one is left", acl.EveryMember("alice", "@Carol"), "carol", "dns/zone", "", true},
		{"a leaver in an open directory", acl.EveryMember("alice"), "bob", "open/x", acl.CodeNotMember, false},
		{"F5 the listing failed", acl.UnknownMembers(), "bob", "dns/zone", acl.CodeUnverified, true},
		{"F5 not listed anyway", acl.UnknownMembers(), "alice", "dns/zone", acl.CodeNotApprover, false},
		{"F5 only the acting login is asked for", acl.SomeMembers(map[string]acl.Standing{"BOB": acl.Unknown}), "bob", "dns/zone", acl.CodeUnverified, true},
		{"the acting login is a member", acl.SomeMembers(map[string]acl.Standing{"bob": acl.Member}), "bob", "dns/zone", "", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if e := strict.WithMembers(c.members).Explain(c.user, c.path); e.Code != c.code || e.Allowed != (c.code == "") {
				t.Errorf("strict: %t %s (%s), want code %q", e.Allowed, e.Code, e.Reason, c.code)
			}
			if e := compat.WithMembers(c.members).Explain(c.user, c.path); e.Allowed != c.compat {
				t.Errorf("compat: %t (%s), want %t", e.Allowed, e.Reason, c.compat)
			}
		})
	}
	strict.WithMembers(acl.EveryMember())
	if ok, _ := strict.Allowed("bob", "dns/zone"); !ok {
		t.Error("F10: WithMembers changed the tree it was called on")
	}
}

// F12: a path that could mean another one is refused by every query.
func TestPathsAreRefused(t *testing.T) {
	loaded := load(t, tree(rootApprovers), acl.Options{})
	for _, p := range []string{
		"", "/", "/etc", "..", "../x", "a/..", "a/../b", "a//b", "./a", "a/./b", "a\x00b", "a\\b", "a\nb", "a\x7fb", "a\u0085b",
		"a/b//", "\xff", strings.Repeat("a", acl.MaxPathBytes+1),
	} {
		if _, err := loaded.Approvers(p); err == nil || !strings.HasPrefix(err.Error(), acl.CodePath) {
			t.Errorf("Approvers(%q): %v", p, err)
		}
		if e := loaded.Explain("alice", p); e.Allowed || e.Code != acl.CodePath {
			t.Errorf("Explain(%q): %+v", p, e)
		}
		if ok, err := loaded.Allowed("alice", p); ok || err == nil {
			t.Errorf("Allowed(%q)", p)
		}
		if _, err := loaded.FindApproverOwnersForFile(p); err == nil {
			t.Errorf("FindApproverOwnersForFile(%q)", p)
		}
		if _, err := loaded.RequiredReviewers(p); err == nil {
			t.Errorf("RequiredReviewers(%q)", p)
		}
	}
	for _, p := range []string{".", "a", "a/", "a/b c", "a/…", "a/@team", "a/..b", "..."} {
		if ok, err := loaded.Allowed("alice", p); !ok || err != nil {
			t.Errorf("Allowed(%q): %v", p, err)
		}
	}
}

const queryTree = `
-- OWNERS_ALIASES --
aliases:
  team-a: [Ann, bob]
  team-r: [rob]
-- OWNERS --
approvers: [Root1, "@root2"]
reviewers: [team-r]
required_reviewers: [sec]
labels: [top]
-- a/OWNERS --
approvers: [team-a]
reviewers: [ray]
labels: [A]
options: {auto_approve_unowned_subfolders: true}
-- a/b/OWNERS --
options: {no_parent_owners: true}
filters:
  ".*": {approvers: [zoe], labels: [B]}
  "\\.go$": {reviewers: [gopher], required_reviewers: [lint]}
-- a/b/c/OWNERS --
reviewers: [cat]
-- labels/OWNERS --
options: {no_parent_owners: true}
labels: [only]
-- docs/page.md --
---
title: a page
approvers: [writer]
labels: [docs]
---
# text
-- docs/plain.md --
no header
`

// The queries, by docs/owners.md O-5 to O-9; in both modes where they agree.
func TestQueries(t *testing.T) {
	files := tree(queryTree)
	for _, mode := range []acl.Mode{acl.Strict, acl.Compat} {
		loaded := load(t, files, acl.Options{Mode: mode, MarkdownFrontMatter: true})
		query := map[string]func(string) (acl.Set, error){
			"approvers":      func(p string) (acl.Set, error) { l, err := loaded.Approvers(p); return l.Set(), err },
			"reviewers":      func(p string) (acl.Set, error) { l, err := loaded.Reviewers(p); return l.Set(), err },
			"leaf approvers": loaded.LeafApprovers, "leaf reviewers": loaded.LeafReviewers,
			"required": loaded.RequiredReviewers, "labels": loaded.FindLabelsForFile,
			"owners file": func(p string) (acl.Set, error) {
				dir, err := loaded.FindApproverOwnersForFile(p)
				return acl.Set{dir: {}}, err
			},
		}
		for _, c := range []struct{ query, path, want string }{
			{"approvers", "x", "root1 root2"},
			{"approvers", "a/x", "ann bob root1 root2"},
			{"approvers", "a/b/x", "zoe"},
			{"approvers", "a/b/c/d/e", "zoe"},
			{"approvers", "a", "ann bob root1 root2"},
			{"approvers", "a/", "ann bob root1 root2"},
			{"approvers", ".", "root1 root2"},
			{"approvers", "docs/page.md", "root1 root2 writer"},
			{"approvers", "docs/plain.md", "root1 root2"},
			{"leaf approvers", "a/x", "ann bob"},
			{"leaf approvers", "docs/page.md", "writer"},
			{"reviewers", "a/x", "ray rob"},
			{"reviewers", "a/b/c/x.go", "cat gopher"},
			{"leaf reviewers", "a/b/c/x.go", "cat"},
			{"required", "a/b/x.go", "lint"},
			{"required", "a/b/x.md", "sec"},
			{"labels", "a/x", "A top"},
			{"labels", "a/b/c/x", "B"},
			{"labels", "labels/x", "only"},
			{"owners file", "a/x", "a"},
			{"owners file", "a/b/c/x", "a/b"},
			{"owners file", "x", ""},
			{"owners file", "docs/page.md", "docs/page.md"},
		} {
			got, err := query[c.query](c.path)
			if err != nil || names(got) != c.want {
				t.Errorf("%s: %s of %s = %q, %v; want %q", mode, c.query, c.path, names(got), err, c.want)
			}
		}
		for dir, want := range map[string]bool{"": false, ".": false, "a": false, "a/b": true, "a/b/c": false, "none": false, "../a/b": false} {
			if loaded.IsNoParentOwners(dir) != want {
				t.Errorf("%s: IsNoParentOwners(%q) is not %t", mode, dir, want)
			}
		}
		if !loaded.IsAutoApproveUnownedSubfolders("a") || loaded.IsAutoApproveUnownedSubfolders("a/b") {
			t.Errorf("%s: IsAutoApproveUnownedSubfolders", mode)
		}
		if got := names(loaded.AllOwners()); got != "ann bob cat gopher ray rob root1 root2 writer zoe" {
			t.Errorf("%s: AllOwners %q", mode, got)
		}
		if got := names(loaded.TopLevelApprovers()); got != "root1 root2" {
			t.Errorf("%s: TopLevelApprovers %q", mode, got)
		}
		layers, _ := loaded.Approvers("a/x/y")
		if len(layers) != 4 || names(layers[2]) != "ann bob" || names(layers[3]) != "root1 root2" {
			t.Errorf("%s: layers %v", mode, layers)
		}
	}
}

// A broken file must not lower what a change needs, nor switch an option on.
func TestBrokenFilesAreNotOpen(t *testing.T) {
	files := tree(rootApprovers + "-- a/OWNERS --\noptions: {auto_approve_unowned_subfolders: true}\nrequired_reviewers: [sec]\nfilters: {x: {}}\n")
	loaded := load(t, files, acl.Options{})
	if _, err := loaded.RequiredReviewers("a/b/x"); err == nil || !strings.Contains(err.Error(), "a/OWNERS") {
		t.Errorf("required reviewers: %v", err)
	}
	if loaded.IsAutoApproveUnownedSubfolders("a") {
		t.Error("auto approval by a broken file")
	}
	if !loaded.IsNoParentOwners("a") {
		t.Error("the broken file does not shut out its parents")
	}
	if dir, _ := loaded.FindApproverOwnersForFile("a/b/x"); dir != "a" {
		t.Errorf("decided by %q", dir)
	}
}

// O-4: what is read at all.
func TestIgnored(t *testing.T) {
	files := tree(rootApprovers)
	for _, dir := range []string{".git", "x/.git", "_output", "vendor/a/b", "vendor/a/b/c", "mine"} {
		files[dir+"/OWNERS"] = &fstest.MapFile{Data: []byte("approvers: [eve]\n")}
	}
	files["vendor/a/OWNERS"] = &fstest.MapFile{Data: []byte("approvers: [eve]\n")}
	loaded := load(t, files, acl.Options{DirDenylist: []string{"^mine$"}})
	for path, want := range map[string]bool{
		".git/f": false, "x/.git/f": false, "_output/f": false, "vendor/a/b/f": true, "vendor/a/b/c/f": true, "vendor/a/f": true, "mine/f": false,
	} {
		got, err := loaded.LeafApprovers(path)
		if err != nil || got.Has("eve") != want {
			t.Errorf("%s: %v, %v", path, got, err)
		}
	}
	if _, err := acl.Load(files, "", acl.Options{DirDenylist: []string{"("}}); err == nil {
		t.Error("a bad denylist was accepted")
	}
}

// O-4: a link or submodule called OWNERS could hide a restriction.
func TestIrregularFiles(t *testing.T) {
	files := tree(rootApprovers)
	files["a/OWNERS"] = &fstest.MapFile{Data: []byte("../OWNERS"), Mode: fs.ModeSymlink}
	if e := load(t, files, acl.Options{}).Explain("alice", "a/f"); e.Code != acl.CodeMalformed {
		t.Errorf("strict: %+v", e)
	}
	if e := load(t, files, acl.Options{Mode: acl.Compat}).Explain("alice", "a/f"); !e.Allowed {
		t.Errorf("compat: %+v", e)
	}
	files["OWNERS_ALIASES"] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink}
	files["b/OWNERS"] = &fstest.MapFile{Data: []byte("approvers: [b-team]\n")}
	if e := load(t, files, acl.Options{}).Explain("bob", "b/f"); e.Code != acl.CodeAliases {
		t.Errorf("aliases: %+v", e)
	}
}

// The explanation names file, line, alias and filter, and who could help.
func TestExplain(t *testing.T) {
	loaded := load(t, tree(`
-- OWNERS_ALIASES --
aliases:
  team-a:
  - ann
  - bob
-- OWNERS --
approvers:
- root
-- dns/OWNERS --
options:
  no_parent_owners: true
filters:
  "\\.yaml$":
    approvers:
    - team-a
-- dns/sub/OWNERS --
approvers: [sue]
-- broken/OWNERS --
approvers: [x
`), acl.Options{})

	e := loaded.Explain("@Bob", "dns/zone.yaml")
	if !e.Allowed || e.File != "dns/OWNERS" || e.Line != 6 || e.Alias != "team-a" || e.AliasLine != 4 || e.Filter != "\\.yaml$" {
		t.Errorf("grant: %+v", e)
	}
	if e.Commit != "0123456789abcdef" || e.User != "bob" || len(e.Grants) != 0 {
		t.Errorf("grant: %+v", e)
	}

	e = loaded.Explain("root", "dns/sub/zone.yaml")
	if e.Allowed || e.Code != acl.CodeNotApprover || e.File != "dns/OWNERS" || e.Line != 2 {
		t.Errorf("denial: %+v", e)
	}
	var outcomes []string
	for _, s := range e.Steps {
		outcomes = append(outcomes, s.File+" "+s.Outcome)
	}
	if want := []string{"dns/sub/OWNERS not-listed", "dns/OWNERS stops", "OWNERS not-considered"}; !slices.Equal(outcomes, want) {
		t.Errorf("steps %q, want %q", outcomes, want)
	}
	if len(e.Grants) != 2 || e.Grants[0].People[0] != "sue" || e.Grants[1].Names[0] != "team-a" || !slices.Equal(e.Grants[1].People, []string{"ann", "bob"}) {
		t.Errorf("grants %+v", e.Grants)
	}

	e = loaded.Explain("root", "broken/f")
	if e.Mend != "broken/OWNERS" || e.File != "broken/OWNERS" || len(e.Grants) != 1 || e.Grants[0].People[0] != "root" {
		t.Errorf("broken: %+v", e)
	}
	if e := loaded.Explain("root", "dns/other"); e.Code != acl.CodeUnmatched || e.Mend != "dns/OWNERS" || e.Grants[0].File != "OWNERS" {
		t.Errorf("unmatched: %+v", e)
	}
	if e := load(t, fstest.MapFS{}, acl.Options{}).Explain("root", "f"); e.Allowed || e.Code != acl.CodeNotApprover || e.File != "" {
		t.Errorf("empty tree: %+v", e)
	}
}
