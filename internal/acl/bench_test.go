// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/git"
)

const realTree = "../../../shared/data/k8s.io"

func needRealTree(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(realTree); err != nil {
		t.Skip("../shared/data/k8s.io is not here")
	}
}

// realRepository holds the real tree in a bare repository, in a commit and in a
// second one that changes one file which is no OWNERS file. Folders narrow it.
func realRepository(t testing.TB, folders ...string) (dir, first, second string) {
	t.Helper()
	needRealTree(t)
	work, err := filepath.Abs(realTree)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "k8s.io.git")
	run := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_DIR="+dir, "GIT_WORK_TREE="+work, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
		cmd.Dir = work
		cmd.Stdin = strings.NewReader("changed\n")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	if out, err := exec.Command("git", "init", "-q", "--bare", dir).CombinedOutput(); err != nil {
		t.Fatalf("git init: %v\n%s", err, out)
	}
	run(append([]string{"add", "-A", "--"}, folders...)...)
	run("commit", "-q", "-m", "tree")
	first = run("rev-parse", "HEAD")
	run("update-index", "--add", "--cacheinfo", "100644,"+run("hash-object", "-w", "--stdin")+",dns/zone-configs/new.yaml")
	run("commit", "-q", "-m", "change")
	second = run("rev-parse", "HEAD")
	run("repack", "-adq")
	return dir, first, second
}

func openRepository(t testing.TB, dir string) *git.Repo {
	t.Helper()
	repo, err := git.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = repo.Close() })
	return repo
}

func commitOf(t testing.TB, repo *git.Repo, id string) fs.FS {
	t.Helper()
	fsys, err := repo.FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// A checkout and the same commit in git mean the same, and git's ids make the
// second commit cheap: four listings.
func TestRealTreeInGit(t *testing.T) {
	dir, first, second := realRepository(t, "OWNERS", "OWNERS_ALIASES", "apps", "dns", "groups", "infra")
	repo, cache := openRepository(t, dir), acl.NewCache(0)
	checkout := load(t, os.DirFS(realTree), acl.Options{})
	fromGit := load(t, commitOf(t, repo, first), acl.Options{Cache: cache})
	for _, p := range []string{"dns/x", "apps/gcsweb/x", "infra/gcp/terraform/x.sh", "groups/sig-auth/x", "OWNERS"} {
		a, _ := checkout.Approvers(p)
		b, _ := fromGit.Approvers(p)
		if names(a.Set()) != names(b.Set()) || a.Len() == 0 {
			t.Errorf("%s: %v and %v", p, a, b)
		}
	}
	_, before, _ := cache.Stats()
	load(t, commitOf(t, repo, second), acl.Options{Cache: cache})
	if _, after, _ := cache.Stats(); after-before != 3 {
		t.Errorf("%d objects were new to the cache, want the root, dns and dns/zone-configs", after-before)
	}
}

// BenchmarkLoadReal reads all OWNERS files of k8s.io (6,250 directories) from a
// checkout, without a cache of ours.
func BenchmarkLoadReal(b *testing.B) {
	needRealTree(b)
	for b.Loop() {
		load(b, os.DirFS(realTree), acl.Options{})
	}
}

// BenchmarkLoadGit reads a commit of the same tree for the first time.
func BenchmarkLoadGit(b *testing.B) {
	dir, first, _ := realRepository(b, ".")
	for b.Loop() {
		repo := openRepository(b, dir)
		load(b, commitOf(b, repo, first), acl.Options{Cache: acl.NewCache(0)})
	}
}

// BenchmarkLoadIncremental reads a commit that touched no OWNERS file after its
// parent: only the listings that changed are new.
func BenchmarkLoadIncremental(b *testing.B) {
	dir, first, second := realRepository(b, ".")
	for b.Loop() {
		b.StopTimer()
		repo, cache := openRepository(b, dir), acl.NewCache(0)
		load(b, commitOf(b, repo, first), acl.Options{Cache: cache})
		b.StartTimer()
		load(b, commitOf(b, repo, second), acl.Options{Cache: cache})
	}
}

// BenchmarkLoadUnchanged reads a commit whose tree is known: one ref read and
// one object.
func BenchmarkLoadUnchanged(b *testing.B) {
	dir, first, _ := realRepository(b, ".")
	repo, cache := openRepository(b, dir), acl.NewCache(0)
	for b.Loop() {
		load(b, commitOf(b, repo, first), acl.Options{Cache: cache})
	}
}

func BenchmarkExplain(b *testing.B) {
	needRealTree(b)
	loaded := load(b, os.DirFS(realTree), acl.Options{})
	for _, c := range []struct{ name, user, path string }{
		{"allowed", "upodroid", "dns/zone-configs/k8s.io._0_base.yaml"},
		{"denied", "spiffxp", "dns/zone-configs/k8s.io._0_base.yaml"},
		{"filters", "pkprzekwas", "infra/aws/terraform/prow-build-cluster/main.tf"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				loaded.Explain(c.user, c.path)
			}
		})
	}
}

func BenchmarkAllowed(b *testing.B) {
	needRealTree(b)
	loaded := load(b, os.DirFS(realTree), acl.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := loaded.Allowed("pkprzekwas", "infra/aws/terraform/prow-build-cluster/main.tf"); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkApprovers(b *testing.B) {
	needRealTree(b)
	loaded := load(b, os.DirFS(realTree), acl.Options{})
	for b.Loop() {
		if _, err := loaded.Approvers("infra/aws/terraform/prow-build-cluster/main.tf"); err != nil {
			b.Fatal(err)
		}
	}
}
