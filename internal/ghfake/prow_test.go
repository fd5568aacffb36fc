// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	githubql "github.com/shurcooL/githubv4"
	"github.com/sirupsen/logrus"
	"sigs.k8s.io/prow/pkg/github"

	"sigs.k8s.io/steward/internal/ghfake"
)

//go:embed testdata/acme.txtar
var acme string

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // Prow's client logs every call
	os.Exit(m.Run())
}

// prow is Prow's own GitHub client, talking to the fake as the token's owner.
func prow(t *testing.T, gh *ghfake.Running, token string) github.Client {
	t.Helper()
	_, _, client, err := github.NewClientFromOptions(logrus.Fields{}, github.ClientOptions{
		Censor:          func(b []byte) []byte { return b },
		GetToken:        func() []byte { return []byte(token) },
		GraphqlEndpoint: gh.URL + "/graphql",
		Bases:           []string{gh.URL},
		MaxRequestTime:  10 * time.Second,
		MaxRetries:      3,
		Max404Retries:   1,
		InitialDelay:    time.Millisecond,
		MaxSleepTime:    time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestProwReadsPeople(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	equal(t, "login", must(prow(t, gh, "alice-token").BotUser())(t).Login, "alice")
	if _, err := c.BotUser(); err == nil {
		t.Error("/user as a bot: want an error (GF-8)")
	}
	for login, want := range map[string]bool{"alice": true, "ALICE": true, "carol": false} {
		equal(t, "member "+login, must(c.IsMember("acme", login))(t), want)
	}
	// GitHub sends outsiders to the public members, where alice does not stand.
	equal(t, "as an outsider sees it", must(prow(t, gh, "carol-token").IsMember("acme", "alice"))(t), false)
	for login, want := range map[string]bool{"alice": true, "dora": true, "steward[bot]": true, "carol": false} {
		equal(t, "collaborator "+login, must(c.IsCollaborator("acme", "infra", login))(t), want)
	}
	equal(t, "members", len(must(c.ListOrgMembers("acme", "all"))(t)), 2)
	equal(t, "admins", must(c.ListOrgMembers("acme", "admin"))(t)[0].Login, "alice")
	equal(t, "permission", must(c.GetUserPermission("acme", "infra", "bob"))(t), "write")
	equal(t, "has write", must(c.HasPermission("acme", "infra", "steward[bot]", "write", "admin"))(t), true)
	equal(t, "collaborators", len(must(c.ListCollaborators("acme", "infra"))(t)), 4)
	teams := must(c.ListTeams("acme"))(t)
	equal(t, "team", teams[0].Slug, "infra-leads")
	equal(t, "team members", len(must(c.ListTeamMembersBySlug("acme", "infra-leads", "all"))(t)), 2)
	equal(t, "in team", must(c.TeamBySlugHasMember("acme", "infra-leads", "bob"))(t), true)
	equal(t, "not in team", must(c.TeamBySlugHasMember("acme", "infra-leads", "carol"))(t), false)
	equal(t, "repos of an outsider", len(must(c.GetRepos("acme", false))(t)), 1)
	equal(t, "repos of an admin", len(must(prow(t, gh, "alice-token").GetRepos("acme", false))(t)), 2)
	equal(t, "default branch", must(c.GetRepo("acme", "infra"))(t).DefaultBranch, "main")
	equal(t, "org", must(c.GetOrg("acme"))(t).Login, "acme")
}

func TestProwReadsPull(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	pr := must(c.GetPullRequest("acme", "infra", 2))(t)
	equal(t, "title", pr.Title, "Add five")
	equal(t, "base", pr.Base.Ref, "main")
	equal(t, "head repo", pr.Head.Repo.FullName, "carol/infra")
	equal(t, "mergeable", must(c.IsMergeable("acme", "infra", 2, pr.Head.SHA))(t), true)
	changes := must(c.GetPullRequestChanges("acme", "infra", 2))(t)
	equal(t, "file", changes[0].Filename, "dns/zone.yaml")
	equal(t, "additions", changes[0].Additions, 1)
	if !strings.Contains(changes[0].Patch, "+five: {type: A, value: 192.0.2.5}") || !strings.HasPrefix(changes[0].Patch, "@@ -2,3 +2,4 @@") {
		t.Errorf("patch: %q", changes[0].Patch)
	}
	var got []string
	for _, x := range must(c.GetPullRequestChanges("acme", "infra", 3))(t) {
		got = append(got, fmt.Sprintf("%s %s<%s", x.Status, x.Filename, x.PreviousFilename))
	}
	want := []string{"removed README.md<", "added zones/new.yaml<", "renamed zones/zone.yaml<dns/zone.yaml"}
	if !slices.Equal(got, want) {
		t.Errorf("changes: got %q, want %q", got, want)
	}
	equal(t, "open", len(must(c.GetPullRequests("acme", "infra"))(t)), 2)
	equal(t, "merged", must(c.GetPullRequest("acme", "infra", 4))(t).Merged, true)
	equal(t, "files of a merged one", len(must(c.GetPullRequestChanges("acme", "infra", 4))(t)), 1)
	equal(t, "reviews", string(must(c.ListReviews("acme", "infra", 2))(t)[0].State), "APPROVED")
	equal(t, "commits", len(must(c.ListPullRequestCommits("acme", "infra", 2))(t)), 1)
	if diff := string(must(c.GetPullRequestDiff("acme", "infra", 3))(t)); !strings.Contains(diff, "rename from dns/zone.yaml\nrename to zones/zone.yaml\n") {
		t.Errorf("diff: %s", diff)
	}
	main := must(c.GetRef("acme", "infra", "heads/main"))(t)
	equal(t, "commit", must(c.GetSingleCommit("acme", "infra", main))(t).SHA, main)
	equal(t, "file", string(must(c.GetFile("acme", "infra", "dns/OWNERS", "main"))(t)), "approvers:\n- bob\noptions:\n  no_parent_owners: true\n")
	if _, err := c.GetFile("acme", "infra", "no/such", ""); err == nil {
		t.Error("GetFile of a missing file: want an error")
	}
	equal(t, "directory", must(c.GetDirectory("acme", "infra", "dns", ""))(t)[0].Name, "OWNERS")
}

func TestProwPages(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	first, _ := must2(gh.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 1, Files: 250}))(t)
	equal(t, "files", len(must(c.GetPullRequestChanges("acme", "infra", first))(t)), 250)
	equal(t, "requests", gh.Counters()["GET /repos/{owner}/{repo}/pulls/{number}/files"].Total, 3)
	for n := range 150 {
		must(gh.Act(ghfake.Act{As: "carol", Do: "comment", Repo: "acme/infra", Number: first, Body: fmt.Sprint(n)}))(t)
	}
	comments := must(c.ListIssueComments("acme", "infra", first))(t)
	equal(t, "comments", len(comments), 150)
	equal(t, "last", comments[149].Body, "149")
	if !slices.IsSortedFunc(comments, func(a, b github.IssueComment) int { return a.ID - b.ID }) {
		t.Error("comments are not in the order of their ids")
	}
	big, _ := must2(gh.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 1, Files: 3100}))(t)
	equal(t, "files at most", len(must(c.GetPullRequestChanges("acme", "infra", big))(t)), 3000)
}

