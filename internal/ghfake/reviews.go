// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

func reviewRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/pulls/{number}/reviews", none, listReviews},
		{"POST", "/repos/{owner}/{repo}/pulls/{number}/reviews", signedIn, postReview},
		{"GET", "/repos/{owner}/{repo}/pulls/{number}/comments", none, listReviewComments},
	}
}

type reviewView struct {
	ID          int64     `json:"id"`
	NodeID      string    `json:"node_id"`
	User        userView  `json:"user"`
	Body        string    `json:"body"`
	State       string    `json:"state"`
	HTMLURL     string    `json:"html_url"`
	CommitID    string    `json:"commit_id"`
	SubmittedAt time.Time `json:"submitted_at"`
	Association string    `json:"author_association"`
}

func (s *Server) reviewView(r *repo, i *issue, x *review) reviewView {
	return reviewView{
		x.ID, nodeID("PRR", x.ID), s.userView(x.Author), x.Body, x.State,
		i.html(r) + "#pullrequestreview-" + digits(x.ID), x.Commit, x.Submitted, s.st.association(x.Author, r),
	}
}

type reviewCommentView struct {
	ID        int64     `json:"id"`
	NodeID    string    `json:"node_id"`
	Review    int64     `json:"pull_request_review_id"`
	User      userView  `json:"user"`
	Body      string    `json:"body"`
	Path      string    `json:"path"`
	Position  int       `json:"position"`
	CommitID  string    `json:"commit_id"`
	HTMLURL   string    `json:"html_url"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

func listReviews(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	return list(c, i.Pull.Reviews, func(x *review) reviewView { return c.srv.reviewView(r, i, x) }), nil
}

type reviewInput struct {
	Body, Event string
	Commit      string `json:"commit_id"`
	Comments    []struct {
		Path, Body string
		Position   int
	}
}

func postReview(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	var in reviewInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	x, err := c.srv.addReview(c.actor(), r, i, in)
	if err != nil {
		return nil, err
	}
	return c.srv.reviewView(r, i, x), nil
}

// addReview keeps GitHub's rules: an approval needs no body, the others do, and
// nobody approves their own pull request.
func (s *Server) addReview(by actor, r *repo, i *issue, in reviewInput) (*review, error) {
	states := map[string]string{"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED", "": "PENDING"}
	state, known := states[strings.ToUpper(in.Event)]
	switch {
	case !known:
		return nil, invalid("PullRequestReview", "event", "unknown event "+in.Event)
	case strings.EqualFold(by.login, i.Author) && state != "COMMENTED" && state != "PENDING":
		return nil, fail(http.StatusUnprocessableEntity, "Can not "+strings.ToLower(strings.ReplaceAll(in.Event, "_", " "))+" your own pull request")
	case in.Body == "" && (state == "CHANGES_REQUESTED" || state == "COMMENTED" && len(in.Comments) == 0):
		return nil, invalid("PullRequestReview", "body", "body can't be blank")
	}
	x := &review{ID: s.id(), Author: by.login, Body: in.Body, State: state, Commit: cmp.Or(in.Commit, i.Pull.HeadSHA), Submitted: s.clock.now()}
	i.Pull.Reviews = append(i.Pull.Reviews, x)
	for _, rc := range in.Comments {
		i.Pull.ReviewComments = append(i.Pull.ReviewComments, &reviewComment{
			ID: s.id(), Review: x.ID, Author: by.login, Body: rc.Body, Path: rc.Path, Position: rc.Position, Commit: x.Commit,
			Created: x.Submitted, Updated: x.Submitted,
		})
	}
	i.Pull.Reviewers = slices.DeleteFunc(slices.Clone(i.Pull.Reviewers), func(l string) bool { return strings.EqualFold(l, by.login) })
	s.touch(i)
	s.wrote(by, "review.create", r, i.Number, x.ID, state+" "+in.Body)
	if state != "PENDING" {
		s.emitReview(by, "submitted", r, i, x)
	}
	return x, nil
}

func listReviewComments(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	return list(c, i.Pull.ReviewComments, func(x *reviewComment) reviewCommentView {
		return reviewCommentView{
			x.ID, nodeID("PRRC", x.ID), x.Review, c.srv.userView(x.Author), x.Body, x.Path, x.Position, x.Commit,
			i.html(r) + "#discussion_r" + digits(x.ID), x.Created, x.Updated,
		}
	}), nil
}
