// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Claim asks for resources.
type Claim struct {
	// Request names the request, so that it keeps its place when it is asked again. Without a name it does not queue, and gets
	// only what no waiter could want (P-12).
	Request string
	Owner   string
	Holder
	Class string
	// Wants is what has to be there at once, all or nothing; each type once.
	Wants []Want
	// From and To are the states before and after.
	From, To string
	// TTL is how long the lease lasts without renewal. Zero is a lease of Boskos's interface.
	TTL time.Duration
	// Waits says that the caller waits for the answer: until Leave, the request may be granted at any time.
	Waits bool
}

// MaxWaiters bounds those who wait in a pool, MaxWants what one may want. Of one type a claim may want MaxResources.
const (
	MaxWaiters = 20_000
	MaxWants   = 16
)

// Acquire takes what is wanted, in the order of the queue. The error is *NoneFree where it is not there now, in which case a
// claim with a name waits; *UnknownType where the pool never had such a thing; *Invalid where the claim makes no sense.
func (p *Pool) Acquire(now time.Time, c Claim) ([]*Resource, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := p.reachable(c); err != nil {
		return nil, err
	}
	if c.Request == "" {
		return p.takeNow(now, c)
	}
	if c.TTL > 0 {
		if got, err := p.again(c); got != nil || err != nil {
			return got, err
		}
	}
	key := c.key()
	old := p.waiters[key]
	if old == nil && len(p.waiters) >= MaxWaiters {
		return nil, &Full{len(p.waiters)}
	}
	w := p.arrive(now, c, old)
	before := len(p.granted) // an earlier grant of this batch is somebody else's
	p.setWaiter(key, w)
	for _, want := range c.Wants {
		p.match(now, place{want.Type, c.From})
	}
	if got := p.deliver(key, before); got != nil {
		return got, nil
	}
	err := p.none(c) // before the pool grows: Boskos counts what was there when it was asked
	if old == nil {
		for _, want := range c.Wants {
			p.grow(now, want.Type)
		}
	}
	if !c.Waits {
		p.Leave(now, key)
	}
	return nil, err
}

func (c *Claim) check() error {
	switch {
	case c.Owner == "" || c.From == "" || c.To == "":
		return &Invalid{"owner and states have to be set"}
	case c.From == Quarantined:
		return &Invalid{"what is in quarantine is not lent"}
	case len(c.Wants) == 0:
		return &Invalid{"nothing is wanted"}
	case len(c.Wants) > MaxWants:
		return &Invalid{"more types than a claim may name"}
	case c.TTL < 0:
		return &Invalid{"the time to live is negative"}
	}
	for i, want := range c.Wants {
		if want.Type == "" || want.Count < 1 || want.Count > MaxResources {
			return &Invalid{"a type has to be named, and at least one of it wanted"}
		}
		if slices.ContainsFunc(c.Wants[:i], func(w Want) bool { return w.Type == want.Type }) {
			return &Invalid{"type " + want.Type + " is named twice"}
		}
	}
	return nil
}

// reachable refuses what could never be served: it would wait for good, and keep others from what they could have (P-15).
// One of one type is left to wait: Boskos's clients do so for types that come later.
func (p *Pool) reachable(c Claim) error {
	if len(c.Wants) == 1 && c.Wants[0].Count == 1 && c.TTL == 0 {
		return nil
	}
	for _, want := range c.Wants {
		most := p.most(want.Type)
		quota, limited := p.policy.quota(c.Account, want.Type)
		switch {
		case most == 0 && p.dynamics[want.Type] == nil:
			return &UnknownType{want.Type}
		case want.Count > most:
			return &Invalid{fmt.Sprintf("%d of %s are wanted, and there are %d", want.Count, want.Type, most)}
		case limited && want.Count > quota:
			return &OverQuota{c.Account}
		}
	}
	return nil
}

// most is how many of a type there can be.
func (p *Pool) most(typ string) int {
	if d := p.dynamics[typ]; d != nil {
		return max(d.Max, p.size(typ))
	}
	return p.size(typ)
}