func must2[A, B any](a A, b B, err error) func(*testing.T) (A, B) {
	return func(t *testing.T) (A, B) {
		t.Helper()
		ok(t, err)
		return a, b
	}
}

func TestProwWritesComments(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	ok(t, c.CreateComment("acme", "infra", 1, "one"))
	list := must(c.ListIssueComments("acme", "infra", 1))(t)
	id := list[len(list)-1].ID
	equal(t, "author", list[len(list)-1].User.Login, "steward[bot]")
	ok(t, c.EditComment("acme", "infra", id, "two"))
	equal(t, "edited", must(c.ListIssueComments("acme", "infra", 1))(t)[1].Body, "two")
	ok(t, c.DeleteComment("acme", "infra", id))
	equal(t, "left", len(must(c.ListIssueComments("acme", "infra", 1))(t)), 1)
	var kinds []string
	for _, a := range gh.Audit(ghfake.Audit{Login: "steward[bot]"}) {
		kinds = append(kinds, a.Kind+" "+a.Body)
	}
	if want := []string{"comment.create one", "comment.edit two", "comment.delete two"}; !slices.Equal(kinds, want) {
		t.Errorf("audit: got %q, want %q", kinds, want)
	}
	if err := c.CreateComment("acme", "infra", 1, strings.Repeat("x", 65537)); err == nil {
		t.Error("a comment of 65537 characters: want an error")
	}
}

