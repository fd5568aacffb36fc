// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// git runs the git program in dir, deaf to the user's settings.
func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func tryGit(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Carol", "GIT_AUTHOR_EMAIL=carol@users.noreply.github.com", "GIT_COMMITTER_NAME=Carol", "GIT_COMMITTER_EMAIL=carol@users.noreply.github.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// withToken is a URL that git sends the token to.
func withToken(url, token string) string {
	return strings.Replace(url, "http://", "http://x-access-token:"+token+"@", 1)
}

func TestClone(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	dir := filepath.Join(t.TempDir(), "clone")
	// Git sorts the folder dns after the file dns-old.
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{"dns-old": "x\n"}}))(t)
	git(t, "", "clone", gh.URL+"/acme/infra", dir)
	git(t, dir, "fsck", "--strict")
	git(t, dir, "fetch", "origin", "+refs/pull/*/head:refs/remotes/pull/*")
	equal(t, "head", git(t, dir, "rev-parse", "HEAD"), c.get("/repos/acme/infra/git/ref/heads/main").at("object.sha"))
	equal(t, "pull", git(t, dir, "rev-parse", "refs/remotes/pull/2"), c.get("/repos/acme/infra/pulls/2").at("head.sha"))
	equal(t, "tree", git(t, dir, "rev-parse", "HEAD^{tree}"), c.get("/repos/acme/infra/git/commits/"+git(t, dir, "rev-parse", "HEAD")).at("tree.sha"))
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{"new": "file\n"}}))(t)
	git(t, dir, "pull", "--ff-only")
	equal(t, "after a push", git(t, dir, "show", "HEAD:new"), "file")
	if out, err := tryGit("", "clone", gh.URL+"/acme/secret", filepath.Join(t.TempDir(), "secret")); err == nil {
		t.Errorf("an anonymous clone of a private repository: %s", out)
	}
	git(t, "", "clone", withToken(gh.URL, "alice-token")+"/acme/secret.git", filepath.Join(t.TempDir(), "secret"))
}

func TestPush(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", withToken(gh.URL, "carol-token")+"/carol/infra", "-b", "patch-2", dir)
	ok(t, os.WriteFile(filepath.Join(dir, "six"), []byte("6\n"), 0o600))
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-m", "six")
	git(t, dir, "push", "origin", "HEAD")
	head := git(t, dir, "rev-parse", "HEAD")
	equal(t, "the pull request follows", c.get("/repos/acme/infra/pulls/2").at("head.sha"), head)
	equal(t, "its files", c.get("/repos/acme/infra/pulls/2/files").at("1.filename"), "six")
	equal(t, "pushed content", c.get("/repos/carol/infra/contents/six?ref=patch-2").at("content"), "Ngo=\n")
	equal(t, "audit", gh.Audit(ghfake.Audit{Kind: "push"})[0].Login, "carol")
	git(t, dir, "push", "origin", ":patch-2")
	equal(t, "a deleted branch closes it", c.get("/repos/acme/infra/pulls/2").at("state"), "closed")
	equal(t, "and is gone", strings.Contains(git(t, dir, "ls-remote", "origin"), "patch-2"), false)
	equal(t, "in the list too", strings.Contains(c.get("/repos/carol/infra/branches").text, "patch-2"), false)
	if out, err := tryGit(dir, "push", withToken(gh.URL, "carol-token")+"/acme/infra", "HEAD:sneaked-in"); err == nil {
		t.Errorf("a push without the right: %s", out)
	}
}

// gitChanges is what git diff -M says of a range, in the words of fakeChanges.
func gitChanges(t *testing.T, dir, revs string) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(git(t, dir, "diff", "-M", "--name-status", revs)) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		fields[0] = fields[0][:1]
		out = append(out, strings.Join(fields, " "))
	}
	slices.Sort(out)
	return out
}

// fakeChanges is what the fake lists.
func fakeChanges(c *caller, number int) []string {
	c.t.Helper()
	var out []string
	files := c.get(fmt.Sprintf("/repos/acme/infra/pulls/%d/files?per_page=100", number)).want(200)
	for n := range files.size() {
		at := fmt.Sprint(n)
		line := map[string]string{"added": "A", "removed": "D", "modified": "M", "renamed": "R"}[files.at(at+".status")]
		if line == "R" {
			line += " " + files.at(at+".previous_filename")
		}
		out = append(out, line+" "+files.at(at+".filename"))
	}
	slices.Sort(out)
	return out
}

// lines is a file of distinct lines.
func lines(from, to int) string {
	var b strings.Builder
	for n := from; n < to; n++ {
		fmt.Fprintf(&b, "line %d of some length\n", n)
	}
	return b.String()
}

