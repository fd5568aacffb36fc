// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// What follows reads the pool and changes nothing.

// Get returns a resource by name, or nil.
func (p *Pool) Get(name string) *Resource { return p.resources[name] }

// ByLease returns the resource of a lease, or nil.
func (p *Pool) ByLease(id string) *Resource { return p.resources[p.leases[id]] }

// EndedLease returns the resource whose last lease had an id and has ended, or nil.
func (p *Pool) EndedLease(id string) *Resource { return p.resources[p.past[id]] }

// PodLease is a lease that ends with a pod.
type PodLease struct {
	Resource       string
	Pod, Namespace string // UID, and where it was seen
	Since          time.Time
}

// PodLeases returns the leases that end with a pod, by pod and resource.
func (p *Pool) PodLeases() []PodLease {
	var all []PodLease
	for _, uid := range slices.Sorted(maps.Keys(p.pods)) {
		for _, name := range slices.Sorted(maps.Keys(p.pods[uid])) {
			l := p.resources[name].Lease
			all = append(all, PodLease{name, uid, l.PodNamespace, l.Since})
		}
	}
	return all
}

// Types returns the types of which there is something or may be, sorted.
func (p *Pool) Types() []string {
	all := map[string]bool{}
	for typ := range p.types {
		all[typ] = true
	}
	for typ := range p.dynamics {
		all[typ] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// All visits the resources of a type, or of every type for "", in no order, which is all that a look at a large pool may cost
// those who work. Who wants an order calls Sort when the look is over.
func (p *Pool) All(typ string) iter.Seq[*Resource] {
	if typ == "" {
		return maps.Values(p.resources)
	}
	return func(yield func(*Resource) bool) {
		t := p.types[typ]
		if t == nil {
			return
		}
		for name := range t.resources {
			if !yield(p.resources[name]) {
				return
			}
		}
	}
}

// Sort orders resources by type and name.
func Sort(all []*Resource) {
	slices.SortFunc(all, func(a, b *Resource) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name))
	})
}

// Metric counts the resources of a type by state and by owner, of which "" is nobody.
func (p *Pool) Metric(typ string) (states, owners map[string]int, err error) {
	t := p.types[typ]
	if t == nil {
		return nil, nil, &NoneFree{typ}
	}
	return maps.Clone(t.states), maps.Clone(t.owners), nil
}

// Place is where a waiter stands.
type Place struct {
	Waiter *Waiter
	// Ahead counts those who are to be served before, as things stand; -1 is a waiter that has been away too long to be served.
	Ahead int
}

// Queue returns the waiters for a type and a state in the order in which they are to be served, then those who are away.
func (p *Pool) Queue(now time.Time, typ, state string) []Place {
	var order []*Waiter
	if s := p.places[typ][state]; s != nil {
		order = slices.Clone(s.arrival.items)
		slices.SortFunc(order, func(a, b *Waiter) int { return p.compare(now, typ, a, b) })
	}
	places := make([]Place, 0, len(order))
	for i, w := range order {
		places = append(places, Place{w, i})
	}
	for _, key := range slices.Sorted(maps.Keys(p.waiters)) {
		if w := p.waiters[key]; w.Parked && w.From == state && w.count(typ) > 0 {
			places = append(places, Place{w, -1})
		}
	}
	return places
}

// WaitsFor returns the states for which somebody waits at a type.
func (p *Pool) WaitsFor(typ string) []string {
	states := map[string]bool{}
	for _, w := range p.waiters {
		if w.count(typ) > 0 {
			states[w.From] = true
		}
	}
	return slices.Sorted(maps.Keys(states))
}

// Dynamic returns the bounds of a dynamic type, or nil.
func (p *Pool) Dynamic(typ string) *Dynamic { return p.dynamics[typ] }

// Reservations returns all reservations, by id.
func (p *Pool) Reservations() []*Reservation {
	var all []*Reservation
	for _, id := range slices.Sorted(maps.Keys(p.reservations)) {
		all = append(all, p.reservations[id])
	}
	return all
}

// here returns the waiters whose callers wait.
func (p *Pool) here() []string {
	var keys []string
	for key, w := range p.waiters {
		if w.Here {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// justGranted tells whether a waiter was served in the batch under way.
func (p *Pool) justGranted(key string) bool {
	return slices.ContainsFunc(p.granted, func(g Granted) bool { return g.Waiter.key() == key })
}

// possible tells whether a claim can be served one day.
func (p *Pool) possible(c Claim) bool {
	for _, want := range c.Wants {
		if p.types[want.Type] == nil && p.dynamics[want.Type] == nil {
			return false
		}
	}
	return true
}

// lastEnded returns the last lease of every resource, in the order in which they ended.
func (p *Pool) lastEnded() []*Ended {
	var all []*Ended
	for _, r := range p.resources {
		if r.Last != nil {
			all = append(all, r.Last)
		}
	}
	slices.SortFunc(all, func(a, b *Ended) int { return a.Until.Compare(b.Until) })
	return all
}