func TestProwWritesIssues(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	ok(t, c.AddLabel("acme", "infra", 1, "lgtm"))
	ok(t, c.AddLabels("acme", "infra", 1, "lgtm", "approved"))
	ok(t, c.RemoveLabel("acme", "infra", 1, "kind/bug")) // Prow does not escape the slash
	ok(t, c.RemoveLabel("acme", "infra", 1, "kind/bug")) // Prow takes "Label does not exist" for success
	labels := must(c.GetIssueLabels("acme", "infra", 1))(t)
	equal(t, "labels", len(labels), 2)
	equal(t, "repo labels", len(must(c.GetRepoLabels("acme", "infra"))(t)), 3)
	ok(t, c.AddRepoLabel("acme", "infra", "risk/low", "few can notice", "00ff00"))
	ok(t, c.UpdateRepoLabel("acme", "infra", "risk/low", "risk/none", "none", "ffffff"))
	ok(t, c.DeleteRepoLabel("acme", "infra", "risk/none"))
	n := must(c.CreateIssue("acme", "infra", "New", "text", 0, []string{"kind/bug"}, nil))(t)
	equal(t, "number", n, 5)
	ok(t, c.CloseIssueAsNotPlanned("acme", "infra", n))
	equal(t, "reason", must(c.GetIssue("acme", "infra", n))(t).StateReason, "not_planned")
	ok(t, c.ReopenIssue("acme", "infra", n))
	ok(t, c.AssignIssue("acme", "infra", n, []string{"bob"}))
	equal(t, "assignee", must(c.GetIssue("acme", "infra", n))(t).Assignees[0].Login, "bob")
	ok(t, c.UnassignIssue("acme", "infra", n, []string{"bob"}))
	must(c.EditIssue("acme", "infra", n, &github.Issue{Title: "Newer"}))(t)
	equal(t, "issues", len(must(c.ListOpenIssues("acme", "infra"))(t)), 4)
	equal(t, "by a human", must(prow(t, gh, "alice-token").WasLabelAddedByHuman("acme", "infra", 1, "lgtm"))(t), true)
	equal(t, "events", len(must(c.ListIssueEvents("acme", "infra", n))(t)), 2)
}

func TestProwSearches(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	for query, want := range map[string]int{
		"repo:acme/infra is:pr is:open":                        2,
		"repo:acme/infra is:issue":                             1,
		"org:acme is:pr is:merged":                             1,
		`repo:acme/infra label:"kind/bug"`:                     2,
		"repo:acme/infra -label:kind/bug is:open":              1,
		"repo:acme/infra author:carol":                         2,
		"repo:acme/infra in:title five":                        1,
		`repo:acme/infra "the zone"`:                           2,
		"repo:acme/infra head:move-zone":                       1,
		"repo:acme/infra created:<2024-02-01":                  1,
		"repo:acme/infra repo:acme/secret is:pr state:closed":  1,
		"is:issue wrong":                                       1,
		"repo:acme/secret":                                     0,
		"repo:acme/infra is:pr author:app/steward is:open foo": 0,
	} {
		equal(t, query, len(must(c.FindIssues(query, "updated", false))(t)), want)
	}
	if _, err := c.FindIssues("milestone:x", "", false); err == nil {
		t.Error("an unknown qualifier: want an error")
	}
}

func TestProwWritesStatuses(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	sha := must(c.GetPullRequest("acme", "infra", 2))(t).Head.SHA
	before := must(c.GetPullRequest("acme", "infra", 2))(t).UpdatedAt
	gh.Advance(time.Minute)
	for n := range 120 {
		ok(t, c.CreateStatus("acme", "infra", sha, github.Status{State: "success", Context: fmt.Sprintf("steward/%d", n)}))
	}
	ok(t, c.CreateStatus("acme", "infra", sha, github.Status{State: "failure", Context: "steward/7", Description: "no"}))
	all := must(c.GetCombinedStatus("acme", "infra", sha))(t)
	equal(t, "state", all.State, "failure")
	equal(t, "contexts", len(all.Statuses), 121)
	equal(t, "history", len(must(c.ListStatuses("acme", "infra", sha))(t)), 122)
	equal(t, "statuses do not touch updated_at", must(c.GetPullRequest("acme", "infra", 2))(t).UpdatedAt, before)
	if err := c.CreateStatus("acme", "infra", strings.Repeat("0", 40), github.Status{State: "success", Context: "x"}); err == nil {
		t.Error("a status on a missing commit: want an error")
	}
	carol := prow(t, gh, "carol-token")
	if err := carol.CreateStatus("acme", "infra", sha, github.Status{State: "success", Context: "x"}); err == nil || !strings.Contains(err.Error(), "needs write") {
		t.Errorf("a status by an outsider: %v", err)
	}
}

