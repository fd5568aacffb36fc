// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/ghfake"
)

// caller makes plain HTTP calls as one token.
type caller struct {
	t          *testing.T
	url, token string
	header     http.Header // of the next calls
}

func as(t *testing.T, gh *ghfake.Running, token string) *caller {
	return &caller{t, gh.URL, token, http.Header{}}
}

type result struct {
	t      *testing.T
	code   int
	header http.Header
	text   string
}

// do sends a request; body is JSON text or "".
func (c *caller) do(method, path, body string) result {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	ok(c.t, err)
	for k, v := range c.header {
		req.Header[k] = v
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	ok(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ok(c.t, err)
	return result{c.t, resp.StatusCode, resp.Header, string(text)}
}

func (c *caller) get(path string) result { c.t.Helper(); return c.do("GET", path, "") }

// want checks the status.
func (r result) want(code int) result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("status: got %d, want %d: %s", r.code, code, r.text)
	}
	return r
}

// at digs a value out of the JSON: "0.user.login".
func (r result) at(path string) string {
	r.t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(r.text)))
	d.UseNumber()
	var v any
	ok(r.t, d.Decode(&v))
	for key := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			var n int
			if _, err := fmt.Sscan(key, &n); err != nil || n >= len(x) {
				r.t.Fatalf("%s: no element %s in a list of %d", path, key, len(x))
			}
			v = x[n]
		default:
			r.t.Fatalf("%s: nothing at %s", path, key)
		}
	}
	return fmt.Sprint(v)
}

// size is the length of the JSON list.
func (r result) size() int {
	r.t.Helper()
	var v []json.RawMessage
	ok(r.t, json.Unmarshal([]byte(r.text), &v))
	return len(v)
}

