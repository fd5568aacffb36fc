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
	for _, one := range p.parts(c) {
		one.sync(p, now)
	}
}

// part is what a configuration says of one thing. Each makes sense alone, once the first has been applied.
type part struct {
	name string
	sync func(p *Pool, now time.Time)
}

// parts takes a configuration apart: what is static, which nothing stores; the types; the resources; and what the types need to
// be between their bounds.
func (p *Pool) parts(c Config) []part {
	static := c.static()
	all := []part{{"", func(p *Pool, _ time.Time) { p.list(static, c.listed(), c.made()) }}}
	dynamic := map[string]*Dynamic{}
	for typ := range p.dynamics {
		dynamic[typ] = nil
	}
	for _, d := range c.Dynamic {
		dynamic[d.Type] = &d
	}
	types := slices.Sorted(maps.Keys(dynamic))
	for _, typ := range types {
		all = append(all, part{"type " + typ, func(p *Pool, _ time.Time) { p.bound(typ, dynamic[typ]) }})
	}
	names := maps.Clone(static)
	for name := range p.resources {
		names[name] = static[name]
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, part{"resource " + name, func(p *Pool, now time.Time) { p.syncStatic(now, name) }})
	}
	for _, typ := range types {
		all = append(all, part{"resources of type " + typ, func(p *Pool, now time.Time) { p.tend(now, typ) }})
	}
	return all
}

// list notes what is static.
func (p *Pool) list(static map[string]Static, listed, made map[string]bool) {
	wasStatic, wasListed, wasMade := p.static, p.listed, p.made
	p.noted(func() { p.static, p.listed, p.made = wasStatic, wasListed, wasMade })
	p.static, p.listed, p.made = static, listed, made
}

// bound sets the bounds of a dynamic type. One without any is given up.
func (p *Pool) bound(typ string, d *Dynamic) {
	was := p.dynamics[typ]
	if d == nil && was != nil {
		n := *was
		n.Min, n.Max = 0, 0
		d = &n
	}
	if d != nil && (was == nil || !reflect.DeepEqual(was, d)) {
		p.setDynamic(typ, d)
	}
}

// syncStatic makes one resource what the configuration says of it.
func (p *Pool) syncStatic(now time.Time, name string) {
	r := p.resources[name]
	s, listed := p.static[name]
	if r == nil {
		if listed {
			p.add(now, name)
		}
		return
	}
	dynamic := p.dynamics[r.Type] != nil || p.made[r.Type] // the store may have refused the type
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
