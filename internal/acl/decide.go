// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"fmt"
	"slices"
)

// verdict is a decision in the terms of the chain; Explain puts it into words.
type verdict struct {
	allowed bool
	code    string // of a denial
	at      int    // index of the deciding step, -1 when none decides
	section *section
	entry   entry
	group   *group // the alias through which the entry stands for the user
}

// Allowed reports whether user may approve a change of p; on a path that is not
// clean it returns false and a *PathError. It allocates nothing.
func (t *Tree) Allowed(user, p string) (bool, error) {
	p, err := CheckPath(p)
	if err != nil {
		return false, err
	}
	var buf [shortChain]step
	return t.decide(NormLogin(user), t.chain(p, buf[:0])).allowed, nil
}

func (t *Tree) decide(user string, chain []step) verdict {
	if t.opts.Mode == Compat {
		return t.decideCompat(user, chain)
	}
	if !t.isLogin(user) {
		return verdict{code: t.notLogin(user), at: -1}
	}
	groups := t.aliases.of[user]
	lost := false // a name on the way could have been an alias of the broken file
	for i, s := range chain {
		if s.owners.denies != nil {
			return verdict{code: s.owners.denies.code, at: i}
		}
		if v, ok := t.grant(user, groups, s); ok {
			v.at = i
			return t.verify(user, s, v)
		}
		lost = lost || t.aliases.broken != nil && t.lostNames(s)
		if s.owners.noParent {
			return verdict{code: t.shut(s, lost), at: i}
		}
	}
	if lost {
		return verdict{code: CodeAliases, at: len(chain) - 1}
	}
	return verdict{code: CodeNotApprover, at: len(chain) - 1}
}

// notLogin blames the broken aliases file for a name it alone puts in doubt.
func (t *Tree) notLogin(user string) string {
	if t.aliases.broken != nil && legalLogin(user) && !aliasShaped(user) {
		return CodeAliases
	}
	return CodeNotLogin
}

// grant finds the entry among the approvers of s that stands for user.
func (t *Tree) grant(user string, groups []string, s step) (verdict, bool) {
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		if len(sec.approvers) == 0 || !sec.matches(s.rel) {
			continue
		}
		for _, e := range sec.approvers {
			if inner := t.aliases.groups[user]; slices.Contains(groups, e.name) && !(inner != nil && t.replaced(sec.approvers, e, inner)) {
				return verdict{section: sec, entry: e, group: t.aliases.groups[e.name]}, true
			}
			if e.name == user && t.aliases.groups[e.name] == nil {
				return verdict{section: sec, entry: e}, true
			}
		}
	}
	return verdict{}, false
}

// verify turns a grant into a decision by what is known of the membership.
func (t *Tree) verify(user string, s step, v verdict) verdict {
	switch t.standing(user) {
	case Unknown:
		v.code = CodeUnverified
	case NotMember:
		v.code = CodeNotMember
		if s.owners.noParent && !t.hasApprover(s) {
			v.code = CodeVacant
		}
	default:
		v.allowed = true
	}
	return v
}

// shut is the code of a denial by a restricted file.
func (t *Tree) shut(s step, lost bool) string {
	switch {
	case lost:
		return CodeAliases
	case t.hasApprover(s):
		return CodeNotApprover
	case s.owners.filtered() && t.filtersMiss(s):
		return CodeUnmatched
	default:
		return CodeVacant
	}
}

// hasApprover reports whether s alone lists anybody who has not left.
func (t *Tree) hasApprover(s step) bool {
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		if len(sec.approvers) == 0 || !sec.matches(s.rel) {
			continue
		}
		for _, e := range sec.approvers {
			for range t.expand(sec.approvers, e, candidateRole()) {
				return true
			}
		}
	}
	return false
}

// filtersMiss reports that some filter has approvers, and none that matches.
func (t *Tree) filtersMiss(s step) bool {
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		if len(sec.approvers) > 0 && sec.matches(s.rel) {
			return false
		}
	}
	return true
}

// lostNames reports whether an approver of s is a name that the broken aliases
// file may have defined.
func (t *Tree) lostNames(s step) bool {
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		for _, e := range sec.approvers {
			if !t.aliases.isLogin(e.name) && sec.matches(s.rel) {
				return true
			}
		}
	}
	return false
}

// decideCompat is membership in Prow's Approvers.
func (t *Tree) decideCompat(user string, chain []step) verdict {
	collected := false
	for i, s := range chain {
		v, ok := t.grant(user, t.aliases.of[user], s)
		if ok && t.counts(user) {
			v.allowed, v.at = true, i
			return v
		}
		collected = collected || t.hasApprover(s)
		if s.owners.noParent && collected {
			return verdict{code: CodeNotApprover, at: i}
		}
	}
	return verdict{code: CodeNotApprover, at: len(chain) - 1}
}

// unreadable returns an error for the nearest broken file on the way of p.
func (t *Tree) unreadable(p string) error {
	p, err := CheckPath(p)
	if err != nil {
		return err
	}
	var buf [shortChain]step
	for _, s := range t.chain(p, buf[:0]) {
		if t.broken(s) {
			return fmt.Errorf("%s: %s: %s", s.owners.denies.code, t.file(s), s.owners.denies.msg)
		}
	}
	return nil
}
