// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

// ask sends a query about acme/infra and digs from the repository.
func (c *caller) ask(query string) result {
	c.t.Helper()
	body := must(json.Marshal(map[string]string{"query": `{repository(owner:"acme",name:"infra"){` + query + `}}`}))(c.t)
	r := c.do("POST", "/graphql", string(body)).want(200)
	r.text = strings.Replace(r.text, `{"data":{"repository":`, "", 1)
	r.text = strings.TrimSuffix(r.text, "}}")
	return r
}

func TestGraphQLFields(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	rest := c.get("/repos/acme/infra/pulls/2")
	for _, test := range []struct{ query, path, want string }{
		{`pullRequest(number:2){title}`, "pullRequest.title", "Add five"},
		{`pullRequest(number:2){state isDraft locked}`, "pullRequest.state", "OPEN"},
		{`pullRequest(number:4){state}`, "pullRequest.state", "MERGED"},
		{`pullRequest(number:4){mergedAt mergeCommit{oid}}`, "pullRequest.mergeCommit.oid", c.get("/repos/acme/infra/pulls/4").at("merge_commit_sha")},
		{`pullRequest(number:2){headRefOid}`, "pullRequest.headRefOid", rest.at("head.sha")},
		{`pullRequest(number:2){baseRef{name target{oid ... on Commit{tree{oid}}}}}`, "pullRequest.baseRef.target.oid", c.get("/repos/acme/infra/git/ref/heads/main").at("object.sha")},
		{`pullRequest(number:2){changedFiles}`, "pullRequest.changedFiles", "1"},
		{`pullRequest(number:3){files(first:9){nodes{path changeType}}}`, "pullRequest.files.nodes.2.changeType", "RENAMED"},
		{`pullRequest(number:2){createdAt}`, "pullRequest.createdAt", rest.at("created_at")},
		{`pullRequest(number:2){labels(first:9){nodes{name}}}`, "pullRequest.labels.nodes.0.name", "kind/bug"},
		{`pullRequest(number:2){mergeable}`, "pullRequest.mergeable", "MERGEABLE"},
		{`pullRequest(number:2){latestOpinionatedReviews(first:9){nodes{state author{login}}}}`, "pullRequest.latestOpinionatedReviews.nodes.0.author.login", "alice"},
		{`pullRequest(number:2){commits(last:1){nodes{commit{status{state contexts{context}}}}}}`, "pullRequest.commits.nodes.0.commit.status.contexts.0.context", "ci/test"},
		{`pullRequest(number:3){commits(last:1){nodes{commit{status{state}}}}}`, "pullRequest.commits.nodes.0.commit.status", "<nil>"},
		{`pullRequest(number:2){comments(first:9){nodes{includesCreatedEdit editor{login} lastEditedAt}}}`, "pullRequest.comments.nodes.0.lastEditedAt", "<nil>"},
		{`pullRequest(number:2){comments(first:9){nodes{author{__typename login}}}}`, "pullRequest.comments.nodes.2.author.__typename", "Bot"},
		{`pullRequest(number:2){comments(first:9){nodes{author{login}}}}`, "pullRequest.comments.nodes.1.author", "<nil>"},
		{`pullRequest(number:2){authorAssociation}`, "pullRequest.authorAssociation", "NONE"},
		{`issue(number:1){author{login} authorAssociation}`, "issue.author.login", "carol"},
		{`issueOrPullRequest(number:1){__typename}`, "issueOrPullRequest.__typename", "Issue"},
		{`issueOrPullRequest(number:2){__typename ... on PullRequest{headRefName}}`, "issueOrPullRequest.headRefName", "patch-2"},
		{`issues(first:9,states:[OPEN]){totalCount}`, "issues.totalCount", "1"},
		{`pullRequests(first:9,states:[OPEN,CLOSED,MERGED]){totalCount}`, "pullRequests.totalCount", "3"},
		{`object(expression:"main:dns/OWNERS"){... on Blob{text isBinary isTruncated byteSize}}`, "object.byteSize", "51"},
		{`object(expression:"main:dns"){... on Tree{entries{name type mode}}}`, "object.entries.0.mode", "33188"},
		{`object(expression:"main:"){__typename}`, "object.__typename", "Tree"},
		{`object(expression:"main:nothing"){oid}`, "object", "<nil>"},
		{`object(oid:"` + rest.at("head.sha") + `"){... on Commit{tree{oid} messageHeadline}}`, "object.messageHeadline", "Add five"},
		{`ref(qualifiedName:"refs/heads/main"){target{oid}}`, "ref.target.oid", c.get("/repos/acme/infra/git/ref/heads/main").at("object.sha")},
		{`defaultBranchRef{name}`, "defaultBranchRef.name", "main"},
	} {
		equal(t, test.query, c.ask(test.query).at(test.path), test.want)
	}
}

