// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func issueRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/issues", none, listIssues},
		{"POST", "/repos/{owner}/{repo}/issues", signedIn, postIssue},
		{"GET", "/repos/{owner}/{repo}/issues/{number}", none, getIssue},
		{"PATCH", "/repos/{owner}/{repo}/issues/{number}", signedIn, patchIssue},
		{"GET", "/repos/{owner}/{repo}/issues/{number}/events", none, listIssueEvents},
		{"POST", "/repos/{owner}/{repo}/issues/{number}/assignees", triage, addAssignees},
		{"DELETE", "/repos/{owner}/{repo}/issues/{number}/assignees", triage, removeAssignees},
	}
}

type issueView struct {
	ID            int64       `json:"id"`
	NodeID        string      `json:"node_id"`
	Number        int         `json:"number"`
	Title         string      `json:"title"`
	Body          string      `json:"body"`
	State         string      `json:"state"`
	StateReason   *string     `json:"state_reason"`
	Locked        bool        `json:"locked"`
	User          userView    `json:"user"`
	Labels        []labelView `json:"labels"`
	Assignees     []userView  `json:"assignees"`
	Comments      int         `json:"comments"`
	URL           string      `json:"url"`
	HTMLURL       string      `json:"html_url"`
	RepositoryURL string      `json:"repository_url"`
	Association   string      `json:"author_association"`
	CreatedAt     time.Time   `json:"created_at"`
	UpdatedAt     time.Time   `json:"updated_at"`
	ClosedAt      *time.Time  `json:"closed_at"`
	PullRequest   *pullLink   `json:"pull_request,omitempty"`
	Draft         *bool       `json:"draft,omitempty"`
}

// pullLink marks an issue that is a pull request.
type pullLink struct {
	URL      string     `json:"url"`
	HTMLURL  string     `json:"html_url"`
	MergedAt *time.Time `json:"merged_at"`
}

// moment is nil for the zero time, as JSON wants it.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (i *issue) html(r *repo) string {
	kind := "issues"
	if i.Pull != nil {
		kind = "pull"
	}
	return "https://github.com/" + r.full() + "/" + kind + "/" + strconv.Itoa(i.Number)
}

func (s *Server) issueView(r *repo, i *issue) issueView {
	api := "https://api.github.com/repos/" + r.full()
	v := issueView{
		ID: i.ID, NodeID: nodeID("I", i.ID), Number: i.Number, Title: i.Title, Body: i.Body, State: i.State, Locked: i.Locked,
		User: s.userView(i.Author), Labels: each(i.Labels, labelShown), Assignees: each(i.Assignees, s.userView),
		Comments: len(i.Comments), URL: api + "/issues/" + strconv.Itoa(i.Number), HTMLURL: i.html(r), RepositoryURL: api,
		Association: s.st.association(i.Author, r), CreatedAt: i.Created, UpdatedAt: i.Updated, ClosedAt: moment(i.Closed),
	}
	if i.Reason != "" {
		v.StateReason = &i.Reason
	}
	if i.Pull != nil {
		v.PullRequest = &pullLink{api + "/pulls/" + strconv.Itoa(i.Number), v.HTMLURL, moment(i.Pull.MergedAt)}
		v.Draft = &i.Pull.Draft
	}
	return v
}

// issue is the issue or pull request the path names.
func (c *call) issue() (*repo, *issue, error) {
	r, err := c.repo()
	if err != nil {
		return nil, nil, err
	}
	n, _ := strconv.Atoi(c.req.PathValue("number"))
	i := r.Issues[n]
	if i == nil {
		return nil, nil, errNotFound()
	}
	return r, i, nil
}

func getIssue(c *call) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	return c.srv.issueView(r, i), nil
}

func listIssues(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	keep, err := c.issueFilter()
	if err != nil {
		return nil, err
	}
	var found []*issue
	for _, i := range r.Issues {
		if keep(i) {
			found = append(found, i)
		}
	}
	sortIssues(found, c.query("sort"), c.query("direction"))
	return list(c, found, func(i *issue) issueView { return c.srv.issueView(r, i) }), nil
}