// again returns what a request was given already. A name that was used for something else is refused.
func (p *Pool) again(c Claim) ([]*Resource, error) {
	got := p.Granted(c)
	if len(got) == 0 {
		return nil, nil
	}
	counts := map[string]int{}
	for _, r := range got {
		counts[r.Type]++
	}
	same := len(counts) == len(c.Wants)
	for _, want := range c.Wants {
		same = same && counts[want.Type] == want.Count
	}
	if !same {
		return nil, &Invalid{"this request was served with something else, or has given a part back: use a new name"}
	}
	return got, nil
}

// arrive makes the waiter of a claim, which keeps its number if it was there before.
func (p *Pool) arrive(now time.Time, c Claim, old *Waiter) *Waiter {
	w := &Waiter{
		Request: c.Request, Owner: c.Owner, Holder: c.Holder, Class: c.Class, Wants: c.Wants, From: c.From, To: c.To,
		TTL: c.TTL, Arrived: now, Seen: now, Here: true,
	}
	if old != nil {
		w.Seq, w.Arrived = old.Seq, old.Arrived
		return w
	}
	p.seq++
	w.Seq = p.seq
	for _, want := range c.Wants {
		p.join(want.Type, c.Account)
	}
	return w
}

// deliver takes what was granted to a waiter since out of the outcome.
func (p *Pool) deliver(key string, since int) []*Resource {
	for i, g := range p.granted {
		if i >= since && g.Waiter.key() == key {
			p.granted = slices.Delete(p.granted, i, i+1)
			return g.Resources
		}
	}
	return nil
}

// Granted returns what a request holds: its answer may have been lost on the way. Two owners may use one name for their
// requests, and each gets its own.
func (p *Pool) Granted(c Claim) []*Resource {
	var got []*Resource
	for id := range p.requests[c.Request] {
		if r := p.ByLease(id); r.Owner == c.Owner && r.Lease.Account == c.Account && r.Lease.From == c.From && r.Lease.TTL > 0 {
			got = append(got, r)
		}
	}
	slices.SortFunc(got, func(a, b *Resource) int { return cmp.Compare(a.Name, b.Name) })
	return got
}

// Ahead returns how many are to be served before a claim that waits.
func (p *Pool) Ahead(now time.Time, c Claim) int {
	w := p.waiters[c.key()]
	if w == nil || w.Parked {
		return 0
	}
	return max(p.position(now, w), 0)
}

// Leave tells that the caller of a waiter stopped waiting for the answer. The waiter keeps its place for a while (P-11).
func (p *Pool) Leave(now time.Time, key string) {
	w := p.waiters[key]
	if w == nil || !w.Here {
		return
	}
	c := *w
	c.Here, c.Seen = false, now
	p.setWaiter(key, &c)
	p.alarm(now.Add(p.policy.pollGrace()), alarmWaiter, key)
}

// Withdraw forgets a waiter.
func (p *Pool) Withdraw(now time.Time, key string) {
	w := p.waiters[key]
	if w == nil {
		return
	}
	p.setWaiter(key, nil)
	for _, want := range w.Wants {
		p.match(now, place{want.Type, w.From})
	}
}

// WithdrawRequest forgets what an owner waits for under a name, and returns how many waiters that were.
func (p *Pool) WithdrawRequest(now time.Time, request, owner string) int {
	n := 0
	for _, key := range slices.Sorted(maps.Keys(p.waiters)) {
		if w := p.waiters[key]; w != nil && w.Request == request && w.Owner == owner {
			p.Withdraw(now, key)
			n++
		}
	}
	return n
}

// takeNow serves a claim without a name: from what is left when every waiter who is present has had its turn.
func (p *Pool) takeNow(now time.Time, c Claim) ([]*Resource, error) {
	w := p.nobody(now, c)
	if !p.allowed(w) {
		return nil, &OverQuota{c.Account}
	}
	for _, want := range c.Wants {
		at := place{want.Type, c.From}
		s := p.places[at.typ][at.state]
		if s == nil || s.free.len()-p.wanted(s, at.typ)-p.kept(now, at, c.Account) < want.Count {
			return nil, p.none(c)
		}
	}
	return p.take(now, w), nil
}

// fewWaiters is how many are looked at one by one.
const fewWaiters = 500

