// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/git"
	"sigs.k8s.io/steward/internal/manifest"
)

// history calls visit for each step of the real history, oldest first: the projects of
// which it changed a file, before and after. Every fortieth step has the whole tree.
func history(t *testing.T, visit func(n int, before, after fs.FS)) {
	t.Helper()
	bundle := filepath.Join("..", "..", "..", "shared", "data", "promotion-history.bundle")
	if _, err := os.Stat(bundle); err != nil {
		t.Skip("the real history is not here: ", err)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) []string {
		out, err := exec.Command("git", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Fields(string(out))
	}
	run("clone", "-q", "--bare", bundle, dir)
	commits := run("-C", dir, "rev-list", "--reverse", "HEAD")
	var before fs.FS
	for n, commit := range commits {
		files, _, done, err := git.At(t.Context(), dir, commit)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := done(); err != nil {
				t.Error(err)
			}
		}()
		switch {
		case n == 0:
		case n%40 == 0:
			visit(n, before, files)
		default:
			changed := run("-C", dir, "diff", "--name-only", commits[n-1], commit)
			visit(n, projects(t, before, changed), projects(t, files, changed))
		}
		before = files
	}
}

// projects are the files of those of which one is named.
func projects(t *testing.T, files fs.FS, names []string) fs.FS {
	t.Helper()
	some := fstest.MapFS{}
	for _, name := range names {
		parts := strings.Split(name, "/")
		if len(parts) < 4 {
			continue
		}
		for _, file := range []string{tree + "/manifests/" + parts[2] + "/promoter-manifest.yaml", tree + "/images/" + parts[2] + "/images.yaml"} {
			raw, err := fs.ReadFile(files, file)
			switch {
			case err == nil:
				some[file] = &fstest.MapFile{Data: raw}
			case !errors.Is(err, fs.ErrNotExist):
				t.Fatal(err)
			}
		}
	}
	return some
}

// load reads a tree; one without manifests declares nothing.
func load(t *testing.T, files fs.FS) (*manifest.Set, []finding.Finding) {
	t.Helper()
	if some, ok := files.(fstest.MapFS); ok && len(some) == 0 {
		return &manifest.Set{}, nil
	}
	set, problems, err := manifest.Load(files, tree)
	if err != nil {
		t.Fatal(err)
	}
	return set, problems
}

// TestHistory (PR-7): each of 81 states, planned with what the state before promoted, gives
// what it adds and nothing else; so does the scope of its changes, and with nothing in
// production that plans no more. Looked at are two mirrors, and those that are new.
func TestHistory(t *testing.T) {
	steps, additions := 0, 0
	history(t, func(n int, before, after fs.FS) {
		old, _ := load(t, before)
		set, problems := load(t, after)
		steps++
		if len(set.Mirrors) > 0 {
			additions += step(t, n, old, set, problems)
		}
	})
	if steps != 80 || additions == 0 {
		t.Errorf("%d steps with %d additions", steps, additions)
	}
	t.Logf("%d additions", additions)
}

func step(t *testing.T, n int, before, set *manifest.Set, problems []finding.Finding) int {
	t.Helper()
	looked := []string{set.Mirrors[0], set.Mirrors[len(set.Mirrors)-1]}
	for _, m := range set.Mirrors {
		if !slices.Contains(before.Mirrors, m) {
			looked = append(looked, m)
		}
	}
	var inventory strings.Builder
	if err := snapshot(&inventory, before, looked); err != nil {
		t.Fatal(err)
	}
	want := added(before, set, looked)
	whole := tagsOf(t, set, problems, nil, inventory.String(), looked)
	if !maps.Equal(whole, want) {
		t.Errorf("state %d: the plan has %d targets, %d are new: %v", n, len(whole), len(want), apart(whole, want))
	}
	scope := &Scope{}
	scope.Since(before, set)
	changes := tagsOf(t, set, problems, scope, inventory.String(), looked)
	if !maps.Equal(changes, want) {
		t.Errorf("state %d: the plan of the changes has %d targets, %d are new: %v", n, len(changes), len(want), apart(changes, want))
	}
	// Tags that moved are planned where production has none of it.
	fresh := tagsOf(t, set, problems, scope, "{}", looked)
	all, old := flat(set, looked), flat(before, looked)
	for key := range fresh {
		if !want[key] && old[key] && !sibling(key, want) {
			t.Errorf("state %d: the plan of the changes has %s, which is not new", n, key)
		}
		if !all[key] {
			t.Errorf("state %d: %s is not declared", n, key)
		}
	}
	return len(want)
}

// sibling tells whether another tag of the same digest at the same path is new: then the
// digest is in the scope with all its tags.
func sibling(key string, want map[string]bool) bool {
	mirror, rest, _ := strings.Cut(key, " ")
	path, _, _ := strings.Cut(rest, ":")
	_, digest, _ := strings.Cut(rest, "@")
	for other := range want {
		if strings.HasPrefix(other, mirror+" "+path+":") && strings.HasSuffix(other, "@"+digest) {
			return true
		}
	}
	return false
}

// tagsOf returns what a plan puts on some mirrors, as MIRROR PATH:TAG@DIGEST.
func tagsOf(t *testing.T, set *manifest.Set, problems []finding.Finding, scope *Scope, inventory string, looked []string) map[string]bool {
	t.Helper()
	c := Compare(set, problems, scope)
	if err := c.ReadInventory(strings.NewReader(inventory)); err != nil {
		t.Fatal(err)
	}
	projects, err := c.Projects("")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, p := range projects {
		for _, s := range p.Plan.Steps {
			for _, m := range s.Change.Mirrors {
				if !slices.Contains(looked, set.Mirrors[m]) {
					continue
				}
				for _, tag := range s.Change.Tags {
					all[fmt.Sprintf("%s %s:%s@%s", set.Mirrors[m], s.Change.Path, tag, s.Change.Digest)] = true
				}
			}
		}
	}
	return all
}

// added lists what head has and base has not, in the same form, by another way: all of both
// written out, without a thought for what a plan is. A tag that moved is not added.
func added(base, head *manifest.Set, looked []string) map[string]bool {
	old, all := flat(base, looked), map[string]bool{}
	for key := range flat(head, looked) {
		tag, _, whole := strings.Cut(key, "@")
		if whole && !old[key] && !old[tag] {
			all[key] = true
		}
	}
	return all
}

// flat lists every tag on some mirrors, with its digest and without.
func flat(set *manifest.Set, looked []string) map[string]bool {
	all := map[string]bool{}
	for m, root := range set.Mirrors {
		if !slices.Contains(looked, root) {
			continue
		}
		for _, i := range set.Images {
			for tag, claim := range i.At(m).Tags {
				for _, d := range claim.Digests {
					all[fmt.Sprintf("%s %s:%s@%s", root, i.Path, tag, d)] = true
				}
				all[fmt.Sprintf("%s %s:%s", root, i.Path, tag)] = true
			}
		}
	}
	return all
}

func apart(a, b map[string]bool) []string {
	var all []string
	for key := range a {
		if !b[key] {
			all = append(all, "+"+key)
		}
	}
	for key := range b {
		if !a[key] {
			all = append(all, "-"+key)
		}
	}
	slices.Sort(all)
	return all[:min(5, len(all))]
}
