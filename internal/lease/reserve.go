// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxReservations bounds how many a pool keeps.
const MaxReservations = 1000

// Reserve keeps resources free for an account in a window. Nobody is driven out: what is given back from the beginning of the
// window on is kept until the account has what it reserved.
func (p *Pool) Reserve(now time.Time, r Reservation) (*Reservation, error) {
	switch {
	case r.Type == "" || r.Account == "" || r.By == "" || r.Reason == "":
		return nil, &Invalid{"a reservation needs a type, an account, a name and a reason"}
	case r.Count < 1 || r.Count > MaxResources:
		return nil, &Invalid{"at least one resource has to be reserved"}
	case !r.Until.After(r.From) || !r.Until.After(now):
		return nil, &Invalid{"the window of a reservation has to end after it begins, and not in the past"}
	case p.types[r.Type] == nil && p.dynamics[r.Type] == nil:
		return nil, &UnknownType{r.Type}
	case len(p.reservations) >= MaxReservations:
		return nil, &Invalid{"there are too many reservations"}
	}
	if size, taken := p.size(r.Type), p.promised(r); p.dynamics[r.Type] == nil && r.Count+taken > size {
		return nil, &Invalid{fmt.Sprintf("more of %s than there are: %d, of which %d are reserved by others in the window", r.Type, size, taken)}
	}
	r.ID = p.ids()
	p.setReservation(r.ID, &r)
	p.alarm(r.Until, alarmReservation, r.ID)
	return &r, nil
}

// promised returns how many of a type are reserved at once by others in a window: of two reservations that cannot both be kept,
// neither account would get anything.
func (p *Pool) promised(r Reservation) (most int) {
	begins := []time.Time{r.From}
	for _, o := range p.reservations {
		if o.Type == r.Type && o.From.After(r.From) && o.From.Before(r.Until) {
			begins = append(begins, o.From)
		}
	}
	for _, at := range begins {
		n := 0
		for _, o := range p.reservations {
			if o.Type == r.Type && o.active(at) {
				n += o.Count
			}
		}
		most = max(most, n)
	}
	return most
}

// Cancel ends a reservation. Leases that were taken under it go on.
func (p *Pool) Cancel(now time.Time, id string) error {
	r := p.reservations[id]
	if r == nil {
		return &NoneFree{id}
	}
	p.setReservation(id, nil)
	p.match(now, place{r.Type, Free})
	return nil
}

// reserved forgets a reservation whose time is over.
func (p *Pool) reserved(now time.Time, id string) {
	r := p.reservations[id]
	switch {
	case r == nil:
	case now.Before(r.Until):
		p.alarm(r.Until, alarmReservation, id)
	default:
		p.setReservation(id, nil)
		p.match(now, place{r.Type, Free})
	}
}

// kept returns how many of what is free at a place reservations keep from an account.
func (p *Pool) kept(now time.Time, at place, account string) int {
	if at.state != Free || len(p.reservations) == 0 {
		return 0
	}
	n := 0
	for _, r := range p.reservations {
		if r.Type == at.typ && r.Account != account && r.active(now) {
			n += max(r.Count-p.taken[r.ID], 0)
		}
	}
	return n
}

// underReservation names the reservation that a lease counts against.
func (p *Pool) underReservation(now time.Time, taken *Resource, account string) string {
	if taken.State != Free || len(p.reservations) == 0 {
		return ""
	}
	for _, id := range slices.Sorted(maps.Keys(p.reservations)) {
		r := p.reservations[id]
		if r.Type == taken.Type && r.Account == account && r.active(now) && p.taken[id] < r.Count {
			return id
		}
	}
	return ""
}
