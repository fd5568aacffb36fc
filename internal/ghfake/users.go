// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"net/http"
	"strings"
)

func userRoutes() []route {
	return []route{
		{"GET", "/user", signedIn, getAuthenticated},
		{"GET", "/users/{login}", none, getUser},
		{"GET", "/users/{login}/repos", none, listUserRepos},
		{"GET", "/rate_limit", none, getRateLimit},
	}
}

// userView is GitHub's simple user. The fake fills name and email only where
// GitHub does, in the full user.
type userView struct {
	Login       string       `json:"login"`
	ID          int64        `json:"id"`
	NodeID      string       `json:"node_id"`
	AvatarURL   string       `json:"avatar_url"`
	URL         string       `json:"url"`
	HTMLURL     string       `json:"html_url"`
	Type        string       `json:"type"`
	SiteAdmin   bool         `json:"site_admin"`
	Name        string       `json:"name,omitempty"`
	Email       string       `json:"email,omitempty"`
	Permissions *permissions `json:"permissions,omitempty"`
	RoleName    string       `json:"role_name,omitempty"`
}

// ghost stands for deleted accounts: REST shows the user of that name, GraphQL
// shows null.
const ghost = "ghost"

// userView shows a login; logins without an account (the deleted) are the ghost.
func (s *Server) userView(login string) userView {
	u := s.st.user(login)
	if u == nil {
		if o := s.st.orgs[fold(login)]; o != nil {
			u = &user{ID: o.ID, Login: o.Login, Kind: "Organization"}
		} else {
			u = &user{ID: 10137, Login: ghost, Kind: "User"}
		}
	}
	page := "https://github.com/" + u.Login
	if base, ok := strings.CutSuffix(u.Login, "[bot]"); ok {
		page = "https://github.com/apps/" + base
	}
	return userView{
		Login: u.Login, ID: u.ID, NodeID: nodeID("U", u.ID), Type: u.Kind,
		AvatarURL: "https://avatars.githubusercontent.com/u/" + digits(u.ID) + "?v=4",
		URL:       "https://api.github.com/users/" + u.Login, HTMLURL: page,
	}
}

func (s *Server) fullUser(u *user) userView {
	v := s.userView(u.Login)
	v.Name, v.Email = u.Name, u.Email
	return v
}

// getAuthenticated refuses bots: an App's installation is no user. GraphQL's
// viewer is what they can ask.
func getAuthenticated(c *call) (any, error) {
	u := c.srv.st.user(c.login)
	if u == nil {
		return nil, fail(http.StatusUnauthorized, "Bad credentials")
	}
	if u.Kind == "Bot" {
		return nil, fail(http.StatusForbidden, "Resource not accessible by integration")
	}
	return c.srv.fullUser(u), nil
}

func getUser(c *call) (any, error) {
	u := c.srv.st.user(c.req.PathValue("login"))
	if u == nil {
		return nil, errNotFound()
	}
	return c.srv.fullUser(u), nil
}

func listUserRepos(c *call) (any, error) {
	if c.srv.st.user(c.req.PathValue("login")) == nil {
		return nil, errNotFound()
	}
	return c.reposOf(c.req.PathValue("login")), nil
}

func getRateLimit(c *call) (any, error) {
	resources := map[string]*limit{}
	for _, name := range []string{"core", "search", "graphql"} {
		resources[name] = c.srv.budget(c.login, name)
	}
	return map[string]any{"resources": resources, "rate": resources["core"]}, nil
}
