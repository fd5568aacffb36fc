// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"fmt"
	"net/http"
	"strings"
)

// level is what somebody may do in a repository, from nothing to everything.
type level int

const (
	none level = iota
	read
	triage
	write
	maintain
	admin
)

// signedIn marks routes that need a known token and no more: GitHub lets every
// user comment on and open issues of public repositories.
const signedIn level = -1

// parseLevel knows the words of both of GitHub's vocabularies (pull/push are
// read/write).
func parseLevel(word string) (level, bool) {
	switch strings.ToLower(word) {
	case "none":
		return none, true
	case "read", "pull":
		return read, true
	case "triage":
		return triage, true
	case "write", "push":
		return write, true
	case "maintain":
		return maintain, true
	case "admin":
		return admin, true
	}
	return none, false
}

func (l level) String() string {
	return [...]string{"none", "read", "triage", "write", "maintain", "admin"}[l]
}

// levelOf is the highest of: owner, collaborator, teams, organization admin,
// and read for everybody in a public repository.
func (s *store) levelOf(login string, r *repo) level {
	top := none
	if !r.Private {
		top = read
	}
	if strings.EqualFold(login, r.Owner) {
		return admin
	}
	if g, ok := r.Collaborators[fold(login)]; ok {
		top = max(top, g.Level)
	}
	o := s.orgs[fold(r.Owner)]
	if o == nil {
		return top
	}
	if o.Members[fold(login)].Role == "admin" {
		return admin
	}
	for _, t := range o.Teams {
		if _, in := t.Members[fold(login)]; in {
			top = max(top, t.Repos[fold(r.full())])
		}
	}
	return top
}

// collaborator tells whether login counts as a collaborator: a direct one, a
// member of the organization or of a team with access.
func (s *store) collaborator(login string, r *repo) bool {
	if strings.EqualFold(login, r.Owner) {
		return true
	}
	if _, ok := r.Collaborators[fold(login)]; ok {
		return true
	}
	if o := s.orgs[fold(r.Owner)]; o != nil {
		_, ok := o.Members[fold(login)]
		return ok
	}
	return false
}

// association is GitHub's author_association. Authors of merged pull requests
// are CONTRIBUTOR.
func (s *store) association(login string, r *repo) string {
	if strings.EqualFold(login, r.Owner) {
		return "OWNER"
	}
	if o := s.orgs[fold(r.Owner)]; o != nil {
		if _, ok := o.Members[fold(login)]; ok {
			return "MEMBER"
		}
	}
	if _, ok := r.Collaborators[fold(login)]; ok {
		return "COLLABORATOR"
	}
	if r.Contributors[fold(login)] {
		return "CONTRIBUTOR"
	}
	return "NONE"
}

// login finds who is acting. An unknown token is refused even for reads, as
// GitHub does; no token at all is an anonymous reader.
func (s *store) login(req *http.Request) (string, error) {
	token := ""
	if _, password, ok := req.BasicAuth(); ok {
		token = password
	} else if h := req.Header.Get("Authorization"); h != "" {
		_, token, _ = strings.Cut(h, " ")
	}
	if token == "" {
		return "", nil
	}
	login, ok := s.tokens[strings.TrimSpace(token)]
	if !ok {
		return "", fail(http.StatusUnauthorized, "Bad credentials")
	}
	return login, nil
}

// allow checks a route's level against the acting login.
func (c *call) allow(need level) error {
	if need == none {
		return nil
	}
	if c.login == "" {
		return fail(http.StatusUnauthorized, "Requires authentication")
	}
	if need == signedIn {
		return nil
	}
	r, err := c.repo()
	if err != nil {
		return err
	}
	return c.mustHave(need, r)
}

// mustHave says in its message what to write into the scenario, because a
// missing right of the bot is the usual mistake.
func (c *call) mustHave(need level, r *repo) error {
	if have := c.srv.st.levelOf(c.login, r); have < need {
		return fail(http.StatusForbidden, fmt.Sprintf(
			"Resource not accessible: %s has %s on %s and needs %s (github.yaml: repos.%s.collaborators)",
			c.login, have, r.full(), need, r.full()))
	}
	return nil
}
