// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

func statusRoutes() []route {
	return []route{
		{"POST", "/repos/{owner}/{repo}/statuses/{sha}", write, postStatus},
		{"GET", "/repos/{owner}/{repo}/statuses/{ref}", none, listStatuses},
		{"GET", "/repos/{owner}/{repo}/commits/{ref}/statuses", none, listStatuses},
		{"GET", "/repos/{owner}/{repo}/commits/{ref}/status", none, combinedStatus},
	}
}

type statusView struct {
	ID          int64     `json:"id"`
	NodeID      string    `json:"node_id"`
	URL         string    `json:"url"`
	State       string    `json:"state"`
	TargetURL   string    `json:"target_url"`
	Description string    `json:"description"`
	Context     string    `json:"context"`
	Creator     *userView `json:"creator,omitempty"` // not in the combined status
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func (s *Server) statusView(r *repo, sha string, x *status) statusView {
	return statusView{
		ID: x.ID, NodeID: nodeID("SC", x.ID), URL: "https://api.github.com/repos/" + r.full() + "/statuses/" + sha,
		State: x.State, TargetURL: x.Target, Description: x.Description, Context: x.Context,
		CreatedAt: x.Created, UpdatedAt: x.Created,
	}
}

// maxStatuses is GitHub's limit per commit and context.
const maxStatuses = 1000

type statusInput struct {
	State, Description, Context string
	Target                      string `json:"target_url"`
}

func (in statusInput) check(had []*status) error {
	switch {
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, in.State):
		return invalid("Status", "state", "state is not included in the list")
	case strings.ContainsFunc(in.Description, func(r rune) bool { return r > 0xFFFF }):
		return invalid("Status", "description", "description doesn't accept 4-byte Unicode")
	case utf8.RuneCountInString(in.Description) > 140:
		return invalid("Status", "description", "description is too long (maximum is 140 characters)")
	}
	same := 0
	for _, x := range had {
		if x.Context == in.Context {
			same++
		}
	}
	if same >= maxStatuses {
		return invalid("Status", "sha", "This SHA and context has reached the maximum number of statuses.")
	}
	return nil
}

func postStatus(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	sha := c.req.PathValue("sha")
	if _, ok := c.srv.odb.get("commit", sha); !ok {
		return nil, fail(422, "No commit found for SHA: "+sha)
	}
	var in statusInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	in.Context = cmp.Or(in.Context, "default")
	if err := in.check(r.Statuses[sha]); err != nil {
		return nil, err
	}
	x := c.srv.addStatus(c.actor(), r, sha, in)
	v := c.srv.statusView(r, sha, x)
	creator := c.srv.userView(x.Creator)
	v.Creator = &creator
	return created(v), nil
}

func (s *Server) addStatus(by actor, r *repo, sha string, in statusInput) *status {
	x := &status{ID: s.id(), State: in.State, Target: in.Target, Description: in.Description, Context: in.Context, Creator: by.login, Created: s.clock.now()}
	had := latest(r.Statuses[sha])
	noop := slices.ContainsFunc(had, func(h *status) bool {
		return h.Context == x.Context && h.State == x.State && h.Description == x.Description && h.Target == x.Target
	})
	r.Statuses[sha] = append(r.Statuses[sha], x)
	body := string(marshal(map[string]string{"sha": sha, "context": x.Context, "state": x.State, "description": x.Description, "target_url": x.Target}))
	s.wrote(by, "status.create", r, s.pullAt(r, sha), x.ID, body).Noop = noop
	s.emitStatus(by, r, sha, x)
	return x
}

// pullAt is the number of an open pull request with that head, for the audit log.
func (s *Server) pullAt(r *repo, sha string) int {
	found := 0
	for n, i := range r.Issues {
		if i.Pull != nil && i.Pull.HeadSHA == sha && (found == 0 || i.State == "open") {
			found = n
		}
	}
	return found
}

// shaOf resolves the {ref} of the path.
func (c *call) shaOf() (*repo, string, error) {
	r, err := c.repo()
	if err != nil {
		return nil, "", err
	}
	sha, ok := c.srv.resolve(r, c.req.PathValue("ref"))
	if !ok {
		return nil, "", fail(422, "No commit found for SHA: "+c.req.PathValue("ref"))
	}
	return r, sha, nil
}

func listStatuses(c *call) (any, error) {
	r, sha, err := c.shaOf()
	if err != nil {
		return nil, err
	}
	all := slices.Clone(r.Statuses[sha])
	slices.Reverse(all)
	return list(c, all, func(x *status) statusView { return c.srv.statusView(r, sha, x) }), nil
}

// latest is the newest status of each context, oldest context first.
func latest(all []*status) []*status {
	var out []*status
	for _, x := range all {
		n := slices.IndexFunc(out, func(o *status) bool { return o.Context == x.Context })
		if n < 0 {
			out = append(out, x)
			continue
		}
		out[n] = x
	}
	return out
}

// rollup is GitHub's combined state: failure beats pending beats success, and
// no statuses at all are pending.
func rollup(all []*status) string {
	state := "success"
	for _, x := range all {
		switch {
		case x.State == "error" || x.State == "failure":
			return "failure"
		case x.State == "pending":
			state = "pending"
		}
	}
	if len(all) == 0 {
		return "pending"
	}
	return state
}

type combinedView struct {
	State      string       `json:"state"`
	SHA        string       `json:"sha"`
	Total      int          `json:"total_count"`
	Statuses   []statusView `json:"statuses"`
	Repository repoView     `json:"repository"`
	URL        string       `json:"url"`
}

func combinedStatus(c *call) (any, error) {
	r, sha, err := c.shaOf()
	if err != nil {
		return nil, err
	}
	all := latest(r.Statuses[sha])
	return combinedView{
		State: rollup(all), SHA: sha, Total: len(all), Repository: c.srv.repoView(r),
		Statuses: list(c, all, func(x *status) statusView { return c.srv.statusView(r, sha, x) }),
		URL:      "https://api.github.com/repos/" + r.full() + "/commits/" + sha + "/status",
	}, nil
}
