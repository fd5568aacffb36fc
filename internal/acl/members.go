// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import "maps"

// Standing is what is known about the membership of one login.
type Standing int

// The zero value is Unchecked: membership is nobody's condition. Unknown means
// that it is a condition and could not be read (F5).
const (
	Unchecked Standing = iota
	Member
	NotMember
	Unknown
)

// Members tells the standing of a login, given in normalised form. It must be
// pure and safe for concurrent use; a Tree calls it during queries.
type Members func(login string) Standing

// EveryMember is a complete list: who is not in it has left.
func EveryMember(logins ...string) Members {
	all := make(map[string]struct{}, len(logins))
	for _, login := range logins {
		all[NormLogin(login)] = struct{}{}
	}
	return func(login string) Standing {
		if _, ok := all[login]; ok {
			return Member
		}
		return NotMember
	}
}

// SomeMembers is what is known of some logins; the others are Unchecked. It is
// for deciding about one acting login without listing everybody.
func SomeMembers(known map[string]Standing) Members {
	normed := make(map[string]Standing, len(known))
	for login, s := range known {
		normed[NormLogin(login)] = s
	}
	return func(login string) Standing { return normed[login] }
}

// UnknownMembers is a listing that failed: every grant is in doubt.
func UnknownMembers() Members {
	return func(string) Standing { return Unknown }
}

// WithMembers returns a tree that takes membership into account, and leaves the
// receiver as it is. nil removes the facts again.
func (t *Tree) WithMembers(m Members) *Tree {
	other := *t
	other.members = m
	return &other
}

func (t *Tree) standing(login string) Standing {
	if t.members == nil {
		return Unchecked
	}
	return t.members(login)
}

// counts reports whether an approver or reviewer takes part. Prow keeps
// everybody when the listing fails (F5); strictly nobody is kept.
func (t *Tree) counts(login string) bool {
	switch t.standing(login) {
	case NotMember:
		return false
	case Unknown:
		return t.opts.Mode == Compat
	}
	return true
}

// Set is a set of logins or labels.
type Set map[string]struct{}

// Has reports membership; a nil set has nothing.
func (s Set) Has(item string) bool {
	_, ok := s[item]
	return ok
}

// Layers are logins by distance: element 0 holds those of the path itself,
// element n those n directories above. A login stands in its first layer only.
type Layers []Set

// Set is the union.
func (l Layers) Set() Set {
	all := Set{}
	for _, layer := range l {
		maps.Copy(all, layer)
	}
	return all
}

// Has reports whether any layer has item.
func (l Layers) Has(item string) bool {
	for _, layer := range l {
		if layer.Has(item) {
			return true
		}
	}
	return false
}

// Len counts the items of all layers.
func (l Layers) Len() int {
	n := 0
	for _, layer := range l {
		n += len(layer)
	}
	return n
}

// reach makes layer n exist.
func (l *Layers) reach(n int) {
	for len(*l) <= n {
		*l = append(*l, Set{})
	}
}

func (l Layers) insert(n int, item string) {
	if !l.Has(item) {
		l[n][item] = struct{}{}
	}
}