// TestDiffAsGit compares the fake's changes with git diff -M (GF-6).
func TestDiffAsGit(t *testing.T) {
	gh := ghfake.Start(t, acme)
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{
		"a/one": lines(0, 40), "a/two": lines(100, 140), "a/three": lines(200, 240), "b": "file\n", "c/d": "deep\n", "bin": "\x00\x01",
		"twin/1/x": "same\n", "twin/2/y": "same\n",
	}}))(t)
	res := must(gh.Act(ghfake.Act{As: "bob", Do: "open-pull", Repo: "acme/infra", Title: "Much", Head: "much",
		Renames: map[string]string{"a/one": "moved/one", "a/two": "moved/two", "c/d": "e", "twin/1/x": "pair/2/x", "twin/2/y": "pair/1/y"},
		Deletes: []string{"a/three", "b"},
		Files:   map[string]string{"moved/two": lines(110, 150), "unlike": lines(300, 310), "b/now/a/folder": "x\n", "bin": "\x00\x02"},
	}))(t)
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", gh.URL+"/acme/infra", dir)
	got, want := fakeChanges(as(t, gh, "bot-token"), res.Number), gitChanges(t, dir, "origin/main...origin/much")
	if !slices.Equal(got, want) {
		t.Errorf("changes:\ngot  %q\nwant %q", got, want)
	}
}

// TestRandomDiffsAsGit does the same for random changes of a random tree.
func TestRandomDiffsAsGit(t *testing.T) {
	gh, dice := ghfake.Start(t, acme), rand.New(rand.NewPCG(1, 1))
	tree := map[string]string{}
	for n := range 60 {
		tree[fmt.Sprintf("d%d/e%d/f%d", dice.IntN(4), dice.IntN(3), n)] = lines(1000*n, 1000*n+1+dice.IntN(30))
	}
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: tree}))(t)
	var numbers []int
	for range 40 {
		a := ghfake.Act{As: "bob", Do: "open-pull", Repo: "acme/infra", Title: "x", Files: map[string]string{}, Renames: map[string]string{}}
		for path := range tree {
			switch dice.IntN(10) {
			case 0:
				a.Deletes = append(a.Deletes, path)
			case 1:
				a.Renames[path] = "new/" + path
			case 2:
				a.Files[path] = tree[path] + "one more line\n"
			case 3:
				a.Files[path+".d/x"] = fmt.Sprintln(dice.Int64())
			}
		}
		if dice.IntN(2) == 0 {
			a.Files["very/deep/and/new"] = "x\n"
		}
		a.Files["always"] = fmt.Sprintln(dice.Int64())
		numbers = append(numbers, must(gh.Act(a))(t).Number)
	}
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", "--bare", gh.URL+"/acme/infra", dir)
	git(t, dir, "fetch", "origin", "+refs/pull/*:refs/pull/*")
	for _, n := range numbers {
		got, want := fakeChanges(as(t, gh, "bot-token"), n), gitChanges(t, dir, fmt.Sprintf("main...refs/pull/%d/head", n))
		if !slices.Equal(got, want) {
			t.Fatalf("pull %d:\ngot  %q\nwant %q", n, got, want)
		}
	}
}

func TestGitData(t *testing.T) {
	gh := ghfake.StartWith(t, ghfake.Options{TreeLimit: 8}, acme)
	c := as(t, gh, "bot-token")
	c.url += "/repos/acme/infra"
	main := c.get("/git/refs/heads/main").at("object.sha")
	tree := c.get("/git/trees/main?recursive=1").want(200)
	equal(t, "path", tree.at("tree.3.path"), "dns/OWNERS")
	equal(t, "mode", tree.at("tree.2.mode"), "040000")
	equal(t, "truncated", tree.at("truncated"), "false")
	equal(t, "blob", c.get("/git/blobs/"+tree.at("tree.0.sha")).at("content"), base64.StdEncoding.EncodeToString([]byte("approvers:\n- alice\n"))+"\n")

	blob := c.do("POST", "/git/blobs", `{"content":"aGk=","encoding":"base64"}`).want(201).at("sha")
	equal(t, "sha of hi", blob, "32f95c0d1244a78b2be1bab8de17906fabb2c4a8")
	next := c.do("POST", "/git/trees", `{"base_tree":"`+main+`","tree":[{"path":"a/b","mode":"100644","type":"blob","sha":"`+blob+`"},{"path":"README.md","mode":"100644","sha":null},{"path":"c","mode":"100755","content":"run"}]}`).want(201)
	commit := c.do("POST", "/git/commits", `{"message":"by hand","tree":"`+next.at("sha")+`","parents":["`+main+`"]}`).want(201).at("sha")
	c.do("PATCH", "/git/refs/heads/main", `{"sha":"`+commit+`"}`).want(200)
	c.do("PATCH", "/git/refs/heads/main", `{"sha":"`+main+`"}`).want(422)
	c.do("PATCH", "/git/refs/heads/main", `{"sha":"`+main+`","force":true}`).want(200)
	c.do("PATCH", "/git/refs/heads/main", `{"sha":"`+commit+`"}`).want(200)
	c.get("/contents/README.md").want(404)
	equal(t, "new file", c.get("/contents/a/b").at("sha"), blob)
	equal(t, "now truncated", c.get("/git/trees/main?recursive=1").at("truncated"), "true")
	equal(t, "message", c.get("/commits/main").at("commit.message"), "by hand")
	equal(t, "by", c.get("/commits/main").at("author.login"), "steward[bot]")
	equal(t, "history of a file", c.get("/commits?path=c").size(), 1)
	equal(t, "history", c.get("/commits").size(), 4)

	c.do("POST", "/git/refs", `{"ref":"refs/tags/v1","sha":"`+commit+`"}`).want(201)
	c.do("POST", "/git/refs", `{"ref":"refs/tags/v1","sha":"`+commit+`"}`).want(422)
	equal(t, "matching", c.get("/git/matching-refs/tags").size(), 1)
	c.do("DELETE", "/git/refs/tags/v1", "").want(204)
	c.get("/git/ref/tags/v1").want(404)
}

