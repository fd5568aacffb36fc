// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Pool is the state of a pool. It is not safe for concurrent use: a Keeper owns it.
//
// Every operation gets the time and either does all it says or returns an error and does nothing. What it changed stands in
// the pool at once; Changes says what that was, and Keep or Undo ends the batch.
type Pool struct {
	policy Policy
	ids    func() string // of leases: not to be guessed
	names  func() string // of dynamic resources: valid names of Kubernetes objects

	resources    map[string]*Resource
	waiters      map[string]*Waiter
	shares       map[string]*Share
	dynamics     map[string]*Dynamic
	reservations map[string]*Reservation
	static       map[string]Static // what the configuration lists
	listed       map[string]bool   // types that it lists resources of
	made         map[string]bool   // types of which it says how many there are to be
	highest      uint64            // epoch

	types    map[string]*typeIndex
	turns    map[string]*turn
	places   map[string]map[string]*spot // type → state
	pods     map[string]map[string]bool  // pod → resources
	leases   map[string]string           // lease → resource
	past     map[string]string           // last lease that ended → resource
	requests map[string]map[string]bool  // request → leases
	taken    map[string]int              // reservation → leases under it
	alarms   alarms
	armed    map[alarmID]time.Time
	seq      uint64
	born     time.Time // no silence before it counts

	// The batch under way.
	steps   []step
	dirty   map[Ref]bool // true: not lazy
	granted []Granted
	ended   []*Ended
	ringing alarmID // the alarm that went off last
}

// place is where a resource can be taken: by type and state.
type place struct{ typ, state string }

// typeIndex counts what there is of a type.
type typeIndex struct {
	resources map[string]bool
	states    map[string]int
	owners    map[string]int
	leaving   int // is to be taken apart, or a cleaner has it for that
}

// spot is one place: what can be taken there and who waits for it.
type spot struct {
	free heap[*Resource]
	queue
}

// Granted is what a waiter got.
type Granted struct {
	Waiter    *Waiter
	Resources []*Resource
}

// Options make a pool.
type Options struct {
	Policy Policy
	// IDs makes the id of a lease, Names the name of a dynamic resource. Both are called once for each.
	IDs, Names func() string
}

// NewPool returns a pool with what a store holds. now begins a new life of all leases and waiters: the time during which no
// pool was there to hear from them does not count against them (P-21).
func NewPool(opts Options, state State, now time.Time) (*Pool, error) {
	p := &Pool{
		policy: opts.Policy, ids: opts.IDs, names: opts.Names,
		resources: map[string]*Resource{}, waiters: map[string]*Waiter{}, shares: map[string]*Share{},
		dynamics: map[string]*Dynamic{}, reservations: map[string]*Reservation{}, static: map[string]Static{},
		types: map[string]*typeIndex{}, turns: map[string]*turn{}, places: map[string]map[string]*spot{},
		pods:   map[string]map[string]bool{},
		leases: map[string]string{}, past: map[string]string{}, requests: map[string]map[string]bool{}, taken: map[string]int{}, dirty: map[Ref]bool{}, armed: map[alarmID]time.Time{}, born: now,
	}
	for _, r := range state {
		if err := p.load(r, now); err != nil {
			return nil, err
		}
	}
	p.resumeTurns()
	p.alarm(now.Add(pruneEvery), alarmPrune, "")
	p.Keep()
	return p, nil
}

func (p *Pool) load(r Record, now time.Time) error {
	switch {
	case r.Gone:
		return fmt.Errorf("load pool: the state has a record of something gone: %s %s", r.Kind, r.Key)
	case r.Resource != nil:
		p.putResource(r.Key, revived(r.Resource, now))
		p.watch(p.resources[r.Key], now)
	case r.Waiter != nil:
		w := *r.Waiter
		w.Seen = now
		p.seq = max(p.seq, w.Seq)
		p.putWaiter(r.Key, &w)
		p.alarm(now.Add(p.policy.pollGrace()), alarmWaiter, r.Key)
	case r.Share != nil:
		s := *r.Share
		s.Holds = p.share(s.Type, s.Account).Holds
		p.putShare(r.Key, &s)
	case r.Dynamic != nil:
		p.putDynamic(r.Key, r.Dynamic)
	case r.Reservation != nil:
		p.putReservation(r.Key, r.Reservation)
		p.alarm(r.Reservation.Until, alarmReservation, r.Key)
	default:
		return fmt.Errorf("load pool: the state has an empty record: %s %s", r.Kind, r.Key)
	}
	return nil
}

// revived gives a lease its time anew.
func revived(r *Resource, now time.Time) *Resource {
	if !r.Held() {
		return r
	}
	c := r.copy()
	if c.Lease != nil && !c.Lease.Until.IsZero() {
		l := *c.Lease
		l.Until = later(l.Until, now.Add(l.TTL))
		c.Lease = &l
	}
	return c
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Changes returns the records of the batch under way, in a fixed order.
func (p *Pool) Changes() []Record {
	refs := slices.SortedFunc(maps.Keys(p.dirty), Ref.Compare)
	records := make([]Record, len(refs))
	for i, ref := range refs {
		records[i] = p.record(ref)
		records[i].Lazy = !p.dirty[ref]
	}
	return records
}

// record is the after-image of one object.
func (p *Pool) record(ref Ref) Record {
	r := Record{Kind: ref.Kind, Key: ref.Key}
	switch ref.Kind {
	case KindResource:
		r.Resource = p.resources[ref.Key]
	case KindWaiter:
		r.Waiter = p.waiters[ref.Key]
	case KindShare:
		r.Share = p.shares[ref.Key]
	case KindDynamic:
		r.Dynamic = p.dynamics[ref.Key]
	case KindReservation:
		r.Reservation = p.reservations[ref.Key]
	}
	r.Gone = r.Resource == nil && r.Waiter == nil && r.Share == nil && r.Dynamic == nil && r.Reservation == nil
	return r
}

// Outcome is what a batch did for others than its callers.
type Outcome struct {
	Granted []Granted // to waiters
	Ended   []*Ended  // leases, in order
}

// Keep ends the batch: what it changed is stored.
func (p *Pool) Keep() Outcome {
	out := Outcome{p.granted, p.ended}
	p.forget()
	return out
}

// Undo ends the batch as if it had never been.
func (p *Pool) Undo() {
	steps := p.steps
	p.steps = nil
	for _, s := range slices.Backward(steps) {
		p.undo(s)
	}
	p.forget()
}

func (p *Pool) forget() {
	p.steps, p.granted, p.ended = nil, nil, nil
	clear(p.dirty)
}
