// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// threadQuery reads everything a decision needs but the changed files, whose
// former names GraphQL does not tell.
const threadQuery = `query($org:String!,$repo:String!,$number:Int!,$after:String){
  viewer{login}
  repository(owner:$org,name:$repo){
    defaultBranchRef{name target{oid}}
    records:issues(first:100,labels:["` + thread.RecordLabel + `"],orderBy:{field:CREATED_AT,direction:ASC}){
      pageInfo{hasNextPage} nodes{number title body state author{login __typename} editor{login __typename}}
    }
    issueOrPullRequest(number:$number){
      __typename
      ...on Issue{title body issueState:state updatedAt author{login __typename} editor{login __typename} labels(first:100){nodes{name}} comments(first:100,after:$after){` + commentFields + `}}
      ...on PullRequest{title pullState:state updatedAt author{login __typename} labels(first:100){nodes{name}} comments(first:100,after:$after){` + commentFields + `}
        headRefOid baseRefName baseRef{target{oid}} changedFiles
        latestOpinionatedReviews(first:100){nodes{author{login} state}}
        commits(last:1){nodes{commit{oid status{contexts{context state description targetUrl}} associatedPullRequests(first:20){nodes{number state headRefOid}}}}}
      }
    }
  }
}`

const commentFields = `pageInfo{hasNextPage endCursor} nodes{fullDatabaseId author{login __typename} body createdAt lastEditedAt}`

// commentsQuery reads the further pages of a long thread.
const commentsQuery = `query($org:String!,$repo:String!,$number:Int!,$after:String){
  repository(owner:$org,name:$repo){
    issueOrPullRequest(number:$number){
      ...on Issue{comments(first:100,after:$after){` + commentFields + `}}
      ...on PullRequest{comments(first:100,after:$after){` + commentFields + `}}
    }
  }
}`

// maxComments bounds a thread: GitHub allows 2,500 comments on an issue or pull
// request.
const maxComments = 2500

type actor struct {
	Login string `json:"login"`
	Type  string `json:"__typename"`
}

type commentPage struct {
	PageInfo struct {
		HasNextPage bool   `json:"hasNextPage"`
		EndCursor   string `json:"endCursor"`
	} `json:"pageInfo"`
	Nodes []struct {
		ID           int64      `json:"fullDatabaseId,string"` // databaseId ends at 2^31
		Author       actor      `json:"author"`
		Body         string     `json:"body"`
		CreatedAt    time.Time  `json:"createdAt"`
		LastEditedAt *time.Time `json:"lastEditedAt"`
	} `json:"nodes"`
}

func (p commentPage) comments() []thread.Comment {
	out := make([]thread.Comment, 0, len(p.Nodes))
	for _, n := range p.Nodes {
		out = append(out, thread.Comment{
			ID: n.ID, Author: n.Author.Login, Bot: n.Author.Type == "Bot",
			Body: n.Body, Created: n.CreatedAt, Edited: n.LastEditedAt != nil,
		})
	}
	return out
}

type branch struct {
	Name   string `json:"name"`
	Target struct {
		OID string `json:"oid"`
	} `json:"target"`
}

type threadAnswer struct {
	Viewer     actor `json:"viewer"`
	Repository struct {
		DefaultBranch branch `json:"defaultBranchRef"`
		Records       struct {
			PageInfo struct {
				HasNextPage bool `json:"hasNextPage"`
			} `json:"pageInfo"`
			Nodes []recordNode `json:"nodes"`
		} `json:"records"`
		Thread *threadNode `json:"issueOrPullRequest"`
	} `json:"repository"`
}

type recordNode struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	State  string `json:"state"`
	Author actor  `json:"author"`
	Editor *actor `json:"editor"`
}