// issueFilter reads state, since, labels, creator and assignee.
func (c *call) issueFilter() (func(*issue) bool, error) {
	state, creator, assignee := cmp.Or(c.query("state"), "open"), c.query("creator"), c.query("assignee")
	since, err := c.since()
	if err != nil {
		return nil, err
	}
	var labels []string
	if q := c.query("labels"); q != "" {
		labels = strings.Split(q, ",")
	}
	return func(i *issue) bool {
		return (state == "all" || state == i.State) && !i.Updated.Before(since) &&
			(creator == "" || strings.EqualFold(creator, i.Author)) &&
			(assignee == "" || assignee == "*" && len(i.Assignees) > 0 || i.assigned(assignee) >= 0) &&
			!slices.ContainsFunc(labels, func(l string) bool { return i.label(strings.TrimSpace(l)) < 0 })
	}, nil
}

// since is inclusive, as on GitHub.
func (c *call) since() (time.Time, error) {
	q := c.query("since")
	if q == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, q)
	if err != nil {
		return t, fail(http.StatusUnprocessableEntity, "since: "+err.Error())
	}
	return t, nil
}

// sortIssues sorts by created (the default), updated or comments, newest first
// by default; equal ones by number.
func sortIssues(issues []*issue, by, direction string) {
	key := func(i *issue) int64 {
		switch by {
		case "updated":
			return i.Updated.Unix()
		case "comments":
			return int64(len(i.Comments))
		}
		return i.Created.Unix()
	}
	slices.SortFunc(issues, func(a, b *issue) int {
		n := cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a.Number, b.Number))
		if direction == "asc" {
			return n
		}
		return -n
	})
}

func (i *issue) assigned(login string) int {
	return slices.IndexFunc(i.Assignees, func(a string) bool { return strings.EqualFold(a, login) })
}

// newIssue gives the next number, or the one asked for.
func (s *Server) newIssue(r *repo, number int, author, title, body string) *issue {
	if number == 0 {
		number = r.Last + 1
	}
	r.Last = max(r.Last, number)
	now := s.clock.now()
	i := &issue{ID: s.id(), Number: number, Title: title, Body: body, State: "open", Author: author, Created: now, Updated: now}
	r.Issues[number] = i
	s.appear(r, i)
	return i
}

func postIssue(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in struct {
		Title, Body       string
		Labels, Assignees []string
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if strings.TrimSpace(in.Title) == "" {
		return nil, invalid("Issue", "title", "title can't be blank")
	}
	i := c.srv.openIssue(c.actor(), r, in.Title, in.Body, in.Labels)
	i.Assignees = in.Assignees
	return created(c.srv.issueView(r, i)), nil
}

func (s *Server) openIssue(by actor, r *repo, title, body string, labels []string) *issue {
	i := s.newIssue(r, 0, by.login, title, body)
	for _, l := range labels {
		i.Labels = append(i.Labels, s.ensureLabel(r, l))
	}
	s.wrote(by, "issue.create", r, i.Number, i.ID, title+"\n\n"+body)
	s.emitIssue(by, "opened", r, i, nil)
	return i
}

// issueEdit is a PATCH; nil fields stay as they are.
type issueEdit struct {
	Title, Body, State *string
	Reason             *string   `json:"state_reason"`
	Base               *string   // pull requests only
	Labels             *[]string // issues route only
	Assignees          *[]string
}

func patchIssue(c *call) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	if err := c.patch(r, i); err != nil {
		return nil, err
	}
	return c.srv.issueView(r, i), nil
}

// patch is shared by issues and pull requests: authors may edit their own,
// others need triage.
func (c *call) patch(r *repo, i *issue) error {
	if !strings.EqualFold(c.login, i.Author) {
		if err := c.mustHave(triage, r); err != nil {
			return err
		}
	}
	var in issueEdit
	if err := c.decode(&in); err != nil {
		return err
	}
	return c.srv.editIssue(c.actor(), r, i, in)
}

// editIssue applies an edit and emits one event per kind of change.
func (s *Server) editIssue(by actor, r *repo, i *issue, in issueEdit) error {
	if in.Base != nil && i.Pull != nil && r.branch(*in.Base) == "" {
		return invalid("PullRequest", "base", "no branch "+*in.Base)
	}
	if in.State != nil && *in.State == "open" && i.Pull != nil && i.Pull.Merged {
		return invalid("PullRequest", "state", "state cannot be changed. The pull request has been merged.")
	}
	s.editText(by, r, i, in)
	if in.Labels != nil {
		s.setLabels(by, r, i, *in.Labels)
	}
	if in.Assignees != nil {
		i.Assignees = *in.Assignees
		s.touch(i)
	}
	if in.State != nil && *in.State != i.State {
		s.setState(by, r, i, *in.State, in.Reason)
	}
	return nil
}

