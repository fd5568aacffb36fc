// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// Static is a resource as the configuration lists it.
type Static struct{ Type, State string }

// Sync makes the pool what the configuration says. A resource that is held stays until its lease ends; the state of one that
// is there already is its own affair (P-19).
func (p *Pool) Sync(now time.Time, c Config) {
	static, listed := p.static, p.listed
	p.noted(func() { p.static, p.listed = static, listed })
	p.static, p.listed = c.static(), c.listed()
	for _, typ := range slices.Sorted(maps.Keys(p.dynamics)) {
		d := p.dynamics[typ]
		if !slices.ContainsFunc(c.Dynamic, func(d Dynamic) bool { return d.Type == typ }) && (d.Min != 0 || d.Max != 0) {
			n := *d
			n.Min, n.Max = 0, 0
			p.setDynamic(typ, &n)
		}
	}
	for _, d := range c.Dynamic {
		if was := p.dynamics[d.Type]; was == nil || !reflect.DeepEqual(*was, d) {
			p.setDynamic(d.Type, &d)
		}
	}
	p.syncStatic(now)
	for _, typ := range slices.Sorted(maps.Keys(p.dynamics)) {
		p.tend(now, typ)
	}
}

func (p *Pool) syncStatic(now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(p.resources)) {
		r := p.resources[name]
		s, listed := p.static[name]
		_, dynamic := p.dynamics[r.Type]
		stays := listed && s.Type == r.Type || !listed && dynamic
		switch {
		case !stays && r.Held():
			p.mark(r, true)
		case !stays:
			p.leave(now, r)
		case r.Leaving:
			p.mark(r, false)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.static)) {
		if p.resources[name] == nil {
			p.add(now, name)
		}
	}
}

func (p *Pool) mark(r *Resource, leaving bool) {
	if r.Leaving == leaving {
		return
	}
	n := r.copy()
	n.Leaving = leaving
	p.setResource(r.Name, n, false)
}

// leave forgets a resource, and makes it anew where the configuration lists it under another type.
func (p *Pool) leave(now time.Time, r *Resource) {
	p.setResource(r.Name, nil, false)
	s, listed := p.static[r.Name]
	if !listed {
		return
	}
	n := &Resource{Name: r.Name, Type: s.Type, State: s.State, Epoch: r.Epoch, Last: r.Last}
	if r.State != Free && s.State == Free {
		n.State = Dirty // its new type does not make it clean
	}
	p.setResource(n.Name, n, false)
	p.match(now, place{n.Type, n.State})
}

// add makes a static resource. Like Boskos's it was never updated, so that it is taken before all that were.
func (p *Pool) add(now time.Time, name string) {
	s := p.static[name]
	p.setResource(name, &Resource{Name: name, Type: s.Type, State: s.State}, false)
	p.match(now, place{s.Type, s.State})
}
