// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/prow/pkg/git/localgit"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// trees is how many random repositories a run compares: about ten seconds.
const trees = 4000

// subject is one comparison: a repository, Prow's settings for it, and who is a collaborator (nil: not asked).
type subject struct {
	tree          tree
	settings      settings
	collaborators []string
}

func newSubject(seed uint64) subject {
	g := newGenerator(seed)
	s := subject{settings: g.settings()}
	s.tree = g.tree(s.settings)
	if g.chance(25) {
		s.collaborators = []string{"ann", "Bob", "zoe", "mia"}
	}
	return s
}

// paths are all files and folders of the repository, a file in each folder that does not exist, and one in a
// folder that does not exist.
func (t tree) paths() []string {
	all := map[string]bool{".": true, "new/file.go": true}
	for name := range t {
		for dir := name; dir != "."; dir = path.Dir(dir) {
			all[dir] = true
			all[path.Join(path.Dir(dir), "new.go")] = true
			all[path.Join(path.Dir(dir), "NEW-README.md")] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func (t tree) fs() fs.FS {
	m := fstest.MapFS{}
	for name, content := range t {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

// difference returns the first answer in which the two differ, in a fixed order, or "".
func (s subject) difference(dir string) (string, error) {
	if err := s.tree.write(dir); err != nil {
		return "", err
	}
	prow, err := prowLoad(checkout{dir: dir}, "repo", s.settings, s.collaborators)
	if err != nil {
		return "", err
	}
	steward, err := stewardLoad(s.tree.fs(), s.settings, s.collaborators)
	if err != nil {
		return "", err
	}
	paths := s.tree.paths()
	return firstDifference(prowAnswers(prow, paths), stewardAnswers(steward, paths)), nil
}

func firstDifference(prow, steward answers) string {
	for _, query := range slices.Sorted(maps.Keys(prow)) {
		if got, ok := steward[query]; !ok || got != prow[query] {
			return fmt.Sprintf("%s\n  prow:    %q\n  steward: %q", query, prow[query], got)
		}
	}
	return ""
}

// check compares one repository; of a mismatch it shows the smallest tree that still has one.
func (s subject) check(t *testing.T, seed uint64) {
	t.Helper()
	differs := func(s subject) string {
		dir, err := os.MkdirTemp(t.TempDir(), "tree")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		text, err := s.difference(dir)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if differs(s) == "" {
		return
	}
	small := shrink(s, func(s subject) bool { return differs(s) != "" })
	t.Errorf("seed %d: %s\nsettings: %+v, collaborators %q\n%s", seed, differs(small), small.settings, small.collaborators, small.tree)
}

// In Compat mode every query equals Prow's on random repositories.
func TestEqualsProwOnRandomTrees(t *testing.T) {
	const shards = 8
	for shard := range uint64(shards) {
		t.Run(fmt.Sprintf("%d of %d", shard+1, shards), func(t *testing.T) {
			t.Parallel()
			for seed := shard; seed < trees; seed += shards {
				newSubject(seed).check(t, seed)
			}
		})
	}
}

// The comparison sees what it is for: a tree that differs by one login, path or option.
func TestComparisonCanFail(t *testing.T) {
	whole := tree{"OWNERS": "approvers: [ann]\n", "a/OWNERS": "options:\n  no_parent_owners: true\napprovers: [bob]\nlabels: [x]\n", "a/f": ""}
	s := subject{tree: whole, settings: settings{filenames: [2]string{"OWNERS", "OWNERS_ALIASES"}}}
	dir := t.TempDir()
	if err := whole.write(dir); err != nil {
		t.Fatal(err)
	}
	prow, err := prowLoad(checkout{dir: dir}, "repo", s.settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := prowAnswers(prow, whole.paths())
	for _, changed := range []string{"approvers: [bob]\n", strings.ReplaceAll(whole["a/OWNERS"], "true", "false"), strings.ReplaceAll(whole["a/OWNERS"], "[x]", "[y]")} {
		other := maps.Clone(whole)
		other["a/OWNERS"] = changed
		steward, err := stewardLoad(other.fs(), s.settings, nil)
		if err != nil {
			t.Fatal(err)
		}
		if firstDifference(want, stewardAnswers(steward, whole.paths())) == "" {
			t.Errorf("no difference seen for a/OWNERS:\n%s", changed)
		}
	}
}

// Reading a folder in place of a clone changes nothing: Prow answers the same behind its own git client.
func TestCheckoutIsHonest(t *testing.T) {
	local, factory, err := localgit.NewV2()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmp.Or(local.Clean(), factory.Clean()); err != nil {
			t.Error(err)
		}
	})
	local.InitialBranch = "main"
	for seed := range uint64(12) {
		s, repo, dir := newSubject(seed), fmt.Sprint("repo", seed), t.TempDir()
		if err := s.commit(local, repo); err != nil {
			t.Fatal(err)
		}
		if err := s.tree.write(dir); err != nil {
			t.Fatal(err)
		}
		cloned, err := prowLoad(factory, repo, s.settings, s.collaborators)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := prowLoad(checkout{dir: dir}, "repo", s.settings, s.collaborators)
		if err != nil {
			t.Fatal(err)
		}
		paths := s.tree.paths()
		if text := firstDifference(prowAnswers(cloned, paths), prowAnswers(plain, paths)); text != "" {
			t.Errorf("seed %d: %s\n%s", seed, text, s.tree)
		}
	}
}

// commit makes the tree a repository of its own.
func (s subject) commit(local *localgit.LocalGit, repo string) error {
	if err := local.MakeFakeRepo("org", repo); err != nil {
		return err
	}
	files := map[string][]byte{}
	for name, content := range s.tree {
		files[name] = []byte(content)
	}
	return local.AddCommit("org", repo, files)
}

// realTree is a checkout of kubernetes/k8s.io, which is not part of this repository.
func realTree(t testing.TB) string {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("../shared/data/k8s.io is not there: %v", err)
	}
	return dir
}

// realPaths are all files and folders of a checkout.
func realPaths(t testing.TB, dir string) []string {
	t.Helper()
	var paths []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
		paths = append(paths, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// In Compat mode every query equals Prow's on the real OWNERS files, for every path there is.
func TestEqualsProwOnKubernetesInfra(t *testing.T) {
	dir := realTree(t)
	s := settings{filenames: [2]string{"OWNERS", "OWNERS_ALIASES"}}
	for _, s.markdown = range []bool{false, true} {
		prow, err := prowLoad(checkout{dir: dir}, "repo", s, nil)
		if err != nil {
			t.Fatal(err)
		}
		steward, err := stewardLoad(os.DirFS(dir), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		paths := realPaths(t, dir)
		if text := firstDifference(prowAnswers(prow, paths), stewardAnswers(steward, paths)); text != "" {
			t.Errorf("front matter %t: %s", s.markdown, text)
		}
	}
}