func TestGraphQLErrors(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	for query, want := range map[string]string{
		`{repository(owner:"acme",name:"nothing"){name}}`:                                      "Could not resolve to a Repository with the name 'acme/nothing'.",
		`{repository(owner:"acme",name:"secret"){name}}`:                                       "Could not resolve to a Repository with the name 'acme/secret'.",
		`{repository(owner:"acme",name:"infra"){issue(number:2){title}}}`:                      "Could not resolve to an Issue with the number of 2.",
		`{repository(owner:"acme",name:"infra"){pullRequest(number:2){comments{totalCount}}}}`: "You must provide a `first` or `last` value to properly paginate",
		`{repository(owner:"acme",name:"infra"){stargazerCount}}`:                              `Cannot query field "stargazerCount" on type "Repository".`,
	} {
		got := c.do("POST", "/graphql", string(must(json.Marshal(map[string]string{"query": query}))(t))).want(200)
		if !strings.Contains(got.at("errors.0.message"), want) {
			t.Errorf("%s: got %s, want %s", query, got.text, want)
		}
	}
}

// TestGraphQLPages walks comments with a cursor while others are deleted.
func TestGraphQLPages(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	var ids []int64
	for n := range 25 {
		ids = append(ids, must(gh.Act(ghfake.Act{As: "bob", Do: "comment", Repo: "acme/infra", Number: 3, Body: fmt.Sprint(n)}))(t).ID)
	}
	after, seen := "", ""
	for page := 0; ; page++ {
		got := c.ask(fmt.Sprintf(`pullRequest(number:3){comments(first:10%s){totalCount pageInfo{hasNextPage endCursor} nodes{body}}}`, after))
		var v struct {
			PullRequest struct {
				Comments struct {
					PageInfo struct {
						HasNextPage bool
						EndCursor   string
					}
					Nodes []struct{ Body string }
				}
			}
		}
		ok(t, json.Unmarshal([]byte(got.text), &v))
		for _, n := range v.PullRequest.Comments.Nodes {
			seen += n.Body + " "
		}
		if !v.PullRequest.Comments.PageInfo.HasNextPage {
			break
		}
		after = fmt.Sprintf(",after:%q", v.PullRequest.Comments.PageInfo.EndCursor)
		must(gh.Act(ghfake.Act{As: "bob", Do: "delete-comment", Repo: "acme/infra", ID: ids[page]}))(t)
	}
	equal(t, "seen", seen, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 ")
	equal(t, "last", c.ask(`pullRequest(number:3){comments(last:1){nodes{body}}}`).at("pullRequest.comments.nodes.0.body"), "24")
}

func TestGraphQLOrder(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := as(t, gh, "bot-token")
	gh.Advance(1e9)
	must(gh.Act(ghfake.Act{As: "bob", Do: "comment", Repo: "acme/infra", Number: 2, Body: "x"}))(t)
	query := `pullRequests(first:1,states:[OPEN],orderBy:{field:UPDATED_AT,direction:%s}){nodes{number}}`
	equal(t, "newest", c.ask(fmt.Sprintf(query, "DESC")).at("pullRequests.nodes.0.number"), "2")
	equal(t, "oldest", c.ask(fmt.Sprintf(query, "ASC")).at("pullRequests.nodes.0.number"), "3")
}