type threadNode struct {
	Type   string `json:"__typename"`
	Body   string `json:"body"`   // of issues
	Editor *actor `json:"editor"` // of issues
	Title  string `json:"title"`
	// Two fields, because the enumerations of a state differ by type.
	IssueState string    `json:"issueState"`
	PullState  string    `json:"pullState"`
	UpdatedAt  time.Time `json:"updatedAt"`
	Author     actor     `json:"author"`
	Labels     struct {
		Nodes []struct {
			Name string `json:"name"`
		} `json:"nodes"`
	} `json:"labels"`
	Comments     commentPage `json:"comments"`
	HeadRefOID   string      `json:"headRefOid"`
	BaseRefName  string      `json:"baseRefName"`
	BaseRef      *branch     `json:"baseRef"`
	ChangedFiles int         `json:"changedFiles"`
	Reviews      struct {
		Nodes []struct {
			Author actor  `json:"author"`
			State  string `json:"state"`
		} `json:"nodes"`
	} `json:"latestOpinionatedReviews"`
	Commits struct {
		Nodes []struct {
			Commit struct {
				OID    string `json:"oid"`
				Status *struct {
					Contexts []struct {
						Context     string `json:"context"`
						State       string `json:"state"`
						Description string `json:"description"`
						TargetURL   string `json:"targetUrl"`
					} `json:"contexts"`
				} `json:"status"`
				Pulls struct {
					Nodes []struct {
						Number     int    `json:"number"`
						State      string `json:"state"`
						HeadRefOID string `json:"headRefOid"`
					} `json:"nodes"`
				} `json:"associatedPullRequests"`
			} `json:"commit"`
		} `json:"nodes"`
	} `json:"commits"`
}

// Snapshot reads a thread in one GraphQL query, one more for every further 100
// comments, and one REST request for every 100 changed files of an open pull
// request. Owners is left nil. A thread that GitHub does not (yet) show is an
// error that IsNotFound knows.
func (c *Client) Snapshot(ctx context.Context, key thread.Key) (*thread.Snapshot, error) {
	var answer threadAnswer
	vars := map[string]any{"org": key.Org, "repo": key.Name, "number": key.Number}
	if err := c.query(ctx, key.Org, "thread", threadQuery, vars, &answer); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	node := answer.Repository.Thread
	if node == nil {
		return nil, fmt.Errorf("read %s: %w", key, &StatusError{Method: "graphql", Path: "thread", Status: http.StatusNotFound, Message: "no such thread"})
	}
	if answer.Repository.Records.PageInfo.HasNextPage {
		return nil, fmt.Errorf("read %s: more than 100 issues carry the label %s", key, thread.RecordLabel)
	}
	s := answer.snapshot(key)
	if err := c.moreComments(ctx, s, vars, node.Comments); err != nil {
		return nil, fmt.Errorf("read comments of %s: %w", key, err)
	}
	thread.SortComments(s.Comments)
	if s.IsPull() {
		if err := c.files(ctx, s, node.ChangedFiles); err != nil {
			return nil, fmt.Errorf("read files of %s: %w", key, err)
		}
	}
	return s, nil
}

func (a *threadAnswer) snapshot(key thread.Key) *thread.Snapshot {
	node := a.Repository.Thread
	s := &thread.Snapshot{
		Key: key, Where: node.where(), Title: node.Title, Author: node.Author.Login, AuthorBot: node.Author.Type == "Bot", Bot: a.Viewer.Login,
		Updated: node.UpdatedAt, Comments: node.Comments.comments(),
		Default: a.Repository.DefaultBranch.Name, Base: a.Repository.DefaultBranch.Name, BaseCommit: a.Repository.DefaultBranch.Target.OID,
		Records: a.records(key.Number),
	}
	for _, l := range node.Labels.Nodes {
		s.Labels = append(s.Labels, l.Name)
	}
	if s.IsPull() {
		node.pull(s)
	}
	return s
}

// pull fills in what only pull requests have. The status is taken from the head
// commit or not at all: a push may come between two fields of one answer.
func (n *threadNode) pull(s *thread.Snapshot) {
	s.Head, s.Base, s.BaseCommit = n.HeadRefOID, n.BaseRefName, ""
	if n.BaseRef != nil {
		s.BaseCommit = n.BaseRef.Target.OID
	}
	for _, r := range n.Reviews.Nodes {
		s.Reviews = append(s.Reviews, thread.Review{Author: r.Author.Login, State: r.State})
	}
	s.Statuses = map[string]thread.Status{}
	for _, c := range n.Commits.Nodes {
		if c.Commit.OID != n.HeadRefOID {
			continue
		}
		for _, p := range c.Commit.Pulls.Nodes {
			if p.Number != s.Number && p.State == "OPEN" && p.HeadRefOID == s.Head {
				s.Twins = append(s.Twins, p.Number)
			}
		}
		if c.Commit.Status == nil {
			continue
		}
		for _, st := range c.Commit.Status.Contexts {
			s.Statuses[st.Context] = thread.Status{
				Context: st.Context, State: thread.State(strings.ToLower(st.State)),
				Description: st.Description, URL: st.TargetURL,
			}
		}
	}
}

