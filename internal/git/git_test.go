// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// repository makes a repository and returns its directory and a function that
// runs git in it.
func repository(t *testing.T) (string, func(args ...string) string) {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com",
			"-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"}, args...)...)
		cmd.Env = environment(os.Environ(), dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	return dir, git
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, dir string, git func(...string) string, files map[string]string) string {
	t.Helper()
	write(t, dir, files)
	git("add", "-A")
	git("commit", "-q", "-m", "change")
	return git("rev-parse", "HEAD")
}

func open(t *testing.T, dir string) *Repo {
	t.Helper()
	r, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestFS(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"OWNERS": "approvers: [a]\n", "a/b/c.txt": "deep", "a-b": "before a/ in git's order", "a.b": "x", "empty": ""})
	write(t, dir, map[string]string{"a/b/c.txt": "not committed"})
	fsys, err := open(t, dir).FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(fsys, "OWNERS", "a/b/c.txt", "a-b", "a.b", "empty"); err != nil {
		t.Error(err)
	}
	if b, err := fs.ReadFile(fsys, "a/b/c.txt"); err != nil || string(b) != "deep" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestObjectIDs(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"d/f": "text"})
	fsys, err := open(t, dir).FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for path, object := range map[string]string{".": id + "^{tree}", "d": id + ":d", "d/f": id + ":d/f"} {
		info, err := fs.Stat(fsys, path)
		if err != nil {
			t.Fatal(err)
		}
		got := info.Sys().(interface{ ObjectID() string }).ObjectID()
		if want := git("rev-parse", object); got != want {
			t.Errorf("%s has id %s, want %s", path, got, want)
		}
	}
	list, err := fs.ReadDir(fsys, "d")
	if err != nil {
		t.Fatal(err)
	}
	info, _ := list[0].Info()
	if got := info.Sys().(interface{ ObjectID() string }).ObjectID(); got != git("rev-parse", id+":d/f") {
		t.Errorf("entry id %s", got)
	}
}

// The exact commit is read, whatever branch or working tree is there (F8).
func TestOldCommitShowsOldFiles(t *testing.T) {
	dir, git := repository(t)
	first := commit(t, dir, git, map[string]string{"OWNERS": "old"})
	second := commit(t, dir, git, map[string]string{"OWNERS": "new"})
	r := open(t, dir)
	for id, want := range map[string]string{first: "old", second: "new"} {
		fsys, err := r.FS(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := fs.ReadFile(fsys, "OWNERS"); string(b) != want {
			t.Errorf("commit %s holds %q, want %q", id, b, want)
		}
	}
}

func TestOpenBareAndLinkedAndNone(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "x"})
	bare := filepath.Join(t.TempDir(), "bare.git")
	git("clone", "-q", "--bare", dir, bare)
	linked := filepath.Join(t.TempDir(), "linked")
	git("worktree", "add", "-q", "--detach", linked)
	for _, where := range []string{dir, bare, linked, filepath.Join(dir, ".git")} {
		if _, err := open(t, where).FS(t.Context(), id); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	write(t, dir, map[string]string{"sub/f": "x"})
	for _, where := range []string{t.TempDir(), filepath.Join(dir, "sub"), filepath.Join(dir, "missing")} {
		if _, err := Open(t.Context(), where); err == nil {
			t.Errorf("%s was opened", where)
		}
	}
}

func TestResolve(t *testing.T) {
	dir, git := repository(t)
	first := commit(t, dir, git, map[string]string{"f": "1"})
	second := commit(t, dir, git, map[string]string{"f": "2"})
	git("tag", "-a", "v1", "-m", "annotated", first)
	git("branch", "topic/x", first)
	r := open(t, dir)
	for ref, want := range map[string]string{
		"HEAD": second, "main": second, "HEAD~1": first, "v1": first, "topic/x": first,
		"refs/heads/topic/x": first, second: second, second[:12]: second,
	} {
		got, err := r.Resolve(t.Context(), ref)
		if err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", ref, got, err, want)
		}
	}
}

