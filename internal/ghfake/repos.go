// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func repoRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}", none, getRepo},
		{"GET", "/repos/{owner}/{repo}/branches", none, listBranches},
		{"GET", "/repos/{owner}/{repo}/branches/{branch}", none, getBranch},
		{"GET", "/repos/{owner}/{repo}/branches/{branch}/protection", write, getProtection},
		{"PUT", "/repos/{owner}/{repo}/branches/{branch}/protection", admin, putProtection},
		{"DELETE", "/repos/{owner}/{repo}/branches/{branch}/protection", admin, deleteProtection},
		{"POST", "/repos/{owner}/{repo}/forks", signedIn, createFork},
	}
}

// permissions are the flags GitHub shows: every lower level is set too.
type permissions struct {
	Pull     bool `json:"pull"`
	Triage   bool `json:"triage"`
	Push     bool `json:"push"`
	Maintain bool `json:"maintain"`
	Admin    bool `json:"admin"`
}

func flags(l level) *permissions {
	return &permissions{l >= read, l >= triage, l >= write, l >= maintain, l >= admin}
}

type repoView struct {
	ID            int64        `json:"id"`
	NodeID        string       `json:"node_id"`
	Name          string       `json:"name"`
	FullName      string       `json:"full_name"`
	Owner         userView     `json:"owner"`
	Private       bool         `json:"private"`
	Fork          bool         `json:"fork"`
	Archived      bool         `json:"archived"`
	HTMLURL       string       `json:"html_url"`
	CloneURL      string       `json:"clone_url"`
	URL           string       `json:"url"`
	Description   string       `json:"description"`
	DefaultBranch string       `json:"default_branch"`
	HasIssues     bool         `json:"has_issues"`
	CreatedAt     time.Time    `json:"created_at"`
	PushedAt      time.Time    `json:"pushed_at"`
	Permissions   *permissions `json:"permissions,omitempty"`
	Parent        *repoView    `json:"parent,omitempty"`
}

func (s *Server) repoView(r *repo) repoView {
	return repoView{
		ID: r.ID, NodeID: nodeID("R", r.ID), Name: r.Name, FullName: r.full(), Owner: s.userView(r.Owner),
		Private: r.Private, Fork: r.Fork, HTMLURL: "https://github.com/" + r.full(),
		CloneURL: "http://" + s.host + "/" + r.full() + ".git", URL: "https://api.github.com/repos/" + r.full(),
		Description: r.Description, DefaultBranch: r.DefaultBranch, HasIssues: !r.Fork,
		CreatedAt: r.Created, PushedAt: r.Pushed,
	}
}

func digits(n int64) string { return strconv.FormatInt(n, 10) }

// nodeID looks like GitHub's: a kind and something opaque.
func nodeID(kind string, id int64) string {
	return kind + "_" + base64.RawURLEncoding.EncodeToString([]byte(kind+digits(id)))
}

// repo is the repository the path names; private ones hide from outsiders.
func (c *call) repo() (*repo, error) {
	r := c.srv.st.repo(c.req.PathValue("owner"), c.req.PathValue("repo"))
	if r == nil || c.srv.st.levelOf(c.login, r) == none {
		return nil, errNotFound()
	}
	return r, nil
}

// reposOf lists an owner's repositories that the caller may see.
func (c *call) reposOf(owner string) []repoView {
	var out []*repo
	for _, r := range sorted(c.srv.st.repos) {
		if strings.EqualFold(r.Owner, owner) && c.srv.st.levelOf(c.login, r) > none {
			out = append(out, r)
		}
	}
	return list(c, out, c.shown)
}

// shown adds what the caller may do.
func (c *call) shown(r *repo) repoView {
	v := c.srv.repoView(r)
	if c.login != "" {
		v.Permissions = flags(c.srv.st.levelOf(c.login, r))
	}
	return v
}

func getRepo(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	v := c.shown(r)
	if owner, name, ok := strings.Cut(r.Parent, "/"); ok {
		if p := c.srv.st.repo(owner, name); p != nil {
			parent := c.srv.repoView(p)
			v.Parent = &parent
		}
	}
	return v, nil
}

type branchView struct {
	Name      string     `json:"name"`
	Commit    commitLink `json:"commit"`
	Protected bool       `json:"protected"`
}

type commitLink struct {
	SHA string `json:"sha"`
	URL string `json:"url"`
}

