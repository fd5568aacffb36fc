// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// realRepository holds the real tree in a bare repository: commits[0] is the
// tree, or some folders of it, and each later commit changes one file which is
// no OWNERS file.
func realRepository(t testing.TB, changes int, folders ...string) (dir string, commits []string) {
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
		cmd.Stdin = strings.NewReader(changeStream(changes))
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
	run("branch", "-M", "main")
	run("fast-import", "--quiet")
	run("repack", "-adq")
	return dir, strings.Fields(run("rev-list", "--reverse", "main"))
}

// changeStream is n commits on main in the format of git fast-import.
func changeStream(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("commit refs/heads/main\ncommitter t <t@example.com> 0 +0000\ndata 1\nx\n")
		if i == 0 {
			b.WriteString("from refs/heads/main^0\n")
		}
		content := strconv.Itoa(i)
		fmt.Fprintf(&b, "M 100644 inline dns/zone-configs/new.yaml\ndata %d\n%s\n\n", len(content), content)
	}
	return b.String()
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
	dir, commits := realRepository(t, 1, "OWNERS", "OWNERS_ALIASES", "apps", "dns", "groups", "infra")
	repo, cache := openRepository(t, dir), acl.NewCache(0)
	checkout := load(t, os.DirFS(realTree), acl.Options{})
	fromGit := load(t, commitOf(t, repo, commits[0]), acl.Options{Cache: cache})
	for _, p := range []string{"dns/x", "apps/gcsweb/x", "infra/gcp/terraform/x.sh", "groups/sig-auth/x", "OWNERS"} {
		a, _ := checkout.Approvers(p)
		b, _ := fromGit.Approvers(p)
		if names(a.Set()) != names(b.Set()) || a.Len() == 0 {
			t.Errorf("%s: %v and %v", p, a, b)
		}
	}
	_, before, _ := cache.Stats()
	load(t, commitOf(t, repo, commits[1]), acl.Options{Cache: cache})
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
	dir, commits := realRepository(b, 0, ".")
	for b.Loop() {
		repo, err := git.Open(b.Context(), dir)
		if err != nil {
			b.Fatal(err)
		}
		load(b, commitOf(b, repo, commits[0]), acl.Options{Cache: acl.NewCache(0)})
		_ = repo.Close()
	}
}

// BenchmarkLoadIncremental reads one commit after the other of which none
// touches an OWNERS file: only the listings that changed are new.
func BenchmarkLoadIncremental(b *testing.B) {
	dir, commits := realRepository(b, 20_000, ".")
	repo, cache := openRepository(b, dir), acl.NewCache(0)
	load(b, commitOf(b, repo, commits[0]), acl.Options{Cache: cache})
	i := 0
	for b.Loop() {
		i = i%(len(commits)-1) + 1
		load(b, commitOf(b, repo, commits[i]), acl.Options{Cache: cache})
	}
	if i < b.N {
		b.Log("more iterations than commits: the later ones were known")
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