// Whoever asks for what a shallow clone has not got is told how to get it.
func TestResolveInAShallowClone(t *testing.T) {
	dir, git := repository(t)
	commit(t, dir, git, map[string]string{"f": "1"})
	commit(t, dir, git, map[string]string{"f": "2"})
	shallow := filepath.Join(t.TempDir(), "shallow")
	git("-c", "protocol.allow=always", "clone", "-q", "--depth=1", "file://"+dir, shallow)
	for where, want := range map[string]bool{dir: false, shallow: true} {
		_, err := open(t, where).Resolve(t.Context(), "HEAD~9")
		if err == nil || strings.Contains(err.Error(), "git fetch --unshallow") != want {
			t.Errorf("%s: %v", where, err)
		}
	}
	if _, err := open(t, shallow).Resolve(t.Context(), "HEAD^"); err == nil {
		t.Error("the clone is whole")
	}
}

func TestHostileRefsAreRefused(t *testing.T) {
	dir, git := repository(t)
	commit(t, dir, git, map[string]string{"f": "1"})
	r := open(t, dir)
	for _, ref := range []string{
		"", "-h", "--help", "--all", "--output=/tmp/x", "a..b", "a...b", "HEAD:f", ":/chan", "@{-1} x", "a b", "a\nb", "a\x00b",
		"main;id", "$(id)", "`id`", "refs/*", "^main x", "HEAD^{/x}?", "missing", strings.Repeat("a", 300), "../../etc/passwd",
	} {
		_, err := r.Resolve(t.Context(), ref)
		if bad := (*RefError)(nil); !errors.As(err, &bad) {
			t.Errorf("Resolve(%q): %v", ref, err)
		}
	}
}

func TestFSWantsFullCommitIDs(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "1"})
	r := open(t, dir)
	for _, bad := range []string{"HEAD", id[:10], "", strings.Repeat("0", 40), git("rev-parse", id+"^{tree}"), git("rev-parse", id+":f"), id + "\n"} {
		if _, err := r.FS(t.Context(), bad); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("FS(%q): %v", bad, err)
		}
	}
	if _, err := r.FS(t.Context(), id); err != nil {
		t.Errorf("a miss broke the process: %v", err)
	}
}

// What looks like a file but is not stays what it is.
func TestSymlinksAndSubmodules(t *testing.T) {
	dir, git := repository(t)
	commit(t, dir, git, map[string]string{"f": "1"})
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "OWNERS")); err != nil {
		t.Fatal(err)
	}
	git("add", "OWNERS")
	git("update-index", "--add", "--cacheinfo", "160000,"+git("rev-parse", "HEAD")+",sub")
	git("commit", "-q", "-m", "odd")
	fsys, err := open(t, dir).FS(t.Context(), git("rev-parse", "HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "OWNERS"); err == nil {
		t.Errorf("link reads %q", b)
	}
	list, _ := fs.ReadDir(fsys, ".")
	var types []string
	for _, d := range list {
		types = append(types, d.Name()+" "+d.Type().String()[:1])
	}
	if want := []string{"OWNERS L", "f -", "sub ?"}; !slices.Equal(types, want) {
		t.Errorf("types %v, want %v", types, want)
	}
	if _, err := fs.ReadFile(fsys, "sub"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("submodule: %v", err)
	}
}

func TestLargeBlobIsRefusedByName(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"big": strings.Repeat("x", maxObject+10), "small": "s"})
	fsys, err := open(t, dir).FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.ReadFile(fsys, "big")
	if large := (*SizeError)(nil); !errors.As(err, &large) || !large.TooLarge() || large.Size != maxObject+10 {
		t.Errorf("read: %v", err)
	}
	if b, err := fs.ReadFile(fsys, "small"); string(b) != "s" {
		t.Errorf("the process is out of step: %q, %v", b, err)
	}
}

func TestEnvironmentAndConfigurationAreIgnored(t *testing.T) {
	other, otherGit := repository(t)
	commit(t, other, otherGit, map[string]string{"f": "other"})
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "mine"})
	t.Setenv("GIT_DIR", filepath.Join(other, ".git"))
	t.Setenv("GIT_OBJECT_DIRECTORY", filepath.Join(other, ".git", "objects"))
	write(t, dir, map[string]string{"replacement": "forged"})
	git("replace", git("rev-parse", id+":f"), git("hash-object", "-w", filepath.Join(dir, "replacement")))
	fsys, err := open(t, dir).FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "f"); string(b) != "mine" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestContext(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "1"})
	r := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	fsys, err := r.FS(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := fs.ReadFile(fsys, "f"); !errors.Is(err, context.Canceled) {
		t.Errorf("read after cancel: %v", err)
	}
	fsys, err = r.FS(t.Context(), id)
	if err != nil {
		t.Fatalf("another caller pays for the cancel: %v", err)
	}
	if b, err := fs.ReadFile(fsys, "f"); string(b) != "1" {
		t.Errorf("%q, %v", b, err)
	}
}

