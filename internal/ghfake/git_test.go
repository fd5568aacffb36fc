// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"encoding/base64"
	"fmt"
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
	if out, err := tryGit(dir, "push", withToken(gh.URL, "carol-token")+"/acme/infra", "HEAD:main"); err == nil {
		t.Errorf("a push without the right: %s", out)
	}
}

// TestDiffAsGit compares the fake's changes with git diff -M.
func TestDiffAsGit(t *testing.T) {
	gh := ghfake.Start(t, acme)
	lines := func(from, to int) string {
		var b strings.Builder
		for n := from; n < to; n++ {
			fmt.Fprintf(&b, "line %d of some length\n", n)
		}
		return b.String()
	}
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{
		"a/one": lines(0, 40), "a/two": lines(100, 140), "a/three": lines(200, 240), "b": "file\n", "c/d": "deep\n", "bin": "\x00\x01",
	}}))(t)
	res := must(gh.Act(ghfake.Act{As: "bob", Do: "open-pull", Repo: "acme/infra", Title: "Much", Head: "much",
		Renames: map[string]string{"a/one": "moved/one", "a/two": "moved/two", "c/d": "e"},
		Deletes: []string{"a/three", "b"},
		Files:   map[string]string{"moved/two": lines(110, 150), "unlike": lines(300, 310), "b/now/a/folder": "x\n", "bin": "\x00\x02"},
	}))(t)
	dir := filepath.Join(t.TempDir(), "clone")
	git(t, "", "clone", gh.URL+"/acme/infra", dir)
	want := strings.Split(git(t, dir, "diff", "-M", "--raw", "--no-abbrev", "origin/main...origin/much"), "\n")
	var got []string
	files := as(t, gh, "bot-token").get(fmt.Sprintf("/repos/acme/infra/pulls/%d/files", res.Number)).want(200)
	for n := range files.size() {
		at := fmt.Sprint(n)
		line := map[string]string{"added": "A", "removed": "D", "modified": "M", "renamed": "R"}[files.at(at+".status")]
		if line == "R" {
			line += "\t" + files.at(at+".previous_filename")
		}
		got = append(got, line+"\t"+files.at(at+".filename"))
	}
	for n, line := range want {
		_, line, _ = strings.Cut(line[1:], " ")
		fields := strings.Fields(line)
		fields[2] = fields[3][:1]
		want[n] = strings.Join(append(fields[2:3], fields[4:]...), "\t")
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("changes:\ngot  %q\nwant %q", got, want)
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
	c.do("PATCH", "/git/refs/heads/main", `{"sha":"`+commit+`","force":true}`).want(200)
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
