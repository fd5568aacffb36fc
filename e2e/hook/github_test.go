// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/ghfake"
)

const (
	bot    = "steward[bot]"
	token  = "t-steward"
	secret = "0123456789abcdef"
	repo   = "example-org/example-infra"
)

// small is the world most tests begin with: a folder that shuts out the root's approvers, two pull requests and an
// issue.
const small = `-- github.yaml --
users: {"steward[bot]": {}, alice: {}, bob: {}, dora: {}, mallory: {}}
tokens: {t-steward: "steward[bot]"}
orgs:
  example-org: {members: {alice: member, bob: member, dora: member}}
repos:
  example-org/example-infra:
    collaborators: {"steward[bot]": write, alice: read, bob: read, dora: read}
-- repo/example-org/example-infra/OWNERS --
approvers: [alice, bob]
-- repo/example-org/example-infra/dns/OWNERS --
options: {no_parent_owners: true}
approvers: [dora]
-- repo/example-org/example-infra/dns/zone.yaml --
a: 1
-- repo/example-org/example-infra/apps/web.yaml --
a: 1
-- pull/example-org/example-infra/1/pull.yaml --
title: a change of a zone
author: alice
-- pull/example-org/example-infra/1/files/dns/zone.yaml --
a: 2
-- pull/example-org/example-infra/2/pull.yaml --
title: another change
author: bob
-- pull/example-org/example-infra/2/files/apps/web.yaml --
a: 2
-- issue/example-org/example-infra/3/issue.yaml --
title: a question
author: mallory
`

// github is a fake GitHub in its own process.
type github struct {
	t    testing.TB
	URL  string
	proc *child.Process
}

// startGitHub serves a scenario, a txtar text as docs/ghfake.md has it, until the test ends. A request that the fake
// does not know fails the test.
func startGitHub(t testing.TB, scenario string) *github {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "world.txtar")
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	first := make(chan string, 1)
	g := &github{t: t}
	g.proc = child.Start(t, filepath.Join(dir, "ghfake.log"), func(line []byte) bool {
		first <- strings.TrimSpace(string(line))
		return false
	}, "ghfake", "-scenario", file)
	select {
	case g.URL = <-first:
	case <-g.proc.Exited:
	}
	if !strings.HasPrefix(g.URL, "http://") {
		t.Fatalf("ghfake does not serve:\n%s", g.proc.Tail())
	}
	t.Cleanup(func() {
		var unknown []string
		g.control(http.MethodGet, "unknown", nil, &unknown)
		for _, route := range unknown {
			t.Errorf("ghfake has no route for %s", route)
		}
		g.proc.End(t, syscall.SIGTERM)
	})
	return g
}

// control uses the controls of the fake; in and out may be nil.
func (g *github) control(method, path string, in, out any) {
	g.t.Helper()
	if err := ask(method, g.URL+"/_fake/"+path, in, out); err != nil {
		g.t.Fatal(err)
	}
}

// get reads from GitHub's own API as the bot.
func (g *github) get(path string, out any) {
	g.t.Helper()
	if err := ask(http.MethodGet, g.URL+path, nil, out); err != nil {
		g.t.Fatal(err)
	}
}

func (g *github) act(a ghfake.Act) ghfake.Result {
	g.t.Helper()
	var done ghfake.Result
	if a.Repo == "" {
		a.Repo = repo
	}
	g.control(http.MethodPost, "act", a, &done)
	return done
}

func (g *github) comment(as string, number int, body string) int64 {
	g.t.Helper()
	return g.act(ghfake.Act{As: as, Do: "comment", Number: number, Body: body}).ID
}

func (g *github) bulk(b ghfake.Bulk) (first, last int) {
	g.t.Helper()
	var made struct{ First, Last int }
	g.control(http.MethodPost, "bulk", b, &made)
	return made.First, made.Last
}

// hook lets GitHub post the repository's events to an address. Without events it posts all of them.
func (g *github) hook(address, name string, events ...string) {
	g.t.Helper()
	owner, name, _ := strings.Cut(name, "/")
	g.control(http.MethodPost, "hooks", map[string]any{"owner": owner, "repo": name, "url": address, "secret": secret, "events": events}, nil)
}

func (g *github) fault(f ghfake.Fault) {
	g.t.Helper()
	g.control(http.MethodPost, "faults", f, nil)
}

func (g *github) heal() {
	g.t.Helper()
	g.control(http.MethodDelete, "faults", nil, nil)
}

// writes lists what the bot has written of a kind, in order; "" is any kind.
func (g *github) writes(kind string) []ghfake.Audit {
	g.t.Helper()
	var all []ghfake.Audit
	g.control(http.MethodGet, "audit?"+url.Values{"login": {bot}, "kind": {kind}}.Encode(), nil, &all)
	return all
}

// delivered waits until every webhook was tried.
func (g *github) delivered() {
	g.t.Helper()
	g.control(http.MethodGet, "idle?wait="+child.Patience.String(), nil, nil)
}

// comments are those of a thread, oldest first.
func (g *github) comments(name string, number int) []comment {
	g.t.Helper()
	var all []comment
	for page := 1; ; page++ {
		var part []comment
		g.get(fmt.Sprintf("/repos/%s/issues/%d/comments?per_page=100&page=%d", name, number, page), &part)
		if all = append(all, part...); len(part) < 100 {
			return all
		}
	}
}

type comment struct {
	ID   int64
	Body string
	User struct{ Login string }
}

// contexts are the statuses of a pull request's head: "success: text" by context.
func (g *github) contexts(name string, number int) map[string]string {
	g.t.Helper()
	var pull struct{ Head struct{ SHA string } }
	g.get("/repos/"+name+"/pulls/"+strconv.Itoa(number), &pull)
	var combined struct {
		Statuses []struct{ Context, State, Description string }
	}
	g.get("/repos/"+name+"/commits/"+pull.Head.SHA+"/status?per_page=100", &combined)
	all := map[string]string{}
	for _, s := range combined.Statuses {
		all[s.Context] = s.State + ": " + s.Description
	}
	return all
}

// ask makes one JSON request with the bot's token. It gives up after a while.
func ask(method, address string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), child.Patience)
	defer cancel()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.500s", method, address, resp.Status, raw)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(raw, out)
	}
	return err
}

// client keeps a connection for everyone who asks at the same time.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
