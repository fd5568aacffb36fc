// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The payloads of webhooks: GitHub's common envelope plus what each event adds.
// Shapes: https://docs.github.com/en/webhooks/webhook-events-and-payloads

// emit sends one event to every hook that wants it.
func (s *Server) emit(by actor, r *repo, event string, payload map[string]any) {
	var wanted []*hook
	for _, h := range sorted(s.st.hooks) {
		if h.Active && (h.of(r.Owner, r.Name) || h.of(r.Owner, "")) && (slices.Contains(h.Events, "*") || slices.Contains(h.Events, event)) {
			wanted = append(wanted, h)
		}
	}
	if len(wanted) == 0 {
		return
	}
	payload["repository"], payload["sender"] = s.repoView(r), s.userView(by.login)
	if o := s.st.orgs[fold(r.Owner)]; o != nil {
		payload["organization"] = s.orgView(o)
	}
	action, _ := payload["action"].(string)
	body := marshal(payload)
	for _, h := range wanted {
		s.deliver(&Delivery{HookID: h.ID, Event: event, Action: action, Repo: r.full(), payload: body})
	}
}

// emitIssue sends pull_request for pull requests and issues for the others.
func (s *Server) emitIssue(by actor, action string, r *repo, i *issue, extra map[string]any) {
	payload := map[string]any{"action": action}
	maps.Copy(payload, extra)
	if i.Pull == nil {
		payload["issue"] = s.issueView(r, i)
		s.emit(by, r, "issues", payload)
		return
	}
	payload["number"], payload["pull_request"] = i.Number, s.fullPull(r, i)
	s.emit(by, r, "pull_request", payload)
}

func (s *Server) emitComment(by actor, action string, r *repo, i *issue, x *comment, extra map[string]any) {
	payload := map[string]any{"action": action, "issue": s.issueView(r, i), "comment": s.commentView(r, x)}
	maps.Copy(payload, extra)
	s.emit(by, r, "issue_comment", payload)
}

// emitReview writes the state in lower case, which REST does not.
func (s *Server) emitReview(by actor, action string, r *repo, i *issue, x *review) {
	v := s.reviewView(r, i, x)
	v.State = strings.ToLower(v.State)
	s.emit(by, r, "pull_request_review", map[string]any{"action": action, "review": v, "pull_request": s.pullView(r, i)})
}

func (s *Server) emitStatus(by actor, r *repo, sha string, x *status) {
	s.emit(by, r, "status", map[string]any{
		"id": x.ID, "sha": sha, "name": r.full(), "context": x.Context, "state": x.State,
		"description": x.Description, "target_url": x.Target, "created_at": x.Created, "updated_at": x.Created,
		"commit": s.repoCommitView(r, sha), "branches": []any{},
	})
}

const zeroID = "0000000000000000000000000000000000000000"

// pushedCommit is a commit as push events list it.
type pushedCommit struct {
	ID       string        `json:"id"`
	Message  string        `json:"message"`
	Author   signatureView `json:"author"`
	Added    []string      `json:"added"`
	Removed  []string      `json:"removed"`
	Modified []string      `json:"modified"`
}

func (s *Server) pushedCommit(id string) pushedCommit {
	x, _ := s.odb.commit(id)
	v := pushedCommit{ID: id, Message: x.Message, Author: signatureView(x.Author), Added: []string{}, Removed: []string{}, Modified: []string{}}
	before := ""
	if len(x.Parents) > 0 {
		before = s.odb.treeOf(x.Parents[0])
	}
	var all []change
	s.odb.compare(before, x.Tree, "", &all)
	for _, c := range all {
		switch c.Status {
		case "added":
			v.Added = append(v.Added, c.Path)
		case "removed":
			v.Removed = append(v.Removed, c.Path)
		default:
			v.Modified = append(v.Modified, c.Path)
		}
	}
	return v
}

// maxPushed is how many commits a push event lists at most.
const maxPushed = 20

func (s *Server) emitPush(by actor, r *repo, ref, from, to string) {
	payload := map[string]any{
		"ref": ref, "before": orZero(from), "after": orZero(to), "created": from == "", "deleted": to == "",
		"forced":  from != "" && to != "" && !s.odb.reaches(to, from),
		"compare": fmt.Sprintf("https://github.com/%s/compare/%.12s...%.12s", r.full(), orZero(from), orZero(to)),
		"pusher":  map[string]string{"name": by.login, "email": s.signature(by.login).Email},
	}
	commits := []pushedCommit{}
	if from != "" && to != "" {
		s.odb.ancestors(to, func(id string) bool {
			if id != from {
				commits = append(commits, s.pushedCommit(id))
			}
			return id == from || len(commits) >= maxPushed
		})
	}
	slices.Reverse(commits)
	payload["commits"], payload["head_commit"] = commits, nil
	if to != "" {
		payload["head_commit"] = s.pushedCommit(s.peel(to))
	}
	s.emit(by, r, "push", payload)
}

func orZero(id string) string {
	if id == "" {
		return zeroID
	}
	return id
}