// editText changes title, body and base; changes holds the former values.
func (s *Server) editText(by actor, r *repo, i *issue, in issueEdit) {
	changes := map[string]any{}
	change := func(name string, at, to *string) {
		if to != nil && *at != *to {
			changes[name] = map[string]string{"from": *at}
			*at = *to
		}
	}
	change("title", &i.Title, in.Title)
	change("body", &i.Body, in.Body)
	if i.Pull != nil && in.Base != nil && i.Pull.BaseRef != *in.Base {
		changes["base"] = map[string]any{"ref": map[string]string{"from": i.Pull.BaseRef}, "sha": map[string]string{"from": i.Pull.BaseSHA}}
		i.Pull.BaseRef, i.Pull.BaseSHA = *in.Base, r.branch(*in.Base)
	}
	kind := "issue.edit"
	if i.Pull != nil {
		kind = "pull.edit"
	}
	if in.Title == nil && in.Body == nil && in.Base == nil {
		return
	}
	s.wrote(by, kind, r, i.Number, i.ID, i.Title+"\n\n"+i.Body).Noop = len(changes) == 0
	if len(changes) == 0 {
		return
	}
	i.Edited, i.Editor = s.clock.now(), by.login
	s.touch(i)
	s.emitIssue(by, "edited", r, i, map[string]any{"changes": changes})
}

// touch bumps updated_at, as comments, labels and edits do on GitHub and
// statuses do not.
func (s *Server) touch(i *issue) { i.Updated = s.clock.now() }

func (s *Server) setState(by actor, r *repo, i *issue, state string, reason *string) {
	i.State, i.Closed, i.Reason = state, time.Time{}, ""
	action, verb, why := "reopened", "reopen", "reopened"
	if state == "closed" {
		action, verb, why = "closed", "close", "completed"
		i.Closed = s.clock.now()
	}
	noun := "pull."
	if i.Pull == nil {
		i.Reason, noun = why, "issue."
	}
	if reason != nil {
		i.Reason = *reason
	}
	s.touch(i)
	s.event(by, i, action, nil)
	s.wrote(by, noun+verb, r, i.Number, i.ID, state)
	s.emitIssue(by, action, r, i, nil)
}

func (s *Server) event(by actor, i *issue, kind string, l *label) {
	i.Events = append(i.Events, &issueEvent{ID: s.id(), Kind: kind, Actor: by.login, Label: l, Created: s.clock.now()})
}

func listIssueEvents(c *call) (any, error) {
	_, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	return list(c, i.Events, func(e *issueEvent) map[string]any {
		v := map[string]any{"id": e.ID, "event": e.Kind, "actor": c.srv.userView(e.Actor), "created_at": e.Created}
		if e.Label != nil {
			v["label"] = labelShown(e.Label)
		}
		return v
	}), nil
}

func addAssignees(c *call) (any, error) {
	return c.assign(http.StatusCreated, func(i *issue, login string) {
		if i.assigned(login) < 0 {
			i.Assignees = append(i.Assignees, login)
		}
	})
}

func removeAssignees(c *call) (any, error) {
	return c.assign(http.StatusOK, func(i *issue, login string) {
		if n := i.assigned(login); n >= 0 {
			i.Assignees = slices.Delete(i.Assignees, n, n+1)
		}
	})
}

// assign changes assignees; like GitHub it passes over logins without access.
func (c *call) assign(code int, change func(*issue, string)) (any, error) {
	r, i, err := c.issue()
	if err != nil {
		return nil, err
	}
	var in struct{ Assignees []string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	for _, login := range in.Assignees {
		if u := c.srv.st.user(login); u != nil && c.srv.st.collaborator(login, r) {
			change(i, u.Login)
		}
	}
	c.srv.touch(i)
	c.srv.wrote(c.actor(), "issue.assign", r, i.Number, i.ID, strings.Join(i.Assignees, ","))
	return reply{code: code, body: c.srv.issueView(r, i)}, nil
}