func TestProwWritesPulls(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	main := must(c.GetRef("acme", "infra", "heads/main"))(t)
	ok(t, c.CreateRef("acme", "infra", "refs/heads/next", main))
	if _, err := c.CreatePullRequest("acme", "infra", "Nothing", "", "next", "main", true); err == nil {
		t.Error("a pull request without commits: want an error")
	}
	must(gh.Act(ghfake.Act{As: "bob", Do: "push", Repo: "acme/infra", Branch: "next", Files: map[string]string{"x": "y\n"}}))(t)
	n := must(c.CreatePullRequest("acme", "infra", "Next", "body", "next", "main", true))(t)
	if _, err := c.CreatePullRequest("acme", "infra", "Next", "body", "next", "main", true); err == nil {
		t.Error("the same pull request twice: want an error")
	}
	title := "Next one"
	ok(t, c.UpdatePullRequest("acme", "infra", n, &title, nil, nil, nil, nil))
	pr := must(c.GetPullRequest("acme", "infra", n))(t)
	equal(t, "title", pr.Title, title)
	equal(t, "body", pr.Body, "body")
	ok(t, c.ClosePullRequest("acme", "infra", n))
	ok(t, c.ReopenPullRequest("acme", "infra", n))
	ok(t, c.CreateReview("acme", "infra", 2, github.DraftReview{Body: "no", Action: github.RequestChanges}))
	ok(t, c.RequestReview("acme", "infra", 2, []string{"bob"}))
	ok(t, c.UnrequestReview("acme", "infra", 2, []string{"bob"}))
	if err := c.Merge("acme", "infra", n, github.MergeDetails{SHA: main}); err == nil {
		t.Error("a merge of a head that moved: want an error")
	}
	ok(t, c.Merge("acme", "infra", n, github.MergeDetails{SHA: pr.Head.SHA, MergeMethod: "squash"}))
	equal(t, "merged", string(must(c.GetFile("acme", "infra", "x", "main"))(t)), "y\n")
	equal(t, "branches", len(must(c.GetBranches("acme", "infra", false))(t)), 4)
}

func TestProwAsksGraphQL(t *testing.T) {
	gh := ghfake.Start(t, acme)
	c := prow(t, gh, "bot-token")
	var q struct {
		RateLimit  struct{ Remaining, Cost githubql.Int }
		Viewer     struct{ Login githubql.String }
		Repository struct {
			PullRequest struct {
				Title        githubql.String
				State        githubql.PullRequestState
				HeadRefOid   githubql.GitObjectID
				ChangedFiles githubql.Int
				Author       struct{ Login githubql.String }
				Comments     struct {
					TotalCount githubql.Int
					PageInfo   struct {
						HasNextPage githubql.Boolean
						EndCursor   githubql.String
					}
					Nodes []struct {
						DatabaseID githubql.Int
						Body       githubql.String
						CreatedAt  githubql.DateTime
						Author     *struct {
							Login    githubql.String
							Typename githubql.String `graphql:"__typename"`
						}
					}
				} `graphql:"comments(first: 100)"`
				Commits struct {
					Nodes []struct {
						Commit struct {
							Status struct {
								Contexts []struct {
									Context githubql.String
									State   githubql.StatusState
								}
							}
						}
					}
				} `graphql:"commits(last: 1)"`
			} `graphql:"pullRequest(number: $number)"`
			Object struct {
				Blob struct{ Text githubql.String } `graphql:"... on Blob"`
			} `graphql:"object(expression: \"main:OWNERS\")"`
		} `graphql:"repository(owner: $owner, name: $name)"`
	}
	vars := map[string]any{"owner": githubql.String("acme"), "name": githubql.String("infra"), "number": githubql.Int(2)}
	ok(t, c.QueryWithGitHubAppsSupport(context.Background(), &q, vars, "acme"))
	pr := q.Repository.PullRequest
	equal(t, "title", pr.Title, "Add five")
	equal(t, "files", pr.ChangedFiles, 1)
	equal(t, "comments", pr.Comments.TotalCount, 3)
	if pr.Comments.Nodes[1].Author != nil {
		t.Error("the ghost has an author")
	}
	equal(t, "bot", pr.Comments.Nodes[2].Author.Login, "steward")
	equal(t, "type", pr.Comments.Nodes[2].Author.Typename, "Bot")
	equal(t, "status", pr.Commits.Nodes[0].Commit.Status.Contexts[0].State, "SUCCESS")
	equal(t, "viewer", q.Viewer.Login, "steward[bot]")
	equal(t, "blob", q.Repository.Object.Blob.Text, "approvers:\n- alice\n")
	vars["number"] = githubql.Int(99)
	if err := c.QueryWithGitHubAppsSupport(context.Background(), &q, vars, "acme"); err == nil || !strings.Contains(err.Error(), "Could not resolve to a PullRequest with the number of 99.") {
		t.Errorf("a missing pull request: %v", err)
	}
}
