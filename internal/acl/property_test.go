// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/acl"
)

// The alphabets are small, so that files meet the same people and paths.
var (
	people   = []string{"ann", "Bob", "@carol", "dave", "team-a", "sig-b-leads", "group", "undefined-leads"}
	askers   = []string{"ann", "bob", "carol", "dave", "eve", "team-a", "sig-b-leads", "group", "undefined-leads", "lost-one"}
	dirs     = []string{"", "a", "a/b", "a/b/c", "d"}
	patterns = []string{".*", `\.go$`, "^x", "b/", "(", "nothing"}
	targets  = []string{"x", "a/x.go", "a/b/y", "a/b/c/x.go", "a/b/c", "d/x", "d/y.go", "e/f", "."}
)

func pick(r *rand.Rand, from []string) string { return from[r.IntN(len(from))] }

func randomList(r *rand.Rand) string {
	var list []string
	for range r.IntN(4) {
		list = append(list, fmt.Sprintf("%q", pick(r, people)))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func randomOwners(r *rand.Rand) string {
	var b strings.Builder
	if r.IntN(3) == 0 {
		fmt.Fprintf(&b, "options: {no_parent_owners: %t}\n", r.IntN(4) > 0)
	}
	switch r.IntN(5) {
	case 0:
		b.WriteString("filters:\n")
		for _, i := range r.Perm(len(patterns))[:1+r.IntN(3)] {
			fmt.Fprintf(&b, "  %q: {approvers: %s, reviewers: %s}\n", patterns[i], randomList(r), randomList(r))
		}
	case 1:
		fmt.Fprintf(&b, "labels: [x]\n")
	case 2:
		b.WriteString(pick(r, []string{"approvers: [ann\n", "approvers: ann\n", "approvers: [ann]\nfilters: {\"x\": {approvers: [bob]}}\n", ""}))
	default:
		fmt.Fprintf(&b, "approvers: %s\nreviewers: %s\n", randomList(r), randomList(r))
	}
	return b.String()
}

func randomTree(r *rand.Rand) fstest.MapFS {
	files := fstest.MapFS{}
	for _, dir := range dirs {
		if r.IntN(4) > 0 {
			files[strings.TrimPrefix(dir+"/OWNERS", "/")] = &fstest.MapFile{Data: []byte(randomOwners(r))}
		}
	}
	aliases := []string{
		"aliases:\n  team-a: [ann, bob]\n  sig-b-leads: [carol]\n  group: [dave, lost-one]\n",
		"aliases:\n  team-a: [ann]\n  group: [team-a, dave]\n",
		"aliases:\n  team-a:\n  - ann\n  group: dave\n",
	}
	if i := r.IntN(len(aliases) + 1); i < len(aliases) {
		files["OWNERS_ALIASES"] = &fstest.MapFile{Data: []byte(aliases[i])}
	}
	return files
}

func describe(files fstest.MapFS) string {
	var b strings.Builder
	for name, f := range files {
		fmt.Fprintf(&b, "-- %s --\n%s", name, f.Data)
	}
	return b.String()
}

// On random trees: the three ways to ask agree in both modes, nobody gains by
// the strict rules, a denial can always be explained, and membership of
// everybody changes nothing.
func TestPropertiesOfDecisions(t *testing.T) {
	for seed := range uint64(300) {
		files := randomTree(rand.New(rand.NewPCG(seed, 1)))
		strict, compat := load(t, files, acl.Options{}), load(t, files, acl.Options{Mode: acl.Compat})
		everybody := strict.WithMembers(acl.EveryMember(askers...))
		for _, path := range targets {
			for _, user := range askers {
				s, c := agree(t, strict, user, path), agree(t, compat, user, path)
				if s && !c {
					t.Errorf("strict lets %s change %s, Prow does not", user, path)
				}
				if with, _ := everybody.Allowed(user, path); with != s {
					t.Errorf("membership of everybody changes %s on %s", user, path)
				}
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, describe(files))
		}
	}
}

// agree returns the decision after it has compared Allowed, Explain and Approvers.
func agree(t *testing.T, tree *acl.Tree, user, path string) bool {
	t.Helper()
	allowed, err := tree.Allowed(user, path)
	if err != nil {
		t.Fatal(err)
	}
	e := tree.Explain(user, path)
	layers, err := tree.Approvers(path)
	if err != nil || e.Allowed != allowed || layers.Has(user) != allowed {
		t.Errorf("%s: %s on %s: Allowed %t, Explain %t, Approvers %v, %v", tree.Mode(), user, path, allowed, e.Allowed, layers, err)
	}
	if (e.Code == "") != allowed || e.Reason == "" {
		t.Errorf("%s: %s on %s: code %q, reason %q", tree.Mode(), user, path, e.Code, e.Reason)
	}
	if allowed && e.File == "" {
		t.Errorf("%s: nothing decides for %s on %s", tree.Mode(), user, path)
	}
	for _, g := range e.Grants {
		if e.Mend == "" && !mayAny(t, tree, g.People, path) {
			t.Errorf("%s: told to ask %v about %s, who may not", tree.Mode(), g.People, path)
		}
	}
	return allowed
}

func mayAny(t *testing.T, tree *acl.Tree, people []string, path string) bool {
	t.Helper()
	for _, p := range people {
		if ok, _ := tree.Allowed(p, path); !ok {
			return false
		}
	}
	return true
}

// Strict decisions do not depend on anything but the commit: a restriction holds
// whatever happens to files outside the way from the path to the root.
func TestPropertyRestrictionIsLocal(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		files := randomTree(r)
		files["a/b/OWNERS"] = &fstest.MapFile{Data: []byte("options: {no_parent_owners: true}\n" + randomOwners(r))}
		delete(files, "a/b/c/OWNERS")
		before := load(t, files, acl.Options{})
		for _, dir := range []string{"OWNERS", "a/OWNERS", "d/OWNERS"} {
			files[dir] = &fstest.MapFile{Data: []byte("approvers: [ann, bob, carol, dave, eve]\n")}
		}
		after := load(t, files, acl.Options{})
		for _, user := range askers {
			was, _ := before.Allowed(user, "a/b/c/x.go")
			if is, _ := after.Allowed(user, "a/b/c/x.go"); is != was {
				t.Fatalf("seed %d: files outside a/b changed %s\n%s", seed, user, describe(files))
			}
		}
	}
}
