// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"slices"
	"strings"
	"time"
)

// Dynamic is a type whose resources the pool makes and gives up by itself.
type Dynamic struct {
	Type string `json:"type"`
	// State is where a new resource begins.
	State string `json:"state"`
	Min   int    `json:"min"`
	Max   int    `json:"max"`
	// Lifespan is how long after a lease a resource is given up; zero is never.
	Lifespan time.Duration `json:"lifespan,omitempty"`
	// Config and Needs are for those who build the resource (Boskos's mason); the pool keeps them.
	Config Build          `json:"config,omitzero"`
	Needs  map[string]int `json:"needs,omitempty"`
}

// Build is how a resource is built, in the builder's own words.
type Build struct {
	Type    string `json:"type,omitempty"`
	Content string `json:"content,omitempty"`
}

// expiry returns when a resource is given up whose lease ends now.
func (p *Pool) expiry(now time.Time, r *Resource) time.Time {
	d := p.dynamics[r.Type]
	switch {
	case d == nil:
		return time.Time{}
	case d.Lifespan > 0:
		return now.Add(d.Lifespan)
	}
	return r.Expires
}

// grow makes one more resource of a dynamic type for a waiter that came new. It is taken in the next round, not in the
// answer to the request that caused it, as in Boskos.
func (p *Pool) grow(now time.Time, typ string) {
	d := p.dynamics[typ]
	if d == nil || p.size(typ) >= d.Max {
		return
	}
	p.make(now, d)
	p.alarm(now, alarmMatch, typ)
}

func (p *Pool) size(typ string) int {
	if t := p.types[typ]; t != nil {
		return len(t.resources)
	}
	return 0
}

// make adds a resource. Its life begins with the end of its first lease, as in Boskos.
func (p *Pool) make(now time.Time, d *Dynamic) {
	r := &Resource{Name: p.names(), Type: d.Type, State: d.State, Updated: now}
	p.setResource(r.Name, r, false)
	p.watch(r, now)
}

// tend brings a dynamic type between its bounds: what was taken apart is forgotten, what expired or is too many is handed to
// the cleaner, what is missing is made (P-18).
func (p *Pool) tend(now time.Time, typ string) {
	d := p.dynamics[typ]
	if d == nil {
		return
	}
	var idle []*Resource
	active, leaving := 0, 0
	for _, r := range slices.Collect(p.All(typ)) {
		if _, static := p.static[r.Name]; static {
			continue
		}
		active++
		switch {
		case r.condemned():
			leaving++
		case r.Held():
		case r.State == Tombstone:
			p.setResource(r.Name, nil, false)
			active--
		case expired(now, r):
			p.condemn(now, r)
			leaving++
		default:
			idle = append(idle, r)
		}
	}
	for ; active < d.Min; active++ {
		p.make(now, d)
	}
	slices.SortFunc(idle, func(a, b *Resource) int { return strings.Compare(b.Name, a.Name) })
	for _, r := range idle[:min(len(idle), max(active-leaving-d.Max, 0))] {
		p.condemn(now, r)
	}
	if d.Min == 0 && d.Max == 0 && active == 0 {
		p.setDynamic(typ, nil)
	}
	p.alarm(now, alarmMatch, typ)
}

// tended is tend for one resource that came back, where the rest of its type is as it should be: what that costs does not grow
// with the type (P-18).
func (p *Pool) tended(now time.Time, r *Resource) {
	d := p.dynamics[r.Type]
	if d == nil {
		return
	}
	if p.listed[r.Type] { // some of it stay, whatever the bounds
		p.tend(now, r.Type)
		return
	}
	size := p.size(r.Type)
	switch {
	case r.State == Tombstone:
		p.setResource(r.Name, nil, false)
		if size--; size < d.Min {
			p.make(now, d)
			p.alarm(now, alarmMatch, r.Type)
		}
	case r.condemned():
	case expired(now, r), size-p.types[r.Type].leaving > d.Max:
		p.condemn(now, r)
		p.alarm(now, alarmMatch, r.Type) // a cleaner may wait for it
	}
	if d.Min == 0 && d.Max == 0 && size == 0 {
		p.setDynamic(r.Type, nil)
	}
}

// condemned tells that a resource is to be taken apart, or that a cleaner has it for that.
func (r *Resource) condemned() bool {
	return !r.Held() && r.State == ToBeDeleted || r.Lease != nil && r.Lease.From == ToBeDeleted
}

func expired(now time.Time, r *Resource) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// condemn hands a resource to the cleaner, who takes it apart.
func (p *Pool) condemn(now time.Time, r *Resource) {
	n := r.copy()
	n.State, n.Updated = ToBeDeleted, now
	p.setResource(n.Name, n, false)
}
