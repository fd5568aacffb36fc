// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func pullRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/pulls", none, listPulls},
		{"POST", "/repos/{owner}/{repo}/pulls", signedIn, postPull},
		{"GET", "/repos/{owner}/{repo}/pulls/{number}", none, getPull},
		{"PATCH", "/repos/{owner}/{repo}/pulls/{number}", signedIn, patchPull},
		{"GET", "/repos/{owner}/{repo}/pulls/{number}/files", none, listFiles},
		{"GET", "/repos/{owner}/{repo}/pulls/{number}/commits", none, listPullCommits},
		{"GET", "/repos/{owner}/{repo}/pulls/{number}/merge", none, isMerged},
		{"PUT", "/repos/{owner}/{repo}/pulls/{number}/merge", write, putMerge},
		{"POST", "/repos/{owner}/{repo}/pulls/{number}/requested_reviewers", triage, requestReviewers},
		{"DELETE", "/repos/{owner}/{repo}/pulls/{number}/requested_reviewers", triage, unrequestReviewers},
	}
}

type pullView struct {
	ID                 int64       `json:"id"`
	NodeID             string      `json:"node_id"`
	Number             int         `json:"number"`
	State              string      `json:"state"`
	Locked             bool        `json:"locked"`
	Title              string      `json:"title"`
	Body               string      `json:"body"`
	User               userView    `json:"user"`
	URL                string      `json:"url"`
	HTMLURL            string      `json:"html_url"`
	Labels             []labelView `json:"labels"`
	Assignees          []userView  `json:"assignees"`
	RequestedReviewers []userView  `json:"requested_reviewers"`
	Head               endView     `json:"head"`
	Base               endView     `json:"base"`
	Draft              bool        `json:"draft"`
	Association        string      `json:"author_association"`
	MergeCommitSHA     *string     `json:"merge_commit_sha"`
	CreatedAt          time.Time   `json:"created_at"`
	UpdatedAt          time.Time   `json:"updated_at"`
	ClosedAt           *time.Time  `json:"closed_at"`
	MergedAt           *time.Time  `json:"merged_at"`
	*pullDetail                    // not in lists
}

// pullDetail is what only the single pull request shows.
type pullDetail struct {
	Merged         bool      `json:"merged"`
	Mergeable      *bool     `json:"mergeable"`
	MergeableState string    `json:"mergeable_state"`
	MergedBy       *userView `json:"merged_by"`
	Comments       int       `json:"comments"`
	ReviewComments int       `json:"review_comments"`
	Commits        int       `json:"commits"`
	Additions      int       `json:"additions"`
	Deletions      int       `json:"deletions"`
	ChangedFiles   int       `json:"changed_files"`
}

// endView is the head or base of a pull request. Repo is null once a fork is gone.
type endView struct {
	Label string    `json:"label"`
	Ref   string    `json:"ref"`
	SHA   string    `json:"sha"`
	User  userView  `json:"user"`
	Repo  *repoView `json:"repo"`
}

func (s *Server) endView(full, ref, sha string) endView {
	owner, name, _ := strings.Cut(full, "/")
	v := endView{Label: owner + ":" + ref, Ref: ref, SHA: sha, User: s.userView(owner)}
	if r := s.st.repo(owner, name); r != nil {
		shown := s.repoView(r)
		v.Repo = &shown
	}
	return v
}

func (s *Server) pullView(r *repo, i *issue) pullView {
	p := i.Pull
	v := pullView{
		ID: i.ID, NodeID: nodeID("PR", i.ID), Number: i.Number, State: i.State, Locked: i.Locked, Title: i.Title, Body: i.Body,
		User: s.userView(i.Author), URL: "https://api.github.com/repos/" + r.full() + "/pulls/" + strconv.Itoa(i.Number), HTMLURL: i.html(r),
		Labels: each(i.Labels, labelShown), Assignees: each(i.Assignees, s.userView), RequestedReviewers: each(p.Reviewers, s.userView),
		Head: s.endView(p.HeadRepo, p.HeadRef, p.HeadSHA), Base: s.endView(r.full(), p.BaseRef, p.BaseSHA),
		Draft: p.Draft, Association: s.st.association(i.Author, r),
		CreatedAt: i.Created, UpdatedAt: i.Updated, ClosedAt: moment(i.Closed), MergedAt: moment(p.MergedAt),
	}
	if p.MergeSHA != "" {
		v.MergeCommitSHA = &p.MergeSHA
	}
	return v
}

// fullPull adds the detail of a single pull request.
func (s *Server) fullPull(r *repo, i *issue) pullView {
	v, p := s.pullView(r, i), i.Pull
	d := &pullDetail{
		Merged: p.Merged, Comments: len(i.Comments), ReviewComments: len(p.ReviewComments),
		Commits: len(s.commitsOf(r, i)), MergeableState: "unknown",
	}
	if i.State == "open" {
		_, ok := s.mergeEdits(r, i)
		d.Mergeable, d.MergeableState = &ok, map[bool]string{true: "clean", false: "dirty"}[ok]
	}
	if p.Merged {
		by := s.userView(p.MergedBy)
		d.MergedBy = &by
	}
	d.ChangedFiles = len(s.files(r, i))
	v.pullDetail = d
	return v
}

// pullIssue is the pull request the path names.
func (c *call) pull() (*repo, *issue, error) {
	r, i, err := c.issue()
	if err != nil || i.Pull == nil {
		return nil, nil, errNotFound()
	}
	return r, i, nil
}

