// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

// The five tables change here and nowhere else, each with its indexes and a note of what was there before (undo.go).

// setResource replaces a resource, or removes it where r is nil. A lazy change is a sign of life.
func (p *Pool) setResource(name string, r *Resource, lazy bool) {
	p.changed(Record{Kind: KindResource, Key: name, Resource: p.resources[name]}, lazy)
	p.putResource(name, r)
}

func (p *Pool) putResource(name string, r *Resource) {
	if old := p.resources[name]; old != nil {
		p.unindex(old)
	}
	if r == nil {
		delete(p.resources, name)
		return
	}
	p.resources[name] = r
	p.index(r)
}

func (p *Pool) index(r *Resource) {
	t := p.types[r.Type]
	if t == nil {
		t = &typeIndex{resources: map[string]bool{}, states: map[string]int{}, owners: map[string]int{}}
		p.types[r.Type] = t
	}
	t.resources[r.Name] = true
	p.highest = max(p.highest, r.Epoch)
	if r.Last != nil && r.Last.Lease != "" {
		p.past[r.Last.Lease] = r.Name
	}
	t.states[r.State]++
	t.owners[r.Owner]++
	if r.condemned() {
		t.leaving++
	}
	if !r.Held() {
		p.spot(place{r.Type, r.State}).free.add(r)
		return
	}
	h := r.holder()
	p.count(r.Type, h.Account, 1)
	if h.Pod != "" {
		if p.pods[h.Pod] == nil {
			p.pods[h.Pod] = map[string]bool{}
		}
		p.pods[h.Pod][r.Name] = true
	}
	if r.Lease != nil {
		p.leases[r.Lease.ID] = r.Name
		p.taken[r.Lease.Reservation]++
		if req := r.Lease.Request; req != "" {
			if p.requests[req] == nil {
				p.requests[req] = map[string]bool{}
			}
			p.requests[req][r.Lease.ID] = true
		}
	}
}

func (p *Pool) unindex(r *Resource) {
	t := p.types[r.Type]
	delete(t.resources, r.Name)
	if r.Last != nil && r.Last.Lease != "" {
		delete(p.past, r.Last.Lease)
	}
	less(t.states, r.State)
	less(t.owners, r.Owner)
	if r.condemned() {
		t.leaving--
	}
	if len(t.resources) == 0 {
		delete(p.types, r.Type)
	}
	if !r.Held() {
		at := place{r.Type, r.State}
		p.spot(at).free.remove(r)
		p.tidy(at)
		return
	}
	h := r.holder()
	p.count(r.Type, h.Account, -1)
	drop(p.pods, h.Pod, r.Name)
	if r.Lease != nil {
		delete(p.leases, r.Lease.ID)
		less(p.taken, r.Lease.Reservation)
		drop(p.requests, r.Lease.Request, r.Lease.ID)
	}
}

// drop takes a member out of a set, and forgets a set that is empty.
func drop(sets map[string]map[string]bool, key, member string) {
	delete(sets[key], member)
	if len(sets[key]) == 0 {
		delete(sets, key)
	}
}

// less counts one less and forgets what is none.
func less(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}

// spot returns a place, which is made when it is first looked for.
func (p *Pool) spot(at place) *spot {
	if p.places[at.typ] == nil {
		p.places[at.typ] = map[string]*spot{}
	}
	s := p.places[at.typ][at.state]
	if s == nil {
		s = &spot{free: newHeap(older), queue: newQueue()}
		p.places[at.typ][at.state] = s
	}
	return s
}

// tidy forgets a place where nothing is: their names come from outside.
func (p *Pool) tidy(at place) {
	if s := p.places[at.typ][at.state]; s == nil || s.free.len() > 0 || s.queue.len() > 0 {
		return
	}
	delete(p.places[at.typ], at.state)
	if len(p.places[at.typ]) == 0 {
		delete(p.places, at.typ)
	}
}

// older orders what can be taken: what was used longest ago comes first (P-4).
func older(a, b *Resource) bool {
	if !a.Updated.Equal(b.Updated) {
		return a.Updated.Before(b.Updated)
	}
	return a.Name < b.Name
}

// count follows how many resources an account holds. It is not stored, so it is no change.
func (p *Pool) count(typ, account string, n int) {
	s := *p.share(typ, account)
	s.Holds += n
	p.putShare(shareKey(typ, account), &s)
}

// share returns what an account has had, which is nothing for one that was never seen.
func (p *Pool) share(typ, account string) *Share {
	if s := p.shares[shareKey(typ, account)]; s != nil {
		return s
	}
	return &Share{Type: typ, Account: account}
}

func (p *Pool) setShare(s *Share) {
	key := shareKey(s.Type, s.Account)
	p.changed(Record{Kind: KindShare, Key: key, Share: p.share(s.Type, s.Account)}, true)
	p.putShare(key, s)
}

// putShare also moves the account's line in every queue for the type.
func (p *Pool) putShare(key string, s *Share) {
	if s.Holds == 0 && s.Spent == 0 {
		delete(p.shares, key)
	} else {
		p.shares[key] = s
	}
	p.reorder(s.Type, s.Account)
}

func (p *Pool) setWaiter(key string, w *Waiter) {
	p.changed(Record{Kind: KindWaiter, Key: key, Waiter: p.waiters[key]}, true)
	p.putWaiter(key, w)
}

func (p *Pool) putWaiter(key string, w *Waiter) {
	if old := p.waiters[key]; old != nil {
		p.dequeue(old)
	}
	if w == nil {
		delete(p.waiters, key)
		return
	}
	p.waiters[key] = w
	p.enqueue(w)
}

func (p *Pool) setDynamic(typ string, d *Dynamic) {
	p.changed(Record{Kind: KindDynamic, Key: typ, Dynamic: p.dynamics[typ]}, false)
	p.putDynamic(typ, d)
}

func (p *Pool) putDynamic(typ string, d *Dynamic) {
	if d == nil {
		delete(p.dynamics, typ)
		return
	}
	p.dynamics[typ] = d
}

func (p *Pool) setReservation(id string, r *Reservation) {
	p.changed(Record{Kind: KindReservation, Key: id, Reservation: p.reservations[id]}, false)
	p.putReservation(id, r)
}

func (p *Pool) putReservation(id string, r *Reservation) {
	if r == nil {
		delete(p.reservations, id)
		return
	}
	p.reservations[id] = r
}
