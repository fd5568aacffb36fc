// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

func commentRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/issues/{number}/comments", none, listComments},
		{"POST", "/repos/{owner}/{repo}/issues/{number}/comments", signedIn, postComment},
		{"GET", "/repos/{owner}/{repo}/issues/comments", none, listRepoComments},
		{"GET", "/repos/{owner}/{repo}/issues/comments/{id}", none, getComment},
		{"PATCH", "/repos/{owner}/{repo}/issues/comments/{id}", signedIn, patchComment},
		{"DELETE", "/repos/{owner}/{repo}/issues/comments/{id}", signedIn, deleteComment},
	}
}

type commentView struct {
	ID          int64     `json:"id"`
	NodeID      string    `json:"node_id"`
	URL         string    `json:"url"`
	HTMLURL     string    `json:"html_url"`
	IssueURL    string    `json:"issue_url"`
	User        userView  `json:"user"`
	Body        string    `json:"body"`
	Association string    `json:"author_association"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func (s *Server) commentView(r *repo, c *comment) commentView {
	api := "https://api.github.com/repos/" + r.full() + "/issues/"
	return commentView{
		ID: c.ID, NodeID: nodeID("IC", c.ID), URL: api + "comments/" + digits(c.ID), IssueURL: api + strconv.Itoa(c.Number),
		HTMLURL: c.html(r), User: s.userView(c.Author), Body: c.Body,
		Association: s.st.association(c.Author, r), CreatedAt: c.Created, UpdatedAt: c.Updated,
	}
}

func (c *comment) html(r *repo) string {
	return r.Issues[c.Number].html(r) + "#issuecomment-" + digits(c.ID)
}

// path is where the API has the comment.
func (c *comment) path(r *repo) string {
	return "/repos/" + r.full() + "/issues/comments/" + digits(c.ID)
}

func listComments(c *call) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	return c.commentsView(r, i.Comments)
}

// listRepoComments is all comments of a repository by id, or ?sort=updated.
func listRepoComments(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	all := sorted(r.Comments)
	if c.query("sort") == "updated" {
		slices.SortStableFunc(all, func(a, b *comment) int { return a.Updated.Compare(b.Updated) })
	}
	if c.query("direction") == "desc" {
		slices.Reverse(all)
	}
	return c.commentsView(r, all)
}

func (c *call) commentsView(r *repo, all []*comment) (any, error) {
	since, err := c.since()
	if err != nil {
		return nil, err
	}
	all = c.srv.lag.listed(r, all)
	if !since.IsZero() {
		all = slices.DeleteFunc(slices.Clone(all), func(x *comment) bool { return x.Updated.Before(since) })
	}
	return list(c, all, func(x *comment) commentView { return c.srv.commentView(r, x) }), nil
}

// comment is the comment the path names.
func (c *call) comment() (*repo, *comment, error) {
	r, err := c.repo()
	if err != nil {
		return nil, nil, err
	}
	id, _ := strconv.ParseInt(c.req.PathValue("id"), 10, 64)
	x := r.Comments[id]
	if x == nil {
		return nil, nil, errNotFound()
	}
	return r, x, nil
}

func getComment(c *call) (any, error) {
	r, x, err := c.comment()
	if err != nil {
		return nil, err
	}
	return c.srv.commentView(r, x), nil
}

// maxComment is GitHub's limit, in characters.
const maxComment = 65536

// commentBody reads and checks the body of a comment to write.
func (c *call) commentBody() (string, error) {
	var in struct{ Body string }
	if err := c.decode(&in); err != nil {
		return "", err
	}
	return in.Body, checkBody(in.Body)
}

func checkBody(body string) error {
	switch {
	case strings.TrimSpace(body) == "":
		return invalid("IssueComment", "body", "Body cannot be blank")
	case utf8.RuneCountInString(body) > maxComment:
		return invalid("IssueComment", "body", "body is too long (maximum is 65536 characters)")
	}
	return nil
}

func postComment(c *call) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	body, err := c.commentBody()
	if err != nil {
		return nil, err
	}
	return created(c.srv.commentView(r, c.srv.addComment(c.actor(), r, i, body))), nil
}

// mayEdit: the author, or anybody who may push.
func (c *call) mayEdit(r *repo, author string) error {
	if strings.EqualFold(c.login, author) {
		return nil
	}
	return c.mustHave(write, r)
}

func patchComment(c *call) (any, error) {
	r, x, err := c.comment()
	if err != nil {
		return nil, err
	}
	if err := c.mayEdit(r, x.Author); err != nil {
		return nil, err
	}
	body, err := c.commentBody()
	if err != nil {
		return nil, err
	}
	c.srv.editComment(c.actor(), r, x, body)
	return c.srv.commentView(r, x), nil
}

func deleteComment(c *call) (any, error) {
	r, x, err := c.comment()
	if err != nil {
		return nil, err
	}
	if err := c.mayEdit(r, x.Author); err != nil {
		return nil, err
	}
	c.srv.removeComment(c.actor(), r, x)
	return noContent(), nil
}

// storeComment adds a comment without telling anybody.
func (s *Server) storeComment(r *repo, i *issue, author, body string) *comment {
	now := s.clock.now()
	x := &comment{ID: s.id(), Number: i.Number, Author: author, Body: body, Created: now, Updated: now}
	i.Comments = append(i.Comments, x)
	r.Comments[x.ID] = x
	s.touch(i)
	return x
}

func (s *Server) addComment(by actor, r *repo, i *issue, body string) *comment {
	x := s.storeComment(r, i, by.login, body)
	s.appearAt(x.path(r))
	s.wrote(by, "comment.create", r, i.Number, x.ID, body)
	s.emitComment(by, "created", r, i, x, nil)
	return x
}

func (s *Server) editComment(by actor, r *repo, x *comment, body string) {
	was := x.Body
	x.Body, x.Updated, x.Editor = body, s.clock.now(), by.login
	i := r.Issues[x.Number]
	s.touch(i)
	s.wrote(by, "comment.edit", r, x.Number, x.ID, body).Noop = was == body
	s.emitComment(by, "edited", r, i, x, map[string]any{"changes": map[string]any{"body": map[string]string{"from": was}}})
}

func (s *Server) removeComment(by actor, r *repo, x *comment) {
	i := r.Issues[x.Number]
	if n := i.comment(x.ID); n >= 0 {
		i.Comments = slices.Delete(slices.Clone(i.Comments), n, n+1)
	}
	delete(r.Comments, x.ID)
	s.touch(i)
	s.wrote(by, "comment.delete", r, x.Number, x.ID, x.Body)
	s.emitComment(by, "deleted", r, i, x, nil)
}