// getPull shows JSON, or the diff or patch where the Accept header asks for it.
func getPull(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	if accept := c.req.Header.Get("Accept"); strings.Contains(accept, "github.diff") || strings.Contains(accept, "github.v3.diff") {
		return reply{code: http.StatusOK, kind: "application/vnd.github.diff; charset=utf-8", raw: c.srv.diffText(r, i)}, nil
	}
	return c.srv.fullPull(r, i), nil
}

func listPulls(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	state, base, head := cmp.Or(c.query("state"), "open"), c.query("base"), c.query("head")
	var found []*issue
	for _, i := range r.Issues {
		p := i.Pull
		if p == nil || state != "all" && state != i.State || base != "" && base != p.BaseRef {
			continue
		}
		owner, _, _ := strings.Cut(p.HeadRepo, "/")
		if head == "" || strings.EqualFold(head, owner+":"+p.HeadRef) {
			found = append(found, i)
		}
	}
	direction := c.query("direction")
	if direction == "" && c.query("sort") != "" && c.query("sort") != "created" {
		direction = "asc" // GitHub: desc only when sort is created or not given
	}
	sortIssues(found, c.query("sort"), direction)
	return list(c, found, func(i *issue) pullView { return c.srv.pullView(r, i) }), nil
}

// pullInput opens a pull request; Head is branch or owner:branch.
type pullInput struct {
	Title, Body, Head, Base string
	Draft                   bool
}

func postPull(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in pullInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	i, err := c.srv.openPull(c.actor(), r, in)
	if err != nil {
		return nil, err
	}
	return created(c.srv.fullPull(r, i)), nil
}

// openPull checks what GitHub checks: a title, both branches, new commits, and
// that no open pull request has the same head and base.
func (s *Server) openPull(by actor, r *repo, in pullInput) (*issue, error) {
	owner, ref, ok := strings.Cut(in.Head, ":")
	if !ok {
		owner, ref = r.Owner, in.Head
	}
	from := r
	if !strings.EqualFold(owner, r.Owner) {
		from = s.st.repo(owner, r.Name)
	}
	switch {
	case strings.TrimSpace(in.Title) == "":
		return nil, invalid("PullRequest", "title", "title can't be blank")
	case r.branch(in.Base) == "":
		return nil, invalid("PullRequest", "base", "no branch "+in.Base)
	case from == nil || from.branch(ref) == "":
		return nil, invalid("PullRequest", "head", "no branch "+in.Head)
	case s.odb.reaches(r.branch(in.Base), from.branch(ref)):
		return nil, invalid("PullRequest", "head", fmt.Sprintf("No commits between %s and %s", in.Base, in.Head))
	}
	for _, i := range r.openFrom(from, ref) {
		if i.Pull.BaseRef == in.Base {
			return nil, invalid("PullRequest", "head", fmt.Sprintf("A pull request already exists for %s:%s.", owner, ref))
		}
	}
	i := s.newPull(r, 0, by.login, in, pull{HeadRepo: from.full(), HeadRef: ref, HeadSHA: from.branch(ref)})
	s.wrote(by, "pull.create", r, i.Number, i.ID, in.Title+"\n\n"+in.Body)
	s.emitIssue(by, "opened", r, i, nil)
	return i, nil
}

// newPull stores a pull request without telling anybody.
func (s *Server) newPull(r *repo, number int, author string, in pullInput, p pull) *issue {
	p.BaseRef, p.BaseSHA, p.Draft = in.Base, r.branch(in.Base), in.Draft
	i := s.newIssue(r, number, author, in.Title, in.Body)
	i.Pull = &p
	r.Refs[fmt.Sprintf("refs/pull/%d/head", i.Number)] = p.HeadSHA
	r.stale = true
	return i
}

func patchPull(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	if err := c.patch(r, i); err != nil {
		return nil, err
	}
	return c.srv.fullPull(r, i), nil
}

// reviewersInput is a list of logins; teams are not modelled.
type reviewersInput struct{ Reviewers []string }

func requestReviewers(c *call) (any, error) {
	r, i, in, err := c.reviewers()
	if err != nil {
		return nil, err
	}
	for _, login := range in {
		if !c.srv.st.collaborator(login, r) {
			return nil, fail(http.StatusUnprocessableEntity, "Reviews may only be requested from collaborators. "+login+" is not one.")
		}
	}
	for _, login := range in {
		if !slices.ContainsFunc(i.Pull.Reviewers, func(l string) bool { return strings.EqualFold(l, login) }) {
			i.Pull.Reviewers = append(i.Pull.Reviewers, login)
		}
	}
	c.srv.wrote(c.actor(), "review.request", r, i.Number, i.ID, strings.Join(in, ","))
	return created(c.srv.pullView(r, i)), nil
}

func unrequestReviewers(c *call) (any, error) {
	r, i, in, err := c.reviewers()
	if err != nil {
		return nil, err
	}
	i.Pull.Reviewers = slices.DeleteFunc(slices.Clone(i.Pull.Reviewers), func(l string) bool { return slices.Contains(in, l) })
	c.srv.wrote(c.actor(), "review.unrequest", r, i.Number, i.ID, strings.Join(in, ","))
	return c.srv.pullView(r, i), nil
}

func (c *call) reviewers() (*repo, *issue, []string, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, nil, nil, err
	}
	var in reviewersInput
	err = c.decode(&in)
	return r, i, in.Reviewers, err
}
