// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	prowgit "sigs.k8s.io/prow/pkg/git/v2"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/git"
)

// plain is how kubernetes/k8s.io is set up.
func plain() settings { return settings{filenames: [2]string{"OWNERS", "OWNERS_ALIASES"}} }

// BenchmarkRepoOwners loads the OWNERS files of kubernetes/k8s.io, by Prow and by Steward in one run.
//
//   - prow/clone: what hook does after a push when its cache does not hold (F9): fetch, clone, check out, read;
//   - prow/folder: the reading alone, of a checkout that is there;
//   - steward/folder: the same work on the same checkout, strict;
//   - steward/git-cold: a commit out of the object database, nothing cached;
//   - steward/git-next: the next commit, which touches no OWNERS file, with the cache of the one before.
func BenchmarkRepoOwners(b *testing.B) {
	dir := realTree(b)
	repo := newHistory(b, dir)
	b.Run("prow/clone", func(b *testing.B) { benchProw(b, repo.factory(b)) })
	b.Run("prow/folder", func(b *testing.B) { benchProw(b, checkout{dir: dir}) })
	b.Run("steward/folder", func(b *testing.B) {
		for b.Loop() {
			stewardRead(b, os.DirFS(dir), nil)
		}
	})
	b.Run("steward/git-cold", func(b *testing.B) {
		for b.Loop() {
			r := repo.open(b)
			stewardRead(b, repo.commit(b, r, 0), nil)
			r.Close()
		}
	})
	b.Run("steward/git-next", func(b *testing.B) { repo.benchNext(b) })
}

func benchProw(b *testing.B, factory prowgit.ClientFactory) {
	for b.Loop() {
		if _, err := prowLoad(factory, "repo", plain(), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func stewardRead(b *testing.B, fsys fs.FS, cache *acl.Cache) *acl.Tree {
	t, err := acl.Load(fsys, "0123456789abcdef", acl.Options{Cache: cache})
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// BenchmarkRepoOwnersQuery asks for the approvers of every path of kubernetes/k8s.io in turn.
func BenchmarkRepoOwnersQuery(b *testing.B) {
	dir := realTree(b)
	paths := realPaths(b, dir)
	prow, err := prowLoad(checkout{dir: dir}, "repo", plain(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("prow", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			prow.Approvers(paths[i%len(paths)])
		}
	})
	steward := stewardRead(b, os.DirFS(dir), nil)
	b.Run("steward", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if _, err := steward.Approvers(paths[i%len(paths)]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// steps is how many commits a history has on top of the real tree.
const steps = 1000

// history is a repository of the real tree and commits on top that touch one file, none of them an OWNERS.
type history struct {
	base    string // holds org/repo
	commits []string
}

func newHistory(b *testing.B, source string) history {
	h := history{base: b.TempDir()}
	if err := os.MkdirAll(filepath.Dir(h.dir()), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.CopyFS(h.dir(), os.DirFS(source)); err != nil {
		b.Fatal(err)
	}
	h.git(b, "", "init", "-q", "--initial-branch=main")
	h.git(b, "", "add", "-A")
	h.git(b, "", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "-q", "-m", "all")
	var stream strings.Builder
	for i := range steps {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter e2e <e2e@example.com> %d +0000\ndata 4\nstep\n", i)
		if i == 0 {
			stream.WriteString("from refs/heads/main^0\n")
		}
		fmt.Fprintf(&stream, "M 100644 inline dns/note.txt\ndata 5\n%05d\n", i)
	}
	h.git(b, stream.String(), "fast-import", "--quiet")
	h.git(b, "", "reset", "-q", "--hard")
	h.commits = strings.Fields(h.git(b, "", "rev-list", "--reverse", "main"))
	return h
}

func (h history) dir() string { return filepath.Join(h.base, "org", "repo") }

func (h history) git(b *testing.B, input string, args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = h.dir(), strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// factory clones from the repository as hook clones from GitHub, but over no network.
func (h history) factory(b *testing.B) prowgit.ClientFactory {
	factory, err := prowgit.NewLocalClientFactory(h.base,
		func() (string, string, error) { return "e2e", "e2e@example.com", nil },
		func(content []byte) []byte { return content })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := factory.Clean(); err != nil {
			b.Error(err)
		}
	})
	return factory
}

func (h history) open(b *testing.B) *git.Repo {
	r, err := git.Open(b.Context(), h.dir())
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (h history) commit(b *testing.B, r *git.Repo, i int) fs.FS {
	fsys, err := r.FS(b.Context(), h.commits[i])
	if err != nil {
		b.Fatal(err)
	}
	return fsys
}

// benchNext reads one commit after the other, each once: a second round starts with nothing cached.
func (h history) benchNext(b *testing.B) {
	var r *git.Repo
	var cache *acl.Cache
	i := len(h.commits)
	for b.Loop() {
		if i == len(h.commits) {
			b.StopTimer()
			r, cache, i = h.open(b), acl.NewCache(0), 1
			defer r.Close()
			stewardRead(b, h.commit(b, r, 0), cache)
			b.StartTimer()
		}
		stewardRead(b, h.commit(b, r, i), cache)
		i++
	}
}
