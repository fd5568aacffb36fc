// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"iter"
	"path"
	"slices"
	"strings"
)

// step is one OWNERS file on the way from a path to the root.
type step struct {
	owners *ownersFile
	dir    string // of the file; the path itself for front matter
	rel    string // the queried path as the file's filters see it
	layer  int    // directories between the path and dir
	front  bool
}

// shortChain is more than real repositories need, so that a query allocates nothing.
const shortChain = 16

// chain appends the OWNERS files that concern p to buf, leaf first. p is clean.
func (t *Tree) chain(p string, buf []step) []step {
	depth := 0
	n, rest := t.root, p
	if p == "." {
		rest = ""
	}
	total := components(rest)
	for {
		if n.owners != nil {
			buf = append(buf, step{owners: n.owners, dir: n.path, rel: relTo(n.path, p), layer: total - depth})
		}
		name, after, more := strings.Cut(rest, "/")
		if front := n.markdown[name]; front != nil && !more {
			buf = append(buf, step{owners: front, dir: p, rel: ".", front: true})
		}
		child := n.children[name]
		if name == "" || child == nil {
			break
		}
		n, rest, depth = child, after, depth+1
	}
	for i, j := 0, len(buf)-1; i < j; i, j = i+1, j-1 {
		buf[i], buf[j] = buf[j], buf[i]
	}
	return buf
}

func components(p string) int {
	if p == "" {
		return 0
	}
	return strings.Count(p, "/") + 1
}

// relTo is p relative to dir, which is above it or equal.
func relTo(dir, p string) string {
	switch {
	case dir == "":
		return p
	case len(dir) == len(p):
		return "."
	default:
		return p[len(dir)+1:]
	}
}

// file is the path of the step's file.
func (t *Tree) file(s step) string {
	if s.front {
		return s.dir
	}
	return path.Join(s.dir, t.opts.Filenames.Owners)
}

// role is one of the four questions asked of a chain.
type role struct {
	list func(*section) []entry
	// strict: in Strict mode a restricted or broken file ends the walk, whatever
	// has been collected. Without it the rule of Prow holds in both modes.
	strict   bool
	filtered bool // by membership
	doubtful bool // keep those whose membership is unknown: for advice and for codes
	plain    bool // labels: nothing is resolved
}

// roles: required reviewers only ever add a demand and labels grant nothing, so
// going on to the parents is the safe direction for both.
func approverRole() role {
	return role{list: func(s *section) []entry { return s.approvers }, strict: true, filtered: true}
}

// candidateRole is who is listed and has not left.
func candidateRole() role {
	r := approverRole()
	r.doubtful = true
	return r
}

func reviewerRole() role {
	return role{list: func(s *section) []entry { return s.reviewers }, strict: true, filtered: true}
}

func requiredRole() role { return role{list: func(s *section) []entry { return s.required }} }

func labelRole() role {
	return role{list: func(s *section) []entry { return s.labels }, plain: true}
}

// collect gathers the names of a role from leaf to root (O-5, O-6).
func (t *Tree) collect(p string, r role, leafOnly bool) (Layers, error) {
	p, err := CheckPath(p)
	if err != nil {
		return nil, err
	}
	out := Layers{Set{}}
	var buf [shortChain]step
	for _, s := range t.chain(p, buf[:0]) {
		if r.strict && t.broken(s) {
			break
		}
		t.gather(&out, s, r)
		if leafOnly && out.Len() > 0 || t.stops(s, r, out.Len() > 0) {
			break
		}
	}
	return out, nil
}

func (t *Tree) broken(s step) bool { return t.opts.Mode == Strict && s.owners.denies != nil }

// stops is the rule of no_parent_owners: Prow's holds only once something has
// been collected (F3, F4), the strict one always.
func (t *Tree) stops(s step, r role, collected bool) bool {
	return s.owners.noParent && (collected || r.strict && t.opts.Mode == Strict)
}

func (t *Tree) gather(out *Layers, s step, r role) {
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		list := r.list(sec)
		if len(list) == 0 || !sec.matches(s.rel) {
			continue
		}
		out.reach(s.layer)
		for _, e := range list {
			for name := range t.expand(list, e, r) {
				out.insert(s.layer, name)
			}
		}
	}
}

// expand yields what an entry of a list stands for: itself, or the members of
// the alias it names (one level, O-9). A required reviewer whom nobody can be is kept:
// dropping the demand would open the gate.
func (t *Tree) expand(list []entry, e entry, r role) iter.Seq[string] {
	return func(yield func(string) bool) {
		g := t.aliases.groups[e.name]
		if r.plain || g == nil {
			if t.takes(e, r, g) {
				yield(e.name)
			}
			return
		}
		for _, m := range g.members {
			inner := t.aliases.groups[m.name]
			if t.takes(m, r, inner) && !(inner != nil && t.replaced(list, e, inner)) && !yield(m.name) {
				return
			}
		}
	}
}

// takes reports whether a name counts as a person of the role; g is the alias of
// that name, which makes it none.
func (t *Tree) takes(e entry, r role, g *group) bool {
	if !r.filtered {
		return true
	}
	if t.opts.Mode == Strict && (g != nil || !e.plausible || t.aliases.lost(e.name)) {
		return false
	}
	return t.counts(e.name) || r.doubtful && t.standing(e.name) == Unknown
}

// replaced is an accident of Prow's: it expands the aliases of a list in the
// order of their names and in place, so an alias that another one contains is
// expanded as well, if it stands in the list itself and comes later.
func (t *Tree) replaced(list []entry, outer entry, inner *group) bool {
	return t.opts.Mode == Compat && inner.name > outer.name &&
		slices.ContainsFunc(list, func(e entry) bool { return e.name == inner.name })
}

func (t *Tree) isLogin(name string) bool {
	return t.opts.Mode == Compat || t.aliases.isLogin(name)
}
