// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Identity is who asks: what the caller says of itself, and what its credentials prove. What is not proven is "".
type Identity struct {
	Owner          string // as the caller says
	User           string // of basic authentication, or the subject of an OIDC token
	ServiceAccount string // NAMESPACE/NAME of a Kubernetes token
	Namespace      string // of that account
	Pod            string // UID of the pod that a token is bound to
}

// Proven tells whether there were credentials.
func (i Identity) Proven() bool { return i.User != "" || i.ServiceAccount != "" }

// Name is who it is, proven where it can be.
func (i Identity) Name() string {
	switch {
	case i.ServiceAccount != "":
		return i.ServiceAccount
	case i.User != "":
		return i.User
	}
	return i.Owner
}

// Rule says for whom an account is, and what its holders may have. Patterns are those of path.Match, in which a star does
// not cross a slash; empty ones match everything.
type Rule struct {
	Owner          string   `yaml:"owner"`
	User           string   `yaml:"user"`
	ServiceAccount string   `yaml:"service-account"`
	Namespace      string   `yaml:"namespace"`
	Account        string   `yaml:"account"` // empty: the owner's own
	Class          string   `yaml:"class"`
	Types          []string `yaml:"types"` // patterns; empty: all
}

// Check finds faults of a rule. classes are those that exist.
func (r Rule) Check(classes []string) error {
	for key, pattern := range map[string]string{"owner": r.Owner, "user": r.User, "service-account": r.ServiceAccount, "namespace": r.Namespace} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%s: %q is no pattern", key, pattern)
		}
	}
	for _, pattern := range r.Types {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("types: %q is no pattern", pattern)
		}
	}
	if r.Class != "" && !slices.Contains(classes, r.Class) {
		return fmt.Errorf("class: %q is not one of classes: %s", r.Class, strings.Join(classes, ", "))
	}
	return nil
}

func (r Rule) matches(i Identity) bool {
	return matches(r.Owner, i.Owner) && matches(r.User, i.User) && matches(r.ServiceAccount, i.ServiceAccount) && matches(r.Namespace, i.Namespace)
}

func (r Rule) covers(typ string) bool {
	return typ == "" || len(r.Types) == 0 || slices.ContainsFunc(r.Types, func(pattern string) bool { return matches(pattern, typ) })
}

// matches asks a checked pattern.
func matches(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return pattern == "" || text != "" && ok && err == nil // "*" is somebody, not nobody
}

// Decide finds the rule for an identity that wants a type: the first that matches. Where there are no rules everybody is an
// account of its own. ok is false where no rule lets it have the type; why says so.
func Decide(rules []Rule, i Identity, typ string) (h Holder, class, why string, ok bool) {
	h = Holder{Account: i.Owner, Pod: i.Pod}
	if len(rules) == 0 {
		return h, "", "", true
	}
	known := false
	for _, r := range rules {
		if !r.matches(i) {
			continue
		}
		known = true
		if r.covers(typ) {
			if r.Account != "" {
				h.Account = r.Account
			}
			return h, r.Class, "", true
		}
	}
	if known {
		return h, "", fmt.Sprintf("no rule lets %s have %s", i.Name(), typ), false
	}
	return h, "", fmt.Sprintf("no rule of the pool's settings is for %s", i.Name()), false
}