func (n *threadNode) where() thread.Where {
	switch {
	case n.Type == "PullRequest" && n.PullState == "MERGED":
		return thread.MergedPull
	case n.Type == "PullRequest" && n.PullState == "OPEN":
		return thread.OpenPull
	case n.Type == "PullRequest":
		return thread.ClosedPull
	case n.IssueState == "OPEN":
		return thread.OpenIssue
	}
	return thread.ClosedIssue
}

// records keeps the issues that our own account wrote: anyone may put a label or
// a marker on an issue.
func (a *threadAnswer) records(number int) []thread.Record {
	var out []thread.Record
	name, app := strings.CutSuffix(a.Viewer.Login, "[bot]")
	own := func(who actor) bool { return strings.EqualFold(who.Login, name) && (who.Type == "Bot") == app }
	add := func(n recordNode, labelled bool) {
		if !own(n.Author) {
			return
		}
		r, ok := thread.ParseRecord(n.Number, n.Title, n.Body, n.State == "OPEN")
		if !ok {
			return
		}
		if n.Editor != nil && !own(*n.Editor) {
			r.Data, r.Stamp = nil, thread.Stamp{} // whatever it says now, we did not write it
		}
		r.Labelled = labelled
		out = append(out, r)
	}
	labelled := map[int]bool{}
	for _, n := range a.Repository.Records.Nodes {
		labelled[n.Number] = true
		add(n, true)
	}
	// Somebody may have taken the label off the issue that is looked at.
	if t := a.Repository.Thread; t.Type == "Issue" && !labelled[number] {
		add(recordNode{Number: number, Title: t.Title, Body: t.Body, State: t.IssueState, Author: t.Author, Editor: t.Editor}, false)
	}
	return out
}

func (c *Client) moreComments(ctx context.Context, s *thread.Snapshot, vars map[string]any, page commentPage) error {
	for page.PageInfo.HasNextPage {
		if len(s.Comments) >= maxComments {
			return fmt.Errorf("there are more than %d", maxComments)
		}
		var answer threadAnswer
		vars["after"] = page.PageInfo.EndCursor
		if err := c.query(ctx, s.Org, "comments", commentsQuery, vars, &answer); err != nil {
			return err
		}
		if answer.Repository.Thread == nil {
			return fmt.Errorf("the thread went away after %d of them", len(s.Comments))
		}
		page = answer.Repository.Thread.Comments
		s.Comments = append(s.Comments, page.comments()...)
	}
	return nil
}

// ErrStale says that two answers show a thread at two moments, for example right
// after a push: read again.
var ErrStale = errors.New("the answers do not belong together")

const (
	filesPerPage = 100
	maxFiles     = 3000 // GitHub lists no more
)

func (c *Client) files(ctx context.Context, s *thread.Snapshot, total int) error {
	for page := 1; len(s.Files) < min(total, maxFiles); page++ {
		var files []struct {
			Filename         string `json:"filename"`
			PreviousFilename string `json:"previous_filename"`
			Status           string `json:"status"`
			SHA              string `json:"sha"`
			ContentsURL      string `json:"contents_url"` // ends in ?ref=HEAD
		}
		r := request{
			org: s.Org, method: http.MethodGet, route: "/repos/pulls/files",
			path: repoPath(s.Repo, "pulls", strconv.Itoa(s.Number), "files") + fmt.Sprintf("?per_page=%d&page=%d", filesPerPage, page),
		}
		if _, err := c.call(ctx, r, &files); err != nil {
			return err
		}
		if len(files) == 0 {
			break
		}
		for _, f := range files {
			if _, ref, _ := strings.Cut(f.ContentsURL, "?ref="); ref != s.Head {
				return fmt.Errorf("%w: they are those of %q", ErrStale, ref)
			}
			s.Files = append(s.Files, thread.File{Path: f.Filename, Previous: f.PreviousFilename, Status: f.Status, Blob: f.SHA})
		}
	}
	s.FilesLost = max(0, total-len(s.Files))
	return nil
}

// repoPath joins escaped segments below a repository.
func repoPath(r thread.Repo, segments ...string) string {
	path := "/repos/" + url.PathEscape(r.Org) + "/" + url.PathEscape(r.Name)
	for _, s := range segments {
		path += "/" + url.PathEscape(s)
	}
	return path
}
