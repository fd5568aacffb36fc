// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// change is one difference, for the rules that say how bad it is. "" is absence.
type change struct {
	declared, observed string
	element            string // of a set: what has changed
	production         bool
	domains, numbers   map[string]bool // of the declared tree
}

// onProduction is worse where an outage is one of the community.
func (c change) onProduction(worse, otherwise finding.Severity) finding.Severity {
	if c.production {
		return worse
	}
	return otherwise
}

// always is one severity for every change.
func always(s finding.Severity) func(change) finding.Severity {
	return func(change) finding.Severity { return s }
}

// from is s where the declared value is given up.
func from(value string, s finding.Severity) func(change) finding.Severity {
	return func(c change) finding.Severity {
		if c.declared == value {
			return s
		}
		return finding.Warning
	}
}

// fromAny is s where a declared value is changed or gone.
func fromAny(s finding.Severity) func(change) finding.Severity {
	return func(c change) finding.Severity {
		if c.declared != "" {
			return s
		}
		return finding.Warning
	}
}

// fromOnProd is for what protects data or access: critical in production.
func fromOnProd(value string) func(change) finding.Severity {
	return func(c change) finding.Severity {
		if c.declared == value {
			return c.onProduction(finding.Critical, finding.Error)
		}
		return finding.Warning
	}
}

// shorter: a retention that is gone or shorter lets data be deleted that was not to be.
func shorter(c change) finding.Severity {
	declared, _ := strconv.ParseUint(c.declared, 10, 64) // "" is 0: no retention
	observed, _ := strconv.ParseUint(c.observed, 10, 64)
	if observed < declared {
		return finding.Critical
	}
	return finding.Warning
}

// unlocked: a lock can neither be taken away nor, once it is there, be undone.
func unlocked(c change) finding.Severity {
	if c.declared == "true" {
		return finding.Critical
	}
	return finding.Error
}

// anyOrigin is about CORS.
func anyOrigin(c change) finding.Severity {
	if strings.Contains(c.observed, `"*"`) && !strings.Contains(c.declared, `"*"`) {
		return finding.Error
	}
	return finding.Warning
}

// deletesMore: a rule that deletes what no declared rule would. One declared rule is
// enough to cover it: the same conditions, at an age that is not higher.
func deletesMore(c change) finding.Severity {
	if action, _, _ := strings.Cut(c.element, " "); action != "Delete" {
		return finding.Warning
	}
	declared := conditions(c.declared)
	for _, seen := range conditions(c.observed) {
		if !slices.ContainsFunc(declared, func(d condition) bool { return d.covers(seen) }) {
			return c.onProduction(finding.Critical, finding.Error)
		}
	}
	return finding.Warning
}

// condition is when a lifecycle rule acts: all of it has to hold. Age is -1 where there
// is no age.
type condition struct {
	age  int64
	rest map[string]string
}

// covers tells that all that b deletes, a deletes too: a asks for no more, at an age
// that is not higher.
func (a condition) covers(b condition) bool {
	for name, value := range a.rest {
		if b.rest[name] != value {
			return false
		}
	}
	return a.age <= b.age
}

func conditions(list string) []condition {
	if list == "" {
		return nil
	}
	var out []condition
	for one := range strings.SplitSeq(list, listSeparator) {
		c := condition{age: -1, rest: map[string]string{}}
		v, _ := decodeJSON([]byte(one)) // it was made by canonical
		fields, _ := v.(map[string]any)
		for name, value := range fields {
			number, isNumber := value.(json.Number)
			if age, err := number.Int64(); name == "age" && isNumber && err == nil {
				c.age = age
			} else {
				c.rest[name] = canonical(value)
			}
		}
		out = append(out, c)
	}
	return out
}

// grant is about who has access, by policy or by access control list.
func grant(c change) finding.Severity {
	member := c.member()
	switch {
	case agent(member, c.numbers):
		return finding.Info
	case strings.HasPrefix(member, "deleted:"):
		return finding.Warning
	case c.observed == "" && public(member):
		return c.onProduction(finding.Error, finding.Warning) // an outage, there
	case c.observed == "":
		return finding.Warning
	case public(member):
		return finding.Critical
	case strings.HasPrefix(c.declared, conditional):
		return finding.Error // the condition is gone, or another one
	case c.declared == unconditional:
		return finding.Warning // there is a condition now
	case c.stranger() || c.writer():
		return finding.Error
	}
	return finding.Warning
}

// foreignWriter tells that somebody from outside may write now: nothing that is shown to
// everybody.
func (c change) foreignWriter() bool {
	return c.observed != "" && c.writer() && (public(c.member()) || c.stranger())
}

func (c change) member() string {
	_, member := splitGrant(c.element)
	return member
}

// writer tells whether the observed role is more than reading. A role that is not known
// is. An entry of an access control list has its role as its value.
func (c change) writer() bool {
	role, _ := splitGrant(c.element)
	name := strings.ToLower(cmp.Or(role, c.observed))
	name = name[strings.LastIndexByte(name, '/')+1:]
	return !strings.Contains(name, "viewer") && !strings.Contains(name, "reader")
}

// splitGrant parts ROLE/MEMBER. Roles are roles/X, projects/P/roles/X or
// organizations/N/roles/X; members may have slashes too. An entity of an access control
// list has no role in its name.
func splitGrant(element string) (role, member string) {
	i := strings.Index(element, "roles/")
	if i < 0 {
		return "", element
	}
	i += len("roles/")
	if end := strings.IndexByte(element[i:], '/'); end >= 0 {
		return element[:i+end], element[i+end+1:]
	}
	return "", element
}

// public is everybody, with or without an account.
func public(member string) bool { return member == "allUsers" || member == "allAuthenticatedUsers" }

// stranger is a person, or somebody of a domain that the declared tree gives nothing.
func (c change) stranger() bool {
	member := c.member()
	if strings.HasPrefix(member, "user:") || strings.HasPrefix(member, "user-") && !strings.HasSuffix(member, ".gserviceaccount.com") {
		return true
	}
	domain := domainOf(member)
	return domain != "" && !c.domains[domain]
}

// agent is an account by which Google serves one of the declared projects. Only
// accounts of Google's own projects are: anybody may call an account service-1.
func agent(member string, numbers map[string]bool) bool {
	found := agents().FindStringSubmatch(member)
	return found != nil && numbers[found[1]+found[2]]
}

func agents() *regexp.Regexp {
	return regexp.MustCompile(`^(?:serviceAccount:|user-)(?:(\d+)@cloudservices\.gserviceaccount\.com|` +
		`service-(\d+)@(?:gcp-sa-[a-z0-9-]+|compute-system|container-engine-robot|containerregistry|` +
		`gs-project-accounts|serverless-robot-prod)\.iam\.gserviceaccount\.com)$`)
}
