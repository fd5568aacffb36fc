// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// mergeEdits is what merging a pull request changes in its base, file by file: a
// path that both sides changed differently is a conflict, even if the lines are
// apart. That is stricter than git, which a fake may be.
func (s *Server) mergeEdits(r *repo, i *issue) (edits map[string]entry, ok bool) {
	base := r.branch(i.Pull.BaseRef)
	if base == "" {
		return nil, false
	}
	fork := s.odb.treeOf(s.odb.mergeBase(base, i.Pull.HeadSHA))
	ours, theirs := s.odb.treeOf(base), s.odb.treeOf(i.Pull.HeadSHA)
	var mine, other []change
	s.odb.compare(fork, ours, "", &mine)
	s.odb.compare(fork, theirs, "", &other)
	touched := map[string]change{}
	for _, x := range mine {
		touched[x.Path] = x
	}
	edits = map[string]entry{}
	for _, x := range other {
		if m, both := touched[x.Path]; both && m != x {
			return nil, false
		}
		edits[x.Path] = s.odb.entryAt(theirs, x.Path)
	}
	return edits, true
}

// entryAt is the entry of a path, or one without id if there is none.
func (o *objects) entryAt(tree, path string) entry {
	e, _ := o.find(tree, path)
	return e
}

func isMerged(c *call) (any, error) {
	_, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	if !i.Pull.Merged {
		return nil, errNotFound()
	}
	return noContent(), nil
}

type mergeInput struct {
	SHA     string
	Method  string `json:"merge_method"`
	Title   string `json:"commit_title"`
	Message string `json:"commit_message"`
}

func putMerge(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	var in mergeInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := c.srv.merge(c.actor(), r, i, in); err != nil {
		return nil, err
	}
	return map[string]any{"sha": i.Pull.MergeSHA, "merged": true, "message": "Pull Request successfully merged"}, nil
}

// merge merges by a merge commit (the default), a squash, or for rebase the
// same single commit as a squash.
func (s *Server) merge(by actor, r *repo, i *issue, in mergeInput) error {
	p := i.Pull
	if in.SHA != "" && in.SHA != p.HeadSHA {
		return fail(http.StatusConflict, "Head branch was modified. Review and try the merge again.")
	}
	edits, ok := s.mergeEdits(r, i)
	if i.State != "open" || p.Draft || !ok {
		return fail(http.StatusMethodNotAllowed, "Pull Request is not mergeable")
	}
	base := r.branch(p.BaseRef)
	x := commit{Tree: s.odb.edit(s.odb.treeOf(base), edits), Parents: []string{base}, Author: s.signature(by.login), Committer: s.signature("web-flow")}
	title := fmt.Sprintf("%s (#%d)", i.Title, i.Number)
	if cmp.Or(in.Method, "merge") == "merge" {
		x.Parents = append(x.Parents, p.HeadSHA)
		title = fmt.Sprintf("Merge pull request #%d from %s\n\n%s", i.Number, strings.Replace(p.HeadRepo, "/"+r.Name, "/", 1)+p.HeadRef, i.Title)
	}
	x.Message = strings.TrimSpace(cmp.Or(in.Title, title) + "\n\n" + in.Message)
	p.BaseSHA, p.MergeSHA = base, s.odb.putCommit(x)
	p.Merged, p.MergedBy, p.MergedAt = true, by.login, s.clock.now()
	r.Contributors[fold(i.Author)] = true
	s.wrote(by, "pull.merge", r, i.Number, i.ID, p.MergeSHA)
	s.moveRef(by, r, "refs/heads/"+p.BaseRef, p.MergeSHA)
	i.State, i.Closed = "closed", p.MergedAt
	s.touch(i)
	s.event(by, i, "merged", nil)
	s.event(by, i, "closed", nil)
	s.emitIssue(by, "closed", r, i, nil)
	return nil
}

// signature is how a login signs commits.
func (s *Server) signature(login string) signature {
	sig := signature{Name: login, Email: login + "@users.noreply.github.com", Date: s.clock.now()}
	if u := s.st.user(login); u != nil {
		sig.Name, sig.Email = cmp.Or(u.Name, login), cmp.Or(u.Email, sig.Email)
	}
	return sig
}

// moveRef points a ref at an object ("" deletes it), tells the hooks, and gives
// open pull requests from that branch their new head, or closes them. It is the only way in
// which branches move once the world runs.
func (s *Server) moveRef(by actor, r *repo, ref, to string) {
	from := r.Refs[ref]
	if from == to {
		return
	}
	r.Refs[ref] = to
	if to == "" {
		delete(r.Refs, ref)
	}
	r.Pushed = s.clock.now()
	r.stale = true
	s.emitPush(by, r, ref, from, to)
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok {
		return
	}
	for _, base := range sorted(s.st.repos) {
		for _, i := range base.openFrom(r, branch) {
			if to == "" {
				s.setState(by, base, i, "closed", nil)
				continue
			}
			s.synchronize(by, base, i, to)
		}
	}
}

// openFrom lists the open pull requests into r whose head is a branch of from.
func (r *repo) openFrom(from *repo, branch string) []*issue {
	found := map[int]*issue{}
	for n, i := range r.Issues {
		if i.Pull != nil && i.State == "open" && i.Pull.HeadRef == branch && strings.EqualFold(i.Pull.HeadRepo, from.full()) {
			found[n] = i
		}
	}
	return sorted(found)
}

// synchronize gives a pull request a new head.
func (s *Server) synchronize(by actor, r *repo, i *issue, head string) {
	before := i.Pull.HeadSHA
	i.Pull.HeadSHA, i.Pull.BaseSHA = head, r.branch(i.Pull.BaseRef)
	r.Refs[fmt.Sprintf("refs/pull/%d/head", i.Number)], r.stale = head, true
	s.touch(i)
	s.emitIssue(by, "synchronize", r, i, map[string]any{"before": before, "after": head})
}
