// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

func collaboratorRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/collaborators", signedIn, listCollaborators},
		{"GET", "/repos/{owner}/{repo}/collaborators/{login}", signedIn, isCollaborator},
		{"GET", "/repos/{owner}/{repo}/collaborators/{login}/permission", signedIn, getPermission},
		{"PUT", "/repos/{owner}/{repo}/collaborators/{login}", admin, addCollaborator},
		{"DELETE", "/repos/{owner}/{repo}/collaborators/{login}", admin, removeCollaborator},
	}
}

// listCollaborators shows direct collaborators, and without ?affiliation=direct
// the members of the organization and of its teams too.
func listCollaborators(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for login, g := range r.Collaborators {
		all[login] = g.Login
	}
	if o := c.srv.st.orgs[fold(r.Owner)]; o != nil && c.query("affiliation") != "direct" {
		for login, m := range o.Members {
			all[login] = m.Login
		}
	}
	return list(c, sorted(all), func(login string) userView {
		l := c.srv.st.levelOf(login, r)
		v := c.srv.userView(login)
		v.Permissions, v.RoleName = flags(l), l.String()
		return v
	}), nil
}

func isCollaborator(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	if !c.srv.st.collaborator(c.req.PathValue("login"), r) {
		return nil, errNotFound()
	}
	return noContent(), nil
}

// getPermission knows four words; role_name has the finer ones.
func getPermission(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	u := c.srv.st.user(c.req.PathValue("login"))
	if u == nil {
		return nil, errNotFound()
	}
	l := c.srv.st.levelOf(u.Login, r)
	coarse := map[level]level{triage: read, maintain: write}
	word := l
	if l2, ok := coarse[l]; ok {
		word = l2
	}
	return map[string]any{"permission": word.String(), "role_name": l.String(), "user": c.srv.userView(u.Login)}, nil
}

// addCollaborator takes effect at once; GitHub would send an invitation first.
func addCollaborator(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	in := struct{ Permission string }{"push"}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	u, l := c.srv.st.user(c.req.PathValue("login")), none
	if u == nil {
		return nil, errNotFound()
	}
	if l, _ = parseLevel(in.Permission); l == none {
		return nil, invalid("Collaborator", "permission", "unknown permission "+in.Permission)
	}
	r.Collaborators[fold(u.Login)] = grant{u.Login, l}
	c.srv.wrote(c.actor(), "collaborator.add", r, 0, u.ID, u.Login+" "+l.String())
	return noContent(), nil
}

func removeCollaborator(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	delete(r.Collaborators, fold(c.req.PathValue("login")))
	c.srv.wrote(c.actor(), "collaborator.remove", r, 0, 0, c.req.PathValue("login"))
	return noContent(), nil
}
