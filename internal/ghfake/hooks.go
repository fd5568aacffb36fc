// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"slices"
	"strconv"
	"strings"
)

func hookRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/hooks", admin, listHooks},
		{"POST", "/repos/{owner}/{repo}/hooks", admin, postHook},
		{"PATCH", "/repos/{owner}/{repo}/hooks/{id}", admin, patchHook},
		{"DELETE", "/repos/{owner}/{repo}/hooks/{id}", admin, deleteHook},
		{"GET", "/orgs/{org}/hooks", signedIn, listHooks},
		{"POST", "/orgs/{org}/hooks", signedIn, postHook},
		{"PATCH", "/orgs/{org}/hooks/{id}", signedIn, patchHook},
		{"DELETE", "/orgs/{org}/hooks/{id}", signedIn, deleteHook},
	}
}

type hookView struct {
	ID     int64      `json:"id"`
	Name   string     `json:"name"`
	Active bool       `json:"active"`
	Events []string   `json:"events"`
	Config hookConfig `json:"config"`
}

type hookConfig struct {
	URL         string `json:"url"`
	ContentType string `json:"content_type"`
	Secret      string `json:"secret,omitempty"` // never shown: ******** as on GitHub
}

func hookShown(h *hook) hookView {
	v := hookView{h.ID, "web", h.Active, h.Events, hookConfig{h.URL, "json", ""}}
	if h.Secret != "" {
		v.Config.Secret = "********"
	}
	return v
}

// hookOwner is the organization and repository the path names; organization
// hooks need an organization admin.
func (c *call) hookOwner() (owner, name string, err error) {
	if c.req.PathValue("org") == "" {
		r, err := c.repo()
		if err != nil {
			return "", "", err
		}
		return r.Owner, r.Name, nil
	}
	o, err := c.org()
	if err != nil || o.Members[fold(c.login)].Role != "admin" {
		return "", "", errNotFound()
	}
	return o.Login, "", nil
}

func (h *hook) of(owner, name string) bool {
	return strings.EqualFold(h.Owner, owner) && strings.EqualFold(h.Repo, name)
}

func listHooks(c *call) (any, error) {
	owner, name, err := c.hookOwner()
	if err != nil {
		return nil, err
	}
	mine := slices.DeleteFunc(sorted(c.srv.st.hooks), func(h *hook) bool { return !h.of(owner, name) })
	return list(c, mine, hookShown), nil
}

type hookInput struct {
	Active *bool
	Events []string
	Config *hookConfig
}

func (h *hook) apply(in hookInput) {
	if in.Active != nil {
		h.Active = *in.Active
	}
	if in.Events != nil {
		h.Events = in.Events
	}
	if in.Config != nil && in.Config.URL != "" {
		h.URL = in.Config.URL
	}
	if in.Config != nil && in.Config.Secret != "" {
		h.Secret = in.Config.Secret
	}
}

func postHook(c *call) (any, error) {
	owner, name, err := c.hookOwner()
	if err != nil {
		return nil, err
	}
	var in hookInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Config == nil || in.Config.URL == "" {
		return nil, invalid("Hook", "config.url", "url can't be blank")
	}
	h := c.srv.addHook(hook{Owner: owner, Repo: name})
	h.apply(in)
	c.srv.wrote(c.actor(), "hook.create", nil, 0, h.ID, h.URL)
	return created(hookShown(h)), nil
}

// addHook stores a hook; events default to all of them.
func (s *Server) addHook(h hook) *hook {
	h.ID, h.Active = s.id(), true
	if len(h.Events) == 0 {
		h.Events = []string{"*"}
	}
	s.st.hooks[h.ID] = &h
	return &h
}

func (c *call) hook() (*hook, error) {
	owner, name, err := c.hookOwner()
	if err != nil {
		return nil, err
	}
	id, _ := strconv.ParseInt(c.req.PathValue("id"), 10, 64)
	if h := c.srv.st.hooks[id]; h != nil && h.of(owner, name) {
		return h, nil
	}
	return nil, errNotFound()
}

func patchHook(c *call) (any, error) {
	h, err := c.hook()
	if err != nil {
		return nil, err
	}
	var in hookInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	h.apply(in)
	c.srv.wrote(c.actor(), "hook.edit", nil, 0, h.ID, h.URL)
	return hookShown(h), nil
}

func deleteHook(c *call) (any, error) {
	h, err := c.hook()
	if err != nil {
		return nil, err
	}
	delete(c.srv.st.hooks, h.ID)
	c.srv.wrote(c.actor(), "hook.delete", nil, 0, h.ID, h.URL)
	return noContent(), nil
}

// DropHooks removes every webhook: what happens meanwhile is never delivered.
func (s *Server) DropHooks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.st.hooks)
}
