// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

const newComment = "/repos/acme/infra/issues/1/comments"

// outcome is what the client sees of one POST of a comment, and what stayed.
func outcome(t *testing.T, gh *ghfake.Running) (seen string, comments int) {
	t.Helper()
	req, err := http.NewRequest("POST", gh.URL+newComment, strings.NewReader(`{"body":"x"}`))
	ok(t, err)
	req.Header.Set("Authorization", "token bot-token")
	resp, err := http.DefaultTransport.RoundTrip(req)
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		seen = "reset"
	case err != nil:
		seen = err.Error()
	default:
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		seen = fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Retry-After"), " ", resp.Header.Get("X-RateLimit-Remaining"))
		if err != nil {
			seen = "cut"
		}
	}
	return seen, len(gh.Audit(ghfake.Audit{Kind: "comment.create"}))
}

func TestFaults(t *testing.T) {
	for _, test := range []struct {
		fault ghfake.Fault
		seen  string
		made  int
	}{
		{ghfake.Fault{Action: "status", Status: 502}, "502  ", 0},
		{ghfake.Fault{Action: "status", Status: 502, After: true}, "502  ", 1},
		{ghfake.Fault{Action: "rate-limit", Seconds: 7}, "403  0", 0},
		{ghfake.Fault{Action: "secondary", Seconds: 7}, "403 7 ", 0},
		{ghfake.Fault{Action: "secondary", Status: 429, Seconds: 8}, "429 8 ", 0},
		{ghfake.Fault{Action: "reset"}, "reset", 0},
		{ghfake.Fault{Action: "reset", After: true}, "reset", 1},
		{ghfake.Fault{Action: "truncate"}, "cut", 1},
		{ghfake.Fault{Action: "delay", Millis: 1}, "201  4999999", 1},
		{ghfake.Fault{Action: "status", Status: 500, Nth: 2}, "201  4999999", 1},
		{ghfake.Fault{Action: "status", Status: 500, Method: "GET"}, "201  4999999", 1},
		{ghfake.Fault{Action: "status", Status: 500, Path: "/issues/2/"}, "201  4999999", 1},
	} {
		gh := ghfake.Start(t, acme)
		ok(t, gh.Inject(test.fault))
		seen, made := outcome(t, gh)
		equal(t, fmt.Sprintf("%+v: seen", test.fault), seen, test.seen)
		equal(t, fmt.Sprintf("%+v: made", test.fault), made, test.made)
	}
}

func TestFaultCounts(t *testing.T) {
	for _, test := range []struct {
		fault ghfake.Fault
		want  string // of six requests, which meet it
	}{
		{ghfake.Fault{}, "xxxxxx"},
		{ghfake.Fault{Times: 2}, "xx...."},
		{ghfake.Fault{Nth: 3}, "..x..."},
		{ghfake.Fault{Nth: 3, Times: 2}, "..xx.."},
		{ghfake.Fault{Probability: 0.5, Seed: 2}, "..xxxx"},
	} {
		gh := ghfake.Start(t, acme)
		test.fault.Action, test.fault.Status = "status", 500
		ok(t, gh.Inject(test.fault))
		got := ""
		for range 6 {
			got += map[bool]string{true: "x", false: "."}[as(t, gh, "bob-token").get("/user").code == 500]
		}
		equal(t, fmt.Sprintf("%+v", test.fault), got, test.want)
		gh.Heal()
		as(t, gh, "bob-token").get("/user").want(200)
	}
	if err := ghfake.New(ghfake.Options{}).Inject(ghfake.Fault{Action: "explode"}); err == nil {
		t.Error("an unknown action: want an error")
	}
}

// TestReplay is how the fault engine of the whole project works: record a clean
// run, then run again once per request with a fault there.
func TestReplay(t *testing.T) {
	run := func(gh *ghfake.Running) {
		c := as(t, gh, "bot-token")
		c.get("/repos/acme/infra/pulls/2")
		c.do("POST", newComment, `{"body":"x"}`)
	}
	clean := ghfake.Start(t, acme)
	run(clean)
	equal(t, "recorded", len(clean.Requests()), 2)
	for _, rec := range clean.Requests() {
		gh := ghfake.Start(t, acme)
		ok(t, gh.Inject(ghfake.Fault{Action: "status", Status: 500, Nth: rec.Seq}))
		run(gh)
		for _, got := range gh.Requests() {
			equal(t, "path", got.Path, clean.Requests()[got.Seq-1].Path)
			equal(t, "fault", got.Fault != "", got.Seq == rec.Seq)
		}
	}
}

func TestEventualConsistency(t *testing.T) {
	gh := ghfake.Start(t, acme)
	ok(t, gh.Inject(ghfake.Fault{Action: "eventual", Reads: 2}))
	c := as(t, gh, "bot-token")
	made := must(gh.Act(ghfake.Act{As: "carol", Do: "open-pull", Repo: "acme/infra", Title: "x", Files: map[string]string{"x": "y"}}))(t)
	at := fmt.Sprintf("/repos/acme/infra/pulls/%d", made.Number)
	c.get(at).want(404)
	c.get(at + "/files").want(404)
	c.get(at).want(200)
	c.get("/repos/acme/infra/pulls/2").want(200)
	query := fmt.Sprintf(`{"query":"{repository(owner:\"acme\",name:\"infra\"){pullRequest(number:%d){title}}}"}`, made.Number)
	equal(t, "GraphQL too", c.do("POST", "/graphql", query).want(200).at("errors.0.type"), "NOT_FOUND")
	c.do("POST", "/graphql", query)
	equal(t, "then it is there", c.do("POST", "/graphql", query).at("data.repository.pullRequest.title"), "x")
}

// TestLateLists: with lists, a new comment is missing from as many lists (GF-11).
func TestLateLists(t *testing.T) {
	gh := ghfake.Start(t, acme)
	ok(t, gh.Inject(ghfake.Fault{Action: "eventual", Path: "comments", Reads: 2, Lists: true}))
	c := as(t, gh, "bot-token")
	must(gh.Act(ghfake.Act{As: "carol", Do: "comment", Repo: "acme/infra", Number: 1, Body: "x"}))(t)
	equal(t, "REST", c.get(newComment).size(), 1)
	equal(t, "GraphQL", c.ask(`issue(number:1){comments(first:9){totalCount}}`).at("issue.comments.totalCount"), "1")
	equal(t, "at last", c.get(newComment).size(), 2)
}
