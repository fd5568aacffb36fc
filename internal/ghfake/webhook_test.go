// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // GitHub's older header
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/prow/pkg/github"

	"sigs.k8s.io/steward/internal/ghfake"
)

// event is one delivery as Prow's own validation passed it.
type event struct {
	kind, guid string
	payload    []byte
}

// receiver is a webhook endpoint that checks signatures with Prow's code.
type receiver struct {
	t    *testing.T
	mu   sync.Mutex
	got  []event
	code int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	sha1Header := req.Header.Get("X-Hub-Signature")
	kind, guid, payload, valid, _ := github.ValidateWebhook(w, req, func() []byte { return []byte("s3cret") })
	if !valid {
		r.t.Errorf("Prow refuses the delivery of %s", kind)
		return
	}
	mac := hmac.New(sha1.New, []byte("s3cret"))
	mac.Write(payload)
	if want := "sha1=" + hex.EncodeToString(mac.Sum(nil)); sha1Header != want {
		r.t.Errorf("X-Hub-Signature: got %s, want %s", sha1Header, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, event{kind, guid, payload})
	if r.code != 0 {
		w.WriteHeader(r.code)
	}
	_, _ = w.Write([]byte("Event received."))
}

// hooked is a fake whose organization sends to a receiver.
func hooked(t *testing.T) (*ghfake.Running, *receiver) {
	t.Helper()
	gh, r := ghfake.Start(t, acme), &receiver{t: t}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	as(t, gh, "alice-token").do("POST", "/orgs/acme/hooks", `{"config":{"url":"`+srv.URL+`","secret":"s3cret"},"events":["*"]}`).want(201)
	return gh, r
}

// take waits for all deliveries and empties the receiver.
func (r *receiver) take(gh *ghfake.Running) []event {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ok(r.t, gh.Idle(ctx))
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// action is "event action".
func (e event) action(t *testing.T) string {
	t.Helper()
	var v struct{ Action string }
	ok(t, json.Unmarshal(e.payload, &v))
	if v.Action == "" {
		return e.kind
	}
	return e.kind + " " + v.Action
}

func TestWebhookPerAct(t *testing.T) {
	gh, r := hooked(t)
	made := must(gh.Act(ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 1, Body: "made"}))(t)
	equal(t, "comment", r.take(gh)[0].action(t), "issue_comment created")
	for _, test := range []struct {
		act  ghfake.Act
		want []string
	}{
		{ghfake.Act{Do: "edit-comment", ID: made.ID, Body: "edited"}, []string{"issue_comment edited"}},
		{ghfake.Act{Do: "delete-comment", ID: made.ID}, []string{"issue_comment deleted"}},
		{ghfake.Act{Do: "open-issue", Title: "x", Labels: []string{"lgtm"}}, []string{"issues opened"}},
		{ghfake.Act{Do: "open-pull", Title: "x", Files: map[string]string{"x": "y"}}, []string{"pull_request opened"}},
		{ghfake.Act{Do: "open-pull", Title: "x", Head: "here", Files: map[string]string{"x": "y"}}, []string{"push", "pull_request opened"}},
		{ghfake.Act{Do: "push", Number: 3, Files: map[string]string{"x": "y"}}, []string{"push", "pull_request synchronize"}},
		{ghfake.Act{Do: "push", Number: 2, Files: map[string]string{"x": "y"}}, []string{"pull_request synchronize"}},
		{ghfake.Act{Do: "push", Files: map[string]string{"z": "y"}}, []string{"push"}},
		{ghfake.Act{Do: "edit", Number: 2, Title: "y"}, []string{"pull_request edited"}},
		{ghfake.Act{Do: "edit", Number: 2, Title: "y"}, nil},
		{ghfake.Act{Do: "edit", Number: 2, Base: "release-1.0"}, []string{"pull_request edited"}},
		{ghfake.Act{Do: "edit", Number: 2, Base: "main"}, []string{"pull_request edited"}},
		{ghfake.Act{Do: "label", Number: 2, Labels: []string{"a", "b"}}, []string{"pull_request labeled", "pull_request labeled"}},
		{ghfake.Act{Do: "unlabel", Number: 2, Labels: []string{"a", "none"}}, []string{"pull_request unlabeled"}},
		{ghfake.Act{Do: "label", Number: 1, Labels: []string{"a"}}, []string{"issues labeled"}},
		{ghfake.Act{Do: "review", Number: 2}, []string{"pull_request_review submitted"}},
		{ghfake.Act{Do: "draft", Number: 2}, []string{"pull_request converted_to_draft"}},
		{ghfake.Act{Do: "ready", Number: 2}, []string{"pull_request ready_for_review"}},
		{ghfake.Act{Do: "close", Number: 2}, []string{"pull_request closed"}},
		{ghfake.Act{Do: "reopen", Number: 2}, []string{"pull_request reopened"}},
		{ghfake.Act{Do: "close", Number: 1}, []string{"issues closed"}},
		{ghfake.Act{Do: "merge", Number: 2}, []string{"push", "pull_request closed"}},
	} {
		test.act.As, test.act.Repo = "alice", "acme/infra"
		must(gh.Act(test.act))(t)
		var got []string
		for _, e := range r.take(gh) {
			got = append(got, e.action(t))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s of #%d: got %q, want %q", test.act.Do, test.act.Number, got, test.want)
		}
	}
}

func TestWebhookPayloads(t *testing.T) {
	gh, r := hooked(t)
	c := as(t, gh, "bot-token")
	c.do("POST", "/repos/acme/infra/issues/2/comments", `{"body":"/infra why"}`).want(201)
	var comment github.IssueCommentEvent
	ok(t, json.Unmarshal(r.take(gh)[0].payload, &comment))
	equal(t, "body", comment.Comment.Body, "/infra why")
	equal(t, "author", comment.Comment.User.Type, "Bot")
	equal(t, "is a pull request", comment.Issue.IsPullRequest(), true)
	equal(t, "repository", comment.Repo.FullName, "acme/infra")
	equal(t, "owner", comment.Repo.Owner.Login, "acme")

	sha := c.get("/repos/acme/infra/pulls/2").at("head.sha")
	c.do("POST", "/repos/acme/infra/statuses/"+sha, `{"state":"failure","context":"steward/owners"}`).want(201)
	var status github.StatusEvent
	ok(t, json.Unmarshal(r.take(gh)[0].payload, &status))
	equal(t, "status", status.SHA+status.Context+status.State, sha+"steward/owners"+"failure")

	must(gh.Act(ghfake.Act{As: "carol", Do: "edit", Repo: "acme/infra", Number: 2, Body: "new"}))(t)
	var edited github.PullRequestEvent
	ok(t, json.Unmarshal(r.take(gh)[0].payload, &edited))
	equal(t, "number", edited.Number, 2)
	equal(t, "head", edited.PullRequest.Head.SHA, sha)
	equal(t, "changes", string(edited.Changes), `{"body":{"from":""}}`)

	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Files: map[string]string{"OWNERS": "x\n", "n": "n"}, Renames: map[string]string{"README.md": "R"}}))(t)
	var push github.PushEvent
	ok(t, json.Unmarshal(r.take(gh)[0].payload, &push))
	equal(t, "branch", push.Branch(), "main")
	equal(t, "modified", push.Commits[0].Modified[0], "OWNERS")
	equal(t, "added", len(push.Commits[0].Added), 2)
	equal(t, "removed", push.Commits[0].Removed[0], "README.md")

	must(gh.Act(ghfake.Act{As: "bob", Do: "review", Repo: "acme/infra", Number: 2, State: "REQUEST_CHANGES", Body: "no"}))(t)
	var review github.ReviewEvent
	ok(t, json.Unmarshal(r.take(gh)[0].payload, &review))
	equal(t, "state", string(review.Review.State), "changes_requested")
}