func TestContents(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	at := "/repos/acme/infra/contents/dns/zone.yaml"
	had := c.get(at).want(200)
	c.header.Set("Accept", "application/vnd.github.raw+json")
	equal(t, "raw", strings.Count(c.get(at).text, "\n"), 4)
	c.header.Del("Accept")
	put := func(path, sha string, want int) result {
		return c.do("PUT", path, fmt.Sprintf(`{"message":"m","content":"eA==","branch":"release-1.0","sha":%q}`, sha)).want(want)
	}
	put(at, "", 422)
	put(at, strings.Repeat("0", 40), 409)
	equal(t, "updated", put(at, had.at("sha"), 200).at("content.size"), "1")
	put(at, had.at("sha"), 409)
	put("/repos/acme/infra/contents/new/file", "", 201)
	c.do("DELETE", "/repos/acme/infra/contents/new/file", `{"message":"m","branch":"release-1.0","sha":"`+had.at("sha")+`"}`).want(409)
	added := c.get("/repos/acme/infra/contents/new/file?ref=release-1.0").at("sha")
	c.do("DELETE", "/repos/acme/infra/contents/new/file", `{"message":"m","branch":"release-1.0","sha":"`+added+`"}`).want(200)
	c.get("/repos/acme/infra/contents/new?ref=release-1.0").want(404) // git has no empty folders
	equal(t, "main is as before", c.get(at).at("sha"), had.at("sha"))
	equal(t, "branch", c.get(at+"?ref=release-1.0").at("content"), "eA==\n")
	sha := c.get(at + "?ref=release-1.0").at("sha")
	c.do("DELETE", at, `{"message":"m","branch":"release-1.0","sha":"`+sha+`"}`).want(200)
	c.get(at + "?ref=release-1.0").want(404)
	equal(t, "directory", c.get("/repos/acme/infra/contents/dns").at("0.type"), "file")
	equal(t, "root", c.get("/repos/acme/infra/contents").at("2.type"), "dir")
	c.get("/repos/acme/infra/contents/x?ref=nowhere").want(404)
}

func TestMergeConflict(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{"dns/zone.yaml": "other\n"}}))(t)
	equal(t, "mergeable", c.get("/repos/acme/infra/pulls/2").at("mergeable"), "false")
	c.do("PUT", "/repos/acme/infra/pulls/2/merge", "{}").want(405)
	must(gh.Act(ghfake.Act{As: "carol", Do: "push", Repo: "acme/infra", Number: 2, Force: true, Files: map[string]string{"dns/zone.yaml": "mine\n"}}))(t)
	equal(t, "after a rebase", c.get("/repos/acme/infra/pulls/2").at("mergeable"), "true")
	c.do("PUT", "/repos/acme/infra/pulls/2/merge", `{"sha":"`+strings.Repeat("0", 40)+`"}`).want(409)
	merged := c.do("PUT", "/repos/acme/infra/pulls/2/merge", "{}").want(200).at("sha")
	equal(t, "main", c.get("/repos/acme/infra/git/ref/heads/main").at("object.sha"), merged)
	equal(t, "files stay listed", c.get("/repos/acme/infra/pulls/2/files").size(), 1)
	equal(t, "carol contributed", c.get("/repos/acme/infra/issues/2").at("author_association"), "CONTRIBUTOR")
}

// TestModeChange: a file that only became executable is modified.
func TestModeChange(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	c.url += "/repos/acme/infra"
	main := c.get("/git/ref/heads/main").at("object.sha")
	readme := c.get("/contents/README.md").at("sha")
	tree := c.do("POST", "/git/trees", `{"base_tree":"`+main+`","tree":[{"path":"README.md","mode":"100755","sha":"`+readme+`"}]}`).want(201).at("sha")
	commit := c.do("POST", "/git/commits", `{"message":"m","tree":"`+tree+`","parents":["`+main+`"]}`).want(201).at("sha")
	c.do("POST", "/git/refs", `{"ref":"refs/heads/mode","sha":"`+commit+`"}`).want(201)
	number := c.do("POST", "/pulls", `{"title":"x","head":"mode","base":"main"}`).want(201).at("number")
	equal(t, "status", c.get("/pulls/"+number+"/files").at("0.status"), "modified")
}