func TestAccess(t *testing.T) {
	gh := ghfake.Start(t, acme)
	for _, test := range []struct {
		token, method, path, body string
		want                      int
	}{
		{"", "GET", "/repos/acme/infra", "", 200},
		{"", "GET", "/repos/ACME/Infra", "", 200},
		{"", "GET", "/user", "", 401},
		{"nonsense", "GET", "/repos/acme/infra", "", 401},
		{"", "POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`, 401},
		{"carol-token", "POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`, 201},
		{"carol-token", "POST", "/repos/acme/infra/issues/1/comments", `{"body":" "}`, 422},
		{"carol-token", "POST", "/repos/acme/infra/issues/1/comments", `{"body":`, 400},
		{"carol-token", "POST", "/repos/acme/infra/issues/99/comments", `{"body":"x"}`, 404},
		{"carol-token", "POST", "/repos/acme/infra/issues/1/labels", `["lgtm"]`, 403},
		{"bot-token", "POST", "/repos/acme/infra/issues/1/labels", `{"labels":["lgtm"]}`, 200},
		{"carol-token", "PATCH", "/repos/acme/infra/issues/1", `{"title":"mine"}`, 200},
		{"carol-token", "PATCH", "/repos/acme/infra/pulls/3", `{"title":"not mine"}`, 403},
		{"carol-token", "GET", "/repos/acme/secret", "", 404},
		{"bob-token", "GET", "/repos/acme/secret", "", 404},
		{"alice-token", "GET", "/repos/acme/secret", "", 200},
		{"", "POST", "/graphql", `{"query":"{viewer{login}}"}`, 401},
		{"carol-token", "GET", "/orgs/acme/hooks", "", 404},
		{"alice-token", "GET", "/orgs/acme/hooks", "", 200},
	} {
		if got := as(t, gh, test.token).do(test.method, test.path, test.body); got.code != test.want {
			t.Errorf("%s %s as %q: got %d, want %d: %s", test.method, test.path, test.token, got.code, test.want, got.text)
		}
	}
}

func TestETag(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	first := c.get("/repos/acme/infra/issues/1").want(200)
	left := first.header.Get("X-RateLimit-Remaining")
	c.header.Set("If-None-Match", first.header.Get("ETag"))
	again := c.get("/repos/acme/infra/issues/1").want(304)
	equal(t, "body", again.text, "")
	equal(t, "a 304 costs nothing", again.header.Get("X-RateLimit-Remaining"), left)
	equal(t, "counted", gh.Counters()["GET /repos/{owner}/{repo}/issues/{number}"], ghfake.Counter{Total: 2, NotModified: 1})
	c.do("POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`).want(201)
	equal(t, "changed", c.get("/repos/acme/infra/issues/1").want(200).at("comments"), "2")
}

func TestRateLimit(t *testing.T) {
	now := time.Date(2024, 6, 6, 12, 0, 0, 0, time.UTC)
	gh := ghfake.StartWith(t, ghfake.Options{RateLimit: 3, Clock: func() time.Time { return now }}, acme)
	c := as(t, gh, "bot-token")
	for _, left := range []string{"2", "1", "0"} {
		equal(t, "remaining", c.get("/repos/acme/infra").want(200).header.Get("X-RateLimit-Remaining"), left)
	}
	out := c.get("/repos/acme/infra").want(403)
	equal(t, "reset", out.header.Get("X-RateLimit-Reset"), fmt.Sprint(now.Add(time.Hour).Unix()))
	equal(t, "rate_limit is free", c.get("/rate_limit").want(200).at("resources.core.remaining"), "0")
	equal(t, "others have their own", as(t, gh, "bob-token").get("/user").want(200).header.Get("X-RateLimit-Remaining"), "2")
	gh.Advance(time.Hour)
	c.get("/repos/acme/infra").want(200)
}

func TestPages(t *testing.T) {
	gh := ghfake.Start(t, acme)
	must2(gh.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 60}))(t)
	c := as(t, gh, "bot-token")
	for _, test := range []struct {
		query, link string
		size        int
	}{
		{"", `<%[1]s?page=2>; rel="next", <%[1]s?page=3>; rel="last"`, 30},
		{"?page=2&per_page=50", `<%[1]s?page=1&per_page=50>; rel="prev", <%[1]s?page=1&per_page=50>; rel="first"`, 12},
		{"?per_page=1000", "", 62},
		{"?page=9", `<%[1]s?page=3>; rel="prev", <%[1]s?page=1>; rel="first"`, 0},
	} {
		got := c.get("/repos/acme/infra/pulls" + test.query).want(200)
		equal(t, "size of "+test.query, got.size(), test.size)
		want := test.link
		if want != "" {
			want = fmt.Sprintf(want, gh.URL+"/repos/acme/infra/pulls")
		}
		equal(t, "link of "+test.query, got.header.Get("Link"), want)
	}
}

func TestListIssues(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	gh.Advance(time.Hour)
	since := c.do("POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`).want(201).at("created_at")
	for query, want := range map[string]string{
		"":                                   "3 2 1",
		"?state=all":                         "4 3 2 1",
		"?state=closed":                      "4",
		"?labels=kind/bug":                   "2 1",
		"?labels=kind/bug,lgtm":              "",
		"?creator=CAROL":                     "2 1",
		"?assignee=bob":                      "1",
		"?since=" + since:                    "1",
		"?sort=updated&direction=asc&page=1": "2 3 1",
		"?sort=comments&direction=desc":      "2 1 3",
	} {
		got := c.get("/repos/acme/infra/issues" + query).want(200)
		var numbers []string
		for n := range got.size() {
			numbers = append(numbers, got.at(fmt.Sprintf("%d.number", n)))
		}
		if query == "?state=all" { // created long ago, so last
			want = "3 2 1 4"
		}
		equal(t, query, strings.Join(numbers, " "), want)
	}
	c.get("/repos/acme/infra/issues?since=yesterday").want(422)
}

func TestComments(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	gh.Advance(time.Hour)
	made := c.do("POST", "/repos/acme/infra/issues/2/comments", `{"body":"<b> & \"q\""}`).want(201)
	equal(t, "body", made.at("body"), `<b> & "q"`)
	if !strings.Contains(made.text, "<b> &") {
		t.Error("the body is escaped as for HTML, which GitHub does not do")
	}
	id := made.at("id")
	equal(t, "since", c.get("/repos/acme/infra/issues/2/comments?since="+made.at("created_at")).size(), 1)
	equal(t, "all", c.get("/repos/acme/infra/issues/2/comments").size(), 4)
	equal(t, "ghost", c.get("/repos/acme/infra/issues/2/comments").at("1.user.login"), "ghost")
	equal(t, "of the repository", c.get("/repos/acme/infra/issues/comments?sort=updated&direction=desc").at("0.id"), id)
	gh.Advance(time.Hour)
	edited := c.do("PATCH", "/repos/acme/infra/issues/comments/"+id, `{"body":"new"}`).want(200)
	equal(t, "created stays", edited.at("created_at"), made.at("created_at"))
	if edited.at("updated_at") == made.at("updated_at") {
		t.Error("an edit did not move updated_at")
	}
	as(t, gh, "carol-token").do("PATCH", "/repos/acme/infra/issues/comments/"+id, `{"body":"mine"}`).want(403)
	as(t, gh, "alice-token").do("DELETE", "/repos/acme/infra/issues/comments/"+id, "").want(204)
	c.get("/repos/acme/infra/issues/comments/" + id).want(404)
	c.do("PATCH", "/repos/acme/infra/issues/comments/"+id, `{"body":"gone"}`).want(404)
}

func TestUpdatedAt(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	sha := c.get("/repos/acme/infra/pulls/2").at("head.sha")
	for _, test := range []struct {
		method, path, body string
		moves              bool
	}{
		{"POST", "/issues/2/comments", `{"body":"x"}`, true},
		{"POST", "/issues/2/labels", `["lgtm"]`, true},
		{"POST", "/issues/2/labels", `["lgtm"]`, false},
		{"DELETE", "/issues/2/labels/lgtm", "", true},
		{"PATCH", "/pulls/2", `{"title":"other"}`, true},
		{"PATCH", "/pulls/2", `{"title":"other"}`, false},
		{"POST", "/statuses/" + sha, `{"state":"success"}`, false},
		{"POST", "/pulls/2/reviews", `{"event":"APPROVE"}`, true},
	} {
		before := c.get("/repos/acme/infra/issues/2").at("updated_at")
		gh.Advance(time.Minute)
		c.do(test.method, "/repos/acme/infra"+test.path, test.body)
		if moved := c.get("/repos/acme/infra/issues/2").at("updated_at") != before; moved != test.moves {
			t.Errorf("%s %s %s: moved updated_at: %v, want %v", test.method, test.path, test.body, moved, test.moves)
		}
	}
}

func TestUnknownRoute(t *testing.T) {
	var failed recorder
	gh := ghfake.Start(&failed, acme)
	got := as(t, gh, "bot-token").get("/repos/acme/infra/milestones?state=open").want(501)
	equal(t, "message", got.at("message"), "ghfake has no route for GET /repos/acme/infra/milestones")
	as(t, gh, "").do("PUT", "/repos/acme/infra/issues/1", "{}").want(501)
	equal(t, "listed", len(gh.Unknown()), 2)
	failed.end()
	if len(failed.errors) != 2 || !strings.Contains(failed.errors[0], "GET /repos/acme/infra/milestones") {
		t.Errorf("the test was not failed by name: %q", failed.errors)
	}
}

// recorder is a ghfake.T that keeps what it is told.
type recorder struct {
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()                   {}
func (r *recorder) Cleanup(f func())          { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(f string, a ...any) { r.errors = append(r.errors, fmt.Sprintf(f, a...)) }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...) }
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}