func TestRedelivery(t *testing.T) {
	gh, r := hooked(t)
	r.code = 500
	must(gh.Act(ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 1, Body: "one"}))(t)
	first := r.take(gh)
	equal(t, "not retried", len(first), 1)
	equal(t, "recorded", gh.Deliveries()[0].Status, 500)
	r.code = 0
	control := as(t, gh, "")
	equal(t, "failed ones", control.do("POST", "/_fake/deliveries", `{"failed":true}`).at("redelivered"), "1")
	again := r.take(gh)
	equal(t, "guid", again[0].guid, first[0].guid)
	equal(t, "payload", string(again[0].payload), string(first[0].payload))
	equal(t, "marked", control.get("/_fake/deliveries").at("1.redelivery"), "true")
	equal(t, "answer", control.get("/_fake/deliveries").at("1.response"), "Event received.")
}

func TestHookFilters(t *testing.T) {
	gh, r := hooked(t)
	c := as(t, gh, "alice-token")
	id := c.get("/orgs/acme/hooks").at("0.id")
	equal(t, "secret is hidden", c.get("/orgs/acme/hooks").at("0.config.secret"), "********")
	c.do("PATCH", "/orgs/acme/hooks/"+id, `{"events":["status"]}`).want(200)
	must(gh.Act(ghfake.Act{As: "alice", Do: "comment", Repo: "acme/infra", Number: 1, Body: "one"}))(t)
	equal(t, "other events", len(r.take(gh)), 0)
	c.do("DELETE", "/orgs/acme/hooks/"+id, "").want(204)
	equal(t, "left", c.get("/orgs/acme/hooks").size(), 0)
	as(t, gh, "bob-token").do("POST", "/repos/acme/infra/hooks", `{}`).want(403)
}
