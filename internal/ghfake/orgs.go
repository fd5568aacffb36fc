// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import "net/http"

func orgRoutes() []route {
	return []route{
		{"GET", "/orgs/{org}", none, getOrg},
		{"GET", "/orgs/{org}/repos", none, listOrgRepos},
		{"GET", "/orgs/{org}/members", none, listMembers},
		{"GET", "/orgs/{org}/members/{login}", none, isMember},
		{"GET", "/orgs/{org}/public_members/{login}", none, isPublicMember},
		{"GET", "/orgs/{org}/memberships/{login}", signedIn, getMembership},
		{"GET", "/orgs/{org}/teams", signedIn, listTeams},
		{"GET", "/orgs/{org}/teams/{slug}", signedIn, getTeam},
		{"GET", "/orgs/{org}/teams/{slug}/members", signedIn, listTeamMembers},
		{"GET", "/orgs/{org}/teams/{slug}/memberships/{login}", signedIn, getTeamMembership},
		{"GET", "/orgs/{org}/teams/{slug}/repos", signedIn, listTeamRepos},
		{"GET", "/repos/{owner}/{repo}/teams", signedIn, listRepoTeams},
	}
}

type orgView struct {
	Login       string `json:"login"`
	ID          int64  `json:"id"`
	NodeID      string `json:"node_id"`
	URL         string `json:"url"`
	Description string `json:"description"`
}

func (s *Server) orgView(o *org) orgView {
	return orgView{Login: o.Login, ID: o.ID, NodeID: nodeID("O", o.ID), URL: "https://api.github.com/orgs/" + o.Login}
}

type teamView struct {
	ID          int64  `json:"id"`
	NodeID      string `json:"node_id"`
	Name        string `json:"name"`
	Slug        string `json:"slug"`
	Description string `json:"description"`
	Privacy     string `json:"privacy"`
	Permission  string `json:"permission"`
}

// wireLevel is the older of GitHub's vocabularies, used for teams and flags.
func wireLevel(l level) string {
	switch l {
	case read:
		return "pull"
	case write:
		return "push"
	}
	return l.String()
}

func teamShown(t *team, l level) teamView {
	return teamView{t.ID, nodeID("T", t.ID), t.Name, t.Slug, t.Description, "closed", wireLevel(l)}
}

type membershipView struct {
	Role  string `json:"role"`
	State string `json:"state"`
}

func (c *call) org() (*org, error) {
	if o := c.srv.st.orgs[fold(c.req.PathValue("org"))]; o != nil {
		return o, nil
	}
	return nil, errNotFound()
}

func (c *call) team() (*team, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	for _, t := range o.Teams {
		if t.Slug == fold(c.req.PathValue("slug")) {
			return t, nil
		}
	}
	return nil, errNotFound()
}

func getOrg(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	return c.srv.orgView(o), nil
}

func listOrgRepos(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	return c.reposOf(o.Login), nil
}

// membersView filters by ?role= and pages.
func (c *call) membersView(all map[string]member) []userView {
	role := c.query("role")
	var keep []member
	for _, m := range sorted(all) {
		if role == "" || role == "all" || role == m.Role {
			keep = append(keep, m)
		}
	}
	return list(c, keep, func(m member) userView { return c.srv.userView(m.Login) })
}

func listMembers(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	return c.membersView(o.Members), nil
}

// isPublicMember is where isMember sends outsiders. Nobody here shows their
// membership in public, which is GitHub's default.
func isPublicMember(*call) (any, error) { return nil, errNotFound() }

// isMember answers 302 to those who may not know, as GitHub does: people outside
// the organization. Bots are apps with the right to read members.
func isMember(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	if _, ok := o.Members[fold(c.login)]; !ok && !isBot(c.login) {
		c.header.Set("Location", "http://"+c.req.Host+"/orgs/"+o.Login+"/public_members/"+c.req.PathValue("login"))
		return reply{code: http.StatusFound}, nil
	}
	if _, ok := o.Members[fold(c.req.PathValue("login"))]; !ok {
		return nil, errNotFound()
	}
	return noContent(), nil
}

func getMembership(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	m, ok := o.Members[fold(c.req.PathValue("login"))]
	if !ok {
		return nil, errNotFound()
	}
	return membershipView{m.Role, "active"}, nil
}

func listTeams(c *call) (any, error) {
	o, err := c.org()
	if err != nil {
		return nil, err
	}
	return list(c, o.Teams, func(t *team) teamView { return teamShown(t, read) }), nil
}

func getTeam(c *call) (any, error) {
	t, err := c.team()
	if err != nil {
		return nil, err
	}
	return teamShown(t, read), nil
}

func listTeamMembers(c *call) (any, error) {
	t, err := c.team()
	if err != nil {
		return nil, err
	}
	return c.membersView(t.Members), nil
}

func getTeamMembership(c *call) (any, error) {
	t, err := c.team()
	if err != nil {
		return nil, err
	}
	m, ok := t.Members[fold(c.req.PathValue("login"))]
	if !ok {
		return nil, errNotFound()
	}
	return membershipView{m.Role, "active"}, nil
}

func listTeamRepos(c *call) (any, error) {
	t, err := c.team()
	if err != nil {
		return nil, err
	}
	var repos []*repo
	for _, r := range sorted(c.srv.st.repos) {
		if t.Repos[fold(r.full())] > none {
			repos = append(repos, r)
		}
	}
	return list(c, repos, func(r *repo) repoView {
		v := c.srv.repoView(r)
		v.Permissions = flags(t.Repos[fold(r.full())])
		return v
	}), nil
}

func listRepoTeams(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var teams []teamView
	if o := c.srv.st.orgs[fold(r.Owner)]; o != nil {
		for _, t := range o.Teams {
			if l := t.Repos[fold(r.full())]; l > none {
				teams = append(teams, teamShown(t, l))
			}
		}
	}
	return list(c, teams, func(t teamView) teamView { return t }), nil
}