// wanted is how many of a type those want who wait at a place, besides those whose account is full. In a long queue these count,
// too.
func (p *Pool) wanted(s *spot, typ string) int {
	n := 0
	if s.queue.len() > fewWaiters {
		return s.queue.wanted
	}
	for _, w := range s.arrival.items {
		if p.allowed(w) {
			n += w.count(typ)
		}
	}
	return n
}

// nobody is a waiter that does not wait.
func (p *Pool) nobody(now time.Time, c Claim) *Waiter {
	return &Waiter{Owner: c.Owner, Holder: c.Holder, Class: c.Class, Wants: c.Wants, From: c.From, To: c.To, TTL: c.TTL, Arrived: now}
}

// serve grants a waiter what it wants; all of it is there.
func (p *Pool) serve(now time.Time, w *Waiter) {
	p.setWaiter(w.key(), nil)
	p.granted = append(p.granted, Granted{w, p.take(now, w)})
}

// take makes the leases of a waiter, from what was used longest ago.
func (p *Pool) take(now time.Time, w *Waiter) []*Resource {
	var got []*Resource
	for _, want := range w.Wants {
		for range want.Count {
			r := p.spot(place{want.Type, w.From}).free.first()
			got = append(got, p.grant(now, r, w))
		}
	}
	return got
}

// epochAt is more than any epoch that a resource can have had under its name before, also where nobody remembers: the
// configuration listed it, then did not, and does again. Nothing is lent a thousand times a second (P-8).
func epochAt(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) }

func (p *Pool) grant(now time.Time, r *Resource, w *Waiter) *Resource {
	n := r.copy()
	n.Owner, n.State, n.Updated = w.Owner, w.To, now
	if n.Epoch == 0 {
		n.Epoch = p.highest // it may have had any of these, and the clock may have gone back
	}
	n.Epoch = max(n.Epoch+1, epochAt(now))
	n.Lease = &Lease{
		ID: p.ids(), Holder: w.Holder, Since: now, TTL: w.TTL, Request: w.Request, From: w.From,
		Charged: p.charge(r.Type, w.Account), Reservation: p.underReservation(now, r, w.Account),
	}
	if w.TTL > 0 {
		n.Lease.Until = now.Add(w.TTL)
	}
	p.setResource(r.Name, n, false)
	p.watch(n, now)
	return n
}

// AcquireByName takes resources by name, all of them or none. All have to be in a state and held by nobody.
func (p *Pool) AcquireByName(now time.Time, c Claim, names []string) ([]*Resource, error) {
	if len(names) == 0 || c.Owner == "" || c.From == "" || c.To == "" || c.From == Quarantined {
		return nil, &Invalid{"names, owner and states have to be set"}
	}
	found := map[string]*Resource{}
	for _, name := range names {
		r := p.resources[name]
		if r == nil || r.Held() || r.State != c.From {
			return nil, &NoneFree{c.From}
		}
		found[name] = r
	}
	order := make([]*Resource, 0, len(found))
	types := map[string]int{}
	for _, r := range found {
		order = append(order, r)
		types[r.Type]++
	}
	if err := p.may(now, c, types); err != nil {
		return nil, err
	}
	slices.SortFunc(order, func(a, b *Resource) int {
		return cmp.Or(a.Updated.Compare(b.Updated), cmp.Compare(a.Name, b.Name))
	})
	w := p.nobody(now, c)
	for i, r := range order {
		order[i] = p.grant(now, r, w)
	}
	return order, nil
}

// may tells whether quotas and reservations leave an account so many of each type.
func (p *Pool) may(now time.Time, c Claim, types map[string]int) error {
	for typ, n := range types {
		quota, limited := p.policy.quota(c.Account, typ)
		if limited && p.share(typ, c.Account).Holds+n > quota {
			return &OverQuota{c.Account}
		}
		at := place{typ, c.From}
		if p.spot(at).free.len()-p.kept(now, at, c.Account) < n {
			return &NoneFree{c.From}
		}
	}
	return nil
}

// none says why a claim got nothing, in Boskos's distinction: a type of which there is nothing is unknown.
func (p *Pool) none(c Claim) error {
	for _, want := range c.Wants {
		if p.types[want.Type] == nil {
			return &UnknownType{want.Type}
		}
	}
	return &NoneFree{c.Wants[0].Type}
}
