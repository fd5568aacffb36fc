// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// gcePolicy is the IAM policy of a project (CF-E7).
type gcePolicy struct {
	Bindings []gceBinding `json:"bindings,omitempty"`
	Etag     string       `json:"etag,omitempty" yaml:"-"`
	Version  int          `json:"version,omitempty" yaml:"-"`
}

type gceBinding struct {
	Role      string         `json:"role"`
	Members   []string       `json:"members"`
	Condition map[string]any `json:"condition,omitempty" yaml:",omitempty"`
}

// Policy lists the grants of a project as "ROLE MEMBER", with " if TITLE" where there is a condition, sorted.
func (g *GCE) Policy(project string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := []string{}
	if p := g.projects[project]; p != nil {
		for _, b := range p.Policy.Bindings {
			for _, m := range b.Members {
				grant := b.Role + " " + m
				if b.Condition != nil {
					grant += fmt.Sprintf(" if %v", b.Condition["title"])
				}
				all = append(all, grant)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Grant adds a member to a binding without a condition.
func (g *GCE) Grant(project, role, member string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.projects[project]
	if p == nil {
		return fmt.Errorf("grant %s: there is no project %s", role, project)
	}
	p.Policy.Bindings = append(p.Policy.Bindings, gceBinding{Role: role, Members: []string{member}})
	p.changes++
	return nil
}

// policyCall answers POST v3/projects/ID:getIamPolicy and :setIamPolicy.
func (g *GCE) policyCall(r *http.Request) (map[string]any, *gceRefusal) {
	id, verb, _ := strings.Cut(r.PathValue("call"), ":")
	p := g.byNumber(id)
	if p == nil {
		return nil, gceRefuse(http.StatusForbidden, "forbidden", "The caller does not have permission on projects/%s, or it does not exist.", id)
	}
	var in struct {
		Options    struct{ RequestedPolicyVersion int }
		Policy     *gcePolicy
		UpdateMask string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, gceRefuse(http.StatusBadRequest, "invalid", "%v", err)
	}
	switch {
	case verb == "getIamPolicy":
		return p.policy(in.Options.RequestedPolicyVersion), nil
	case verb == "setIamPolicy" && in.Policy != nil:
		return p.setPolicy(*in.Policy)
	}
	return nil, &gceRefusal{unknown: true}
}

func (p *gceProject) etag() string { return "e" + strconv.Itoa(p.changes) }

// policy shows conditional roles under another name to who does not ask for version 3.
func (p *gceProject) policy(version int) map[string]any {
	shown := gcePolicy{Etag: p.etag(), Version: 1}
	for _, b := range p.Policy.Bindings {
		switch {
		case b.Condition != nil && version < 3:
			hash := fnv.New32a()
			_, _ = fmt.Fprint(hash, b.Condition) // never fails
			b.Role, b.Condition = fmt.Sprintf("%s_withcond_%08x", b.Role, hash.Sum32()), nil
		case b.Condition != nil:
			shown.Version = 3
		}
		shown.Bindings = append(shown.Bindings, b)
	}
	raw, err := json.Marshal(shown)
	out := map[string]any{}
	if err == nil {
		_ = json.Unmarshal(raw, &out) // a copy of what was just written
	}
	return out
}

func (p *gceProject) setPolicy(next gcePolicy) (map[string]any, *gceRefusal) {
	if next.Etag != p.etag() {
		no := gceRefuse(http.StatusConflict, "aborted", "There were concurrent policy changes. Please retry the whole read-modify-write.")
		no.status = "ABORTED"
		return nil, no
	}
	for _, b := range next.Bindings {
		if b.Condition != nil && next.Version < 3 {
			return nil, gceRefuse(http.StatusBadRequest, "badRequest", "A policy with conditions has version 3.")
		}
	}
	p.Policy.Bindings = next.Bindings
	p.changes++
	return p.policy(3), nil
}

// orphan renames the grants of a service account that is deleted.
func (p *gceProject) orphan(email string) {
	for i, b := range p.Policy.Bindings {
		members := slices.Clone(b.Members)
		for n, m := range members {
			if m == "serviceAccount:"+email {
				members[n] = fmt.Sprintf("deleted:%s?uid=1%020d", m, p.changes)
				p.changes++
			}
		}
		p.Policy.Bindings[i].Members = members
	}
}
