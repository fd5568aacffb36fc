// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"fmt"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

func TestControls(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "")
	one := c.do("POST", "/_fake/act", `{"as":"zoe","do":"comment","repo":"acme/infra","number":1,"body":"hi"}`).want(200)
	equal(t, "number", one.at("number"), "1")
	many := c.do("POST", "/_fake/act", `[{"as":"zoe","do":"open-issue","repo":"acme/infra","title":"a"},{"as":"zoe","do":"open-issue","repo":"acme/infra","title":"b"}]`).want(200)
	equal(t, "second", many.at("1.number"), "6")
	equal(t, "audit", c.get("/_fake/audit?login=zoe&kind=issue.create&after=2").at("0.number"), "6")
	equal(t, "body", c.get("/_fake/audit?body=hi").at("0.digest"), "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4")
	equal(t, "bulk", c.do("POST", "/_fake/bulk", `{"repo":"acme/infra","pulls":10}`).at("last"), "16")
	equal(t, "idle", c.get("/_fake/idle").at("idle"), "true")
	equal(t, "faults", c.do("POST", "/_fake/faults", `[{"action":"reset","nth":9}]`).at("installed"), "1")
	equal(t, "listed", c.get("/_fake/faults").at("0.nth"), "9")
	c.do("DELETE", "/_fake/faults", "").want(204)
	equal(t, "controls are not recorded", c.get("/_fake/requests").size(), 0)
	c.get("/repos/acme/infra?x=y").want(200)
	equal(t, "requests", c.get("/_fake/requests").at("0.query"), "x=y")
	equal(t, "counters", c.get("/_fake/counters").at("GET /repos/{owner}/{repo}.total"), "1")
	c.do("POST", "/_fake/reset", "").want(204)
	equal(t, "after reset", c.get("/_fake/requests").size(), 0)
	equal(t, "the world stays", c.get("/_fake/state").at("repos"), "5")
	equal(t, "unknown", c.get("/_fake/unknown").size(), 0)
}

func TestControlErrors(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "")
	for _, test := range []struct{ path, body, want string }{
		{"act", `{"do":"dance"}`, `act: unknown deed "dance" (known: close comment delete-comment draft edit edit-comment label merge open-issue open-pull push ready reopen review unlabel)`},
		{"act", `{"do":"comment","repo":"acme/nothing"}`, `act comment: no repository "acme/nothing"`},
		{"act", `{"do":"comment","repo":"acme/infra","number":77}`, `act comment: no issue acme/infra#77`},
		{"act", `{"do":"merge","as":"bob","repo":"acme/infra","number":1}`, `act merge as bob on acme/infra#1: number of a pull request is missing`},
		{"act", `{"do":"comment","nummer":1}`, `request body: json: unknown field "nummer"`},
		{"act", `{"do":"review","as":"carol","repo":"acme/infra","number":2}`, `act review as carol on acme/infra#2: Can not approve your own pull request`},
		{"faults", `{"action":"status","status":1}`, `fault: action status needs a status of 200 to 599, not 1`},
		{"faults", `{"action":"reset","path":"("}`, "fault: path: error parsing regexp: missing closing ): `(`"},
		{"clock", `{"advance":"soon"}`, `advance: time: invalid duration "soon"`},
		{"bulk", `{"repo":"acme/nothing"}`, `bulk: no repository "acme/nothing"`},
	} {
		equal(t, test.path+" "+test.body, c.do("POST", "/_fake/"+test.path, test.body).want(400).at("message"), test.want)
	}
}

// TestAuditWaits holds a request for an audit entry that comes later.
func TestAuditWaits(t *testing.T) {
	gh := ghfake.Start(t, acme)
	found := make(chan string)
	go func() { found <- as(t, gh, "").get("/_fake/audit?kind=comment.create&wait=10s").text }()
	must(gh.Act(ghfake.Act{As: "bob", Do: "comment", Repo: "acme/infra", Number: 1, Body: "now"}))(t)
	if got := <-found; got == "[]" {
		t.Error("the wait ended without the entry")
	}
	equal(t, "a short wait ends empty", as(t, gh, "").get("/_fake/audit?kind=none&wait=1ms").want(200).size(), 0)
}

func TestBulk(t *testing.T) {
	gh := ghfake.Start(t, acme)
	first, last := must2(gh.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 2000, Files: 2, Labels: []string{"lgtm"}, Comment: "/infra why"}))(t)
	equal(t, "count", last-first+1, 2000)
	c := as(t, gh, "bot-token")
	got := c.get(fmt.Sprintf("/repos/acme/infra/pulls/%d", last)).want(200)
	equal(t, "files", got.at("changed_files"), "2")
	equal(t, "comments", got.at("comments"), "1")
	git(t, "", "ls-remote", gh.URL+"/acme/infra")
}

// TestAudit: every write is one entry, writes that change nothing say so, and
// refused ones leave none (GF-9).
func TestAudit(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	c.url += "/repos/acme/infra"
	sha := c.get("/pulls/2").at("head.sha")
	id := c.get("/issues/2/comments").at("2.id")
	for _, test := range []struct{ method, path, body, want string }{
		{"POST", "/issues/1/labels", `["lgtm","approved"]`, "label.add lgtm, label.add approved"},
		{"POST", "/issues/1/labels", `["lgtm"]`, "label.add lgtm (noop)"},
		{"DELETE", "/issues/1/labels/lgtm", "", "label.remove lgtm"},
		{"DELETE", "/issues/1/labels/lgtm", "", ""},
		{"PUT", "/issues/1/labels", `{"labels":["kind/bug"]}`, "label.remove approved, label.add kind/bug (noop)"},
		{"PATCH", "/issues/comments/" + id, `{"body":"new"}`, "comment.edit new"},
		{"PATCH", "/issues/comments/" + id, `{"body":"new"}`, "comment.edit new (noop)"},
		{"PATCH", "/issues/comments/1", `{"body":"new"}`, ""},
		{"PATCH", "/issues/1", `{"title":"The zone is wrong"}`, "issue.edit The zone is wrong\n\nPlease look. (noop)"},
		{"PATCH", "/issues/1", `{"state":"closed"}`, "issue.close closed"},
		{"PATCH", "/issues/1", `{"state":"closed"}`, ""},
		{"POST", "/statuses/" + sha, `{"state":"maybe"}`, ""},
		{"POST", "/pulls/2/reviews", `{"event":"APPROVE","body":"fine"}`, "review.create APPROVED fine"},
		{"PUT", "/contents/x", `{"message":"m","content":"eA=="}`, "file.write main:x"},
		{"PUT", "/pulls/3/merge", `{"sha":"0"}`, ""},
	} {
		before := len(gh.Audit(ghfake.Audit{}))
		c.do(test.method, test.path, test.body)
		got := ""
		for n, a := range gh.Audit(ghfake.Audit{Seq: before}) {
			if n > 0 {
				got += ", "
			}
			got += a.Kind + " " + a.Body
			if a.Noop {
				got += " (noop)"
			}
		}
		equal(t, test.method+" "+test.path+" "+test.body, got, test.want)
	}
	first := `{"state":"success","context":"steward/owners"}`
	c.do("POST", "/statuses/"+sha, first).want(201)
	c.do("POST", "/statuses/"+sha, first).want(201)
	entries := gh.Audit(ghfake.Audit{Kind: "status.create", Number: 2, Body: `"steward/owners"`})
	equal(t, "statuses", len(entries), 2)
	equal(t, "the second is a noop", entries[0].Noop || !entries[1].Noop, false)
}
