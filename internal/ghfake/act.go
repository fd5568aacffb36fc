// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Act is something a person does on GitHub's pages or with git: the test's way
// to move the world. It is audited and emits webhooks, and its login needs no
// token and no rights.
type Act struct {
	As     string `json:"as"`
	Do     string `json:"do"` // a key of the table in docs/ghfake.md
	Repo   string `json:"repo"`
	Number int    `json:"number,omitempty"` // issue or pull request
	ID     int64  `json:"id,omitempty"`     // comment

	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`

	Labels []string `json:"labels,omitempty"`
	State  string   `json:"state,omitempty"` // review: APPROVE, REQUEST_CHANGES or COMMENT
	Base   string   `json:"base,omitempty"`
	Head   string   `json:"head,omitempty"` // open-pull: branch of the repository itself; default a fork
	Branch string   `json:"branch,omitempty"`
	Draft  bool     `json:"draft,omitempty"`
	Method string   `json:"method,omitempty"` // merge: merge, squash or rebase

	// Content of a push or a new pull request.
	Files   map[string]string `json:"files,omitempty"`
	Deletes []string          `json:"deletes,omitempty"`
	Renames map[string]string `json:"renames,omitempty"` // old to new; Files may then change the new one
	Force   bool              `json:"force,omitempty"`   // push: replace the pull request's commits by one
}

// Result is what an act made.
type Result struct {
	Number int    `json:"number,omitempty"`
	ID     int64  `json:"id,omitempty"`
	SHA    string `json:"sha,omitempty"`
}

// deed performs an act on the issue it names (nil where Number is 0).
type deed func(s *Server, by actor, r *repo, i *issue, a Act) (Result, error)

// deeds are the acts there are.
func deeds() map[string]deed {
	return map[string]deed{
		"comment":        actComment,
		"edit-comment":   actEditComment,
		"delete-comment": actDeleteComment,
		"open-issue":     actOpenIssue,
		"open-pull":      actOpenPull,
		"push":           actPush,
		"merge":          actMerge,
		"close":          actState("closed"),
		"reopen":         actState("open"),
		"edit":           actEdit,
		"label":          actLabel,
		"unlabel":        actUnlabel,
		"review":         actReview,
		"draft":          actDraft(true),
		"ready":          actDraft(false),
	}
}

// Act performs one act. Unknown logins are added as users.
func (s *Server) Act(a Act) (Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do := deeds()[a.Do]
	if do == nil {
		return Result{}, fmt.Errorf("act: unknown deed %q (known: %s)", a.Do, strings.Join(slices.Sorted(maps.Keys(deeds())), " "))
	}
	owner, name, _ := strings.Cut(a.Repo, "/")
	r := s.st.repo(owner, name)
	if r == nil {
		return Result{}, fmt.Errorf("act %s: no repository %q", a.Do, a.Repo)
	}
	i := r.Issues[a.Number]
	if i == nil && a.Number != 0 {
		return Result{}, fmt.Errorf("act %s: no issue %s#%d", a.Do, a.Repo, a.Number)
	}
	s.ensureUser(a.As)
	out, err := do(s, actor{a.As, "ACT", "/_fake/act"}, r, i, a)
	if err != nil {
		return out, fmt.Errorf("act %s as %s on %s#%d: %w", a.Do, a.As, a.Repo, a.Number, err)
	}
	return out, nil
}

// needIssue is for deeds that make no sense without one.
func needIssue(i *issue) error {
	if i == nil {
		return fail(http.StatusUnprocessableEntity, "number is missing")
	}
	return nil
}

func needPull(i *issue) error {
	if i == nil || i.Pull == nil {
		return fail(http.StatusUnprocessableEntity, "number of a pull request is missing")
	}
	return nil
}

func actComment(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := cmp.Or(needIssue(i), checkBody(a.Body)); err != nil {
		return Result{}, err
	}
	x := s.addComment(by, r, i, a.Body)
	return Result{Number: i.Number, ID: x.ID}, nil
}

// theComment is the one the act names.
func theComment(r *repo, a Act) (*comment, error) {
	if x := r.Comments[a.ID]; x != nil {
		return x, nil
	}
	return nil, fmt.Errorf("no comment %d", a.ID)
}

func actEditComment(s *Server, by actor, r *repo, _ *issue, a Act) (Result, error) {
	x, err := theComment(r, a)
	if err != nil {
		return Result{}, err
	}
	s.editComment(by, r, x, a.Body)
	return Result{Number: x.Number, ID: x.ID}, nil
}

func actDeleteComment(s *Server, by actor, r *repo, _ *issue, a Act) (Result, error) {
	x, err := theComment(r, a)
	if err != nil {
		return Result{}, err
	}
	s.removeComment(by, r, x)
	return Result{Number: x.Number, ID: x.ID}, nil
}

func actOpenIssue(s *Server, by actor, r *repo, _ *issue, a Act) (Result, error) {
	i := s.openIssue(by, r, a.Title, a.Body, a.Labels)
	return Result{Number: i.Number, ID: i.ID}, nil
}

// actOpenPull commits the content to a new branch of the author's fork, or to
// branch Head of the repository itself, and opens the pull request.
func actOpenPull(s *Server, by actor, r *repo, _ *issue, a Act) (Result, error) {
	base := cmp.Or(a.Base, r.DefaultBranch)
	if r.branch(base) == "" {
		return Result{}, fmt.Errorf("no branch %q", base)
	}
	id, err := s.commitContent(by.login, r.branch(base), cmp.Or(a.Title, "change"), content{a.Files, a.Deletes, a.Renames})
	if err != nil {
		return Result{}, err
	}
	from, ref, head := r, a.Head, a.Head
	if ref == "" {
		from, ref = s.fork(r, by.login), "patch-"+strconv.Itoa(r.Last+1)
		head = by.login + ":" + ref
	}
	s.moveRef(by, from, "refs/heads/"+ref, id)
	i, err := s.openPull(by, r, pullInput{Title: a.Title, Body: a.Body, Head: head, Base: base, Draft: a.Draft})
	if err != nil {
		return Result{}, err
	}
	s.addLabels(by, r, i, a.Labels)
	return Result{i.Number, i.ID, id}, nil
}

// actPush adds a commit to a pull request's branch or to Branch of the
// repository; Force replaces what the pull request had.
func actPush(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	to, ref, parent := r, cmp.Or(a.Branch, r.DefaultBranch), ""
	if i != nil && i.Pull != nil {
		owner, name, _ := strings.Cut(i.Pull.HeadRepo, "/")
		to, ref = s.st.repo(owner, name), i.Pull.HeadRef
		if a.Force {
			parent = r.branch(i.Pull.BaseRef)
		}
	}
	if to == nil {
		return Result{}, fmt.Errorf("the fork %s is gone", i.Pull.HeadRepo)
	}
	parent = cmp.Or(parent, to.branch(ref), r.branch(r.DefaultBranch))
	id, err := s.commitContent(by.login, parent, cmp.Or(a.Title, "update"), content{a.Files, a.Deletes, a.Renames})
	if err != nil {
		return Result{}, err
	}
	s.wrote(by, "push", to, a.Number, 0, "refs/heads/"+ref+" "+id)
	s.moveRef(by, to, "refs/heads/"+ref, id)
	return Result{Number: a.Number, SHA: id}, nil
}

func actMerge(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := needPull(i); err != nil {
		return Result{}, err
	}
	err := s.merge(by, r, i, mergeInput{Method: a.Method})
	return Result{i.Number, i.ID, i.Pull.MergeSHA}, err
}

func actState(state string) deed {
	return func(s *Server, by actor, r *repo, i *issue, _ Act) (Result, error) {
		if err := needIssue(i); err != nil {
			return Result{}, err
		}
		return Result{Number: i.Number, ID: i.ID}, s.editIssue(by, r, i, issueEdit{State: &state})
	}
}

// actEdit changes the fields that are set.
func actEdit(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := needIssue(i); err != nil {
		return Result{}, err
	}
	given := func(v string) *string {
		if v == "" {
			return nil
		}
		return &v
	}
	in := issueEdit{Title: given(a.Title), Body: given(a.Body), Base: given(a.Base)}
	return Result{Number: i.Number, ID: i.ID}, s.editIssue(by, r, i, in)
}

func actLabel(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := needIssue(i); err != nil {
		return Result{}, err
	}
	s.addLabels(by, r, i, a.Labels)
	return Result{Number: i.Number, ID: i.ID}, nil
}

func actUnlabel(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := needIssue(i); err != nil {
		return Result{}, err
	}
	for _, l := range a.Labels {
		s.removeLabel(by, r, i, l)
	}
	return Result{Number: i.Number, ID: i.ID}, nil
}

func actReview(s *Server, by actor, r *repo, i *issue, a Act) (Result, error) {
	if err := needPull(i); err != nil {
		return Result{}, err
	}
	x, err := s.addReview(by, r, i, reviewInput{Body: a.Body, Event: cmp.Or(a.State, "APPROVE")})
	if err != nil {
		return Result{}, err
	}
	return Result{Number: i.Number, ID: x.ID}, nil
}

func actDraft(draft bool) deed {
	action := map[bool]string{true: "converted_to_draft", false: "ready_for_review"}[draft]
	return func(s *Server, by actor, r *repo, i *issue, _ Act) (Result, error) {
		if err := needPull(i); err != nil {
			return Result{}, err
		}
		i.Pull.Draft = draft
		s.touch(i)
		s.wrote(by, "pull.edit", r, i.Number, i.ID, action)
		s.emitIssue(by, action, r, i, nil)
		return Result{Number: i.Number, ID: i.ID}, nil
	}
}

// content is what a commit changes.
type content struct {
	files   map[string]string
	deletes []string
	renames map[string]string
}

// commitContent commits content on top of a parent ("" for a first commit).
func (s *Server) commitContent(login, parent, message string, in content) (string, error) {
	tree := ""
	x := commit{Message: message, Author: s.signature(login), Committer: s.signature(login)}
	if parent != "" {
		tree, x.Parents = s.odb.treeOf(parent), []string{parent}
	}
	edits, err := s.odb.edits(tree, in)
	if err != nil {
		return "", err
	}
	x.Tree = s.odb.edit(tree, edits)
	return s.odb.putCommit(x), nil
}

// edits turns content into tree edits; deletes and renames must name what exists.
func (o *objects) edits(tree string, in content) (map[string]entry, error) {
	edits := map[string]entry{}
	for _, path := range in.deletes {
		if _, ok := o.find(tree, path); !ok {
			return nil, fmt.Errorf("delete %s: no such file", path)
		}
		edits[path] = entry{}
	}
	for from, to := range in.renames {
		e, ok := o.find(tree, from)
		if !ok {
			return nil, fmt.Errorf("rename %s: no such file", from)
		}
		edits[from], edits[to] = entry{}, e
	}
	for path, text := range in.files {
		edits[path] = entry{Mode: "100644", ID: o.put("blob", []byte(text))}
	}
	return edits, nil
}