func (r *repo) branchView(name string) branchView {
	sha := r.branch(name)
	link := commitLink{sha, "https://api.github.com/repos/" + r.full() + "/commits/" + sha}
	return branchView{name, link, r.Protection[name] != nil}
}

// heads lists branch names in order.
func (r *repo) heads() []string {
	var names []string
	for ref := range r.Refs {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func listBranches(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	names := r.heads()
	if only := c.query("protected"); only != "" {
		names = slices.DeleteFunc(names, func(n string) bool { return (r.Protection[n] != nil) != (only == "true") })
	}
	return list(c, names, r.branchView), nil
}

// namedBranch is the branch the path names.
func (c *call) namedBranch() (*repo, string, error) {
	r, err := c.repo()
	if err != nil {
		return nil, "", err
	}
	name := c.req.PathValue("branch")
	if r.branch(name) == "" {
		return nil, "", fail(http.StatusNotFound, "Branch not found")
	}
	return r, name, nil
}

func getBranch(c *call) (any, error) {
	r, name, err := c.namedBranch()
	if err != nil {
		return nil, err
	}
	return r.branchView(name), nil
}

func getProtection(c *call) (any, error) {
	r, name, err := c.namedBranch()
	if err != nil {
		return nil, err
	}
	if r.Protection[name] == nil {
		return nil, fail(http.StatusNotFound, "Branch not protected")
	}
	return r.Protection[name], nil
}

func putProtection(c *call) (any, error) {
	r, name, err := c.namedBranch()
	if err != nil {
		return nil, err
	}
	if !json.Valid(c.body) {
		return nil, fail(http.StatusBadRequest, "Problems parsing JSON")
	}
	r.Protection[name] = c.body
	c.srv.wrote(c.actor(), "protection.edit", r, 0, 0, string(c.body))
	return r.Protection[name], nil
}

func deleteProtection(c *call) (any, error) {
	r, name, err := c.namedBranch()
	if err != nil {
		return nil, err
	}
	delete(r.Protection, name)
	c.srv.wrote(c.actor(), "protection.delete", r, 0, 0, name)
	return noContent(), nil
}

func createFork(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	f := c.srv.fork(r, c.login)
	c.srv.wrote(c.actor(), "repo.fork", f, 0, f.ID, r.full())
	return reply{code: http.StatusAccepted, body: c.srv.repoView(f)}, nil
}

// newRepo adds an empty repository.
func (s *Server) newRepo(owner, name string) *repo {
	now := s.clock.now()
	r := &repo{
		ID: s.id(), Owner: owner, Name: name, DefaultBranch: "main",
		Collaborators: map[string]grant{}, Refs: map[string]string{}, Issues: map[int]*issue{},
		Statuses: map[string][]*status{}, Comments: map[int64]*comment{}, Protection: map[string]json.RawMessage{},
		Contributors: map[string]bool{}, Created: now, Pushed: now, stale: true,
	}
	s.st.repos[fold(r.full())] = r
	return r
}

// fork returns login's fork of r, made on first use with the branches of r.
func (s *Server) fork(r *repo, login string) *repo {
	if f := s.st.repo(login, r.Name); f != nil {
		return f
	}
	f := s.newRepo(login, r.Name)
	f.Fork, f.Parent, f.DefaultBranch = true, r.full(), r.DefaultBranch
	for ref, id := range r.Refs {
		if strings.HasPrefix(ref, "refs/heads/") {
			f.Refs[ref] = id
		}
	}
	return f
}

// resolve finds the commit of a branch, tag, full or short ref name or id; the
// empty name and HEAD are the default branch.
func (s *Server) resolve(r *repo, name string) (string, bool) {
	if name == "" || name == "HEAD" {
		name = r.DefaultBranch
	}
	for _, pattern := range []string{"%s", "refs/%s", "refs/heads/%s", "refs/tags/%s"} {
		if id := r.Refs[fmt.Sprintf(pattern, name)]; id != "" {
			return s.peel(id), true
		}
	}
	if _, ok := s.odb.byID[name]; ok {
		return s.peel(name), true
	}
	return "", false
}

// peel follows annotated tags.
func (s *Server) peel(id string) string {
	for range 5 {
		data, ok := s.odb.get("tag", id)
		if !ok || len(data) < len("object ")+40 {
			return id
		}
		id = string(data[len("object "):][:40])
	}
	return id
}