// cancelling ends a context instead of passing a request on.
type cancelling struct{ cancel context.CancelFunc }

func (c cancelling) Write(b []byte) (int, error) { c.cancel(); return len(b), nil }
func (c cancelling) Close() error                { return nil }

// A request that git does not answer ends with its context, and with its error.
func TestContextEndsAPendingRequest(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "1"})
	r := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	fsys, err := r.FS(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	r.batch.proc.stdin = cancelling{cancel}
	if _, err := fs.ReadFile(fsys, "f"); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if _, err := r.FS(t.Context(), id); err != nil {
		t.Errorf("the next request: %v", err)
	}
}

// A process that dies costs the request that met it, and no other.
func TestProcessIsReplaced(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "1"})
	r := open(t, dir)
	fsys, err := r.FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	r.batch.proc.kill()
	_ = r.batch.proc.cmd.Wait()
	if _, err := fs.ReadFile(fsys, "f"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("dead process: %v", err)
	}
	if b, err := fs.ReadFile(fsys, "f"); string(b) != "1" {
		t.Errorf("%q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := fs.ReadFile(fsys, "f"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

func TestConcurrentReaders(t *testing.T) {
	dir, git := repository(t)
	files := map[string]string{}
	for _, c := range "abcdefghij" {
		files[string(c)+"/"+string(c)] = strings.Repeat(string(c), 1000)
	}
	id := commit(t, dir, git, files)
	fsys, err := open(t, dir).FS(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		for name, want := range files {
			all.Go(func() {
				if b, err := fs.ReadFile(fsys, name); string(b) != want {
					t.Errorf("%s: %d bytes, %v", name, len(b), err)
				}
			})
		}
	}
	all.Wait()
}

func TestParseTreeRefuses(t *testing.T) {
	id := strings.Repeat("\x01", 20)
	for name, raw := range map[string]string{
		"dot dot": "40000 ..\x00" + id, "slash": "100644 a/b\x00" + id, "empty name": "100644 \x00" + id,
		"short id": "100644 a\x00abc", "no nul": "100644 a", "mode": "777 a\x00" + id, "twice": "100644 a\x00" + id + "40000 a\x00" + id,
	} {
		if entries, err := parseTree([]byte(raw), 20); err == nil {
			t.Errorf("%s: %v", name, entries)
		}
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add([]byte("40000 d\x00"+strings.Repeat("\x01", 20)+"100644 f\x00"+strings.Repeat("\x02", 20)), false)
	f.Fuzz(func(t *testing.T, raw []byte, sha256 bool) {
		width := 20
		if sha256 {
			width = 32
		}
		entries, err := parseTree(raw, width)
		if err != nil {
			return
		}
		for _, e := range entries {
			if !isID(e.ID) || e.Name == ".." || strings.Contains(e.Name, "/") {
				t.Errorf("entry %+v", e)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	for _, bad := range []string{"", "x", "id blob -1", "id blob x", "a b c d", "id ambiguous"} {
		if o, err := parseHeader(bad + "\n"); err == nil {
			t.Errorf("%q: %+v", bad, o)
		}
	}
}

func TestAt(t *testing.T) {
	dir, git := repository(t)
	id := commit(t, dir, git, map[string]string{"f": "1"})
	fsys, got, done, err := At(t.Context(), dir, "HEAD")
	if err != nil || got != id {
		t.Fatalf("%s, %v", got, err)
	}
	if b, err := fs.ReadFile(fsys, "f"); string(b) != "1" {
		t.Errorf("%q, %v", b, err)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	if _, _, _, err := At(t.Context(), dir, "nothing"); err == nil {
		t.Error("a missing revision was opened")
	}
}

// git's own exit code must not travel up to where programs look for theirs.
func TestErrorsCarryNoExitCode(t *testing.T) {
	_, err := Open(t.Context(), t.TempDir())
	if code := interface{ ExitCode() int }(nil); err == nil || errors.As(err, &code) {
		t.Errorf("%v", err)
	}
}
