// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	stdheap "container/heap"
	"maps"
	"slices"
	"time"
)

// An alarm is a time at which something may have to happen by itself. It is a hint: what is due is read from the object
// when the alarm goes off, so that a lease that was renewed, or a change that was undone, leaves nothing to be removed.
type alarm struct {
	at time.Time
	alarmID
}

type alarmID struct {
	what alarmKind
	key  string
}

type alarmKind int

const (
	alarmLease       alarmKind = iota // of a resource: its lease ends, or it expires
	alarmWaiter                       // its grace or its time is over
	alarmReservation                  // it begins or ends
	alarmMatch                        // somebody may be served at a place
	alarmPrune                        // accounts may be forgotten
)

// pruneEvery is how often accounts that mean nothing any more are forgotten.
const pruneEvery = 10 * time.Minute

type alarms []alarm

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a alarms) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *alarms) Push(x any)        { *a = append(*a, x.(alarm)) }

func (a *alarms) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// alarm sets an alarm. Of several for one object the earliest counts.
func (p *Pool) alarm(at time.Time, what alarmKind, key string) {
	id := alarmID{what, key}
	if set, ok := p.armed[id]; ok && !set.After(at) {
		return
	}
	p.armed[id] = at
	stdheap.Push(&p.alarms, alarm{at, id})
}

// Next is when Tick has something to do.
func (p *Pool) Next() (time.Time, bool) {
	if len(p.alarms) == 0 {
		return time.Time{}, false
	}
	return p.alarms[0].at, true
}

// Tick does what is due, at most so many alarms at once that a batch stays small. Whatever it leaves is due at once.
func (p *Pool) Tick(now time.Time) {
	for range maxAlarms {
		if !p.tick(now) {
			return
		}
	}
}

// maxAlarms bounds how many alarms go off in one batch.
const maxAlarms = 1000

// tick lets the first alarm go off, if it is due.
func (p *Pool) tick(now time.Time) bool {
	if len(p.alarms) == 0 || p.alarms[0].at.After(now) {
		return false
	}
	a := stdheap.Pop(&p.alarms).(alarm)
	if p.armed[a.alarmID].Equal(a.at) {
		delete(p.armed, a.alarmID)
		p.noted(func() { p.alarm(a.at, a.what, a.key) })
		p.ringing = a.alarmID
		p.ring(now, a)
	}
	return true
}

func (p *Pool) ring(now time.Time, a alarm) {
	switch a.what {
	case alarmLease:
		p.lapse(now, a.key)
	case alarmWaiter:
		p.gone(now, a.key)
	case alarmReservation:
		p.reserved(now, a.key)
	case alarmMatch:
		for _, state := range slices.Sorted(maps.Keys(p.places[a.key])) {
			p.match(now, place{a.key, state})
		}
	case alarmPrune:
		p.prune()
		p.alarm(now.Add(pruneEvery), alarmPrune, "")
	}
}

// watch sets the alarm of a resource.
func (p *Pool) watch(r *Resource, now time.Time) {
	if r == nil {
		return
	}
	if at, ok := p.due(r); ok {
		p.alarm(later(at, now), alarmLease, r.Name)
	}
}

// due is when a lease ends by itself, or a resource that nobody holds expires.
func (p *Pool) due(r *Resource) (time.Time, bool) {
	switch {
	case !r.Held():
		return r.Expires, !r.Expires.IsZero() && r.State != ToBeDeleted && r.State != Tombstone
	case r.Lease != nil && !r.Lease.Until.IsZero():
		return r.Lease.Until, true
	case p.policy.idle() > 0 && reaped(r.State):
		return later(r.Updated, p.born).Add(p.policy.idle()), true
	}
	return time.Time{}, false
}

// reaped tells whether a lease of Boskos's interface ends without a sign of life: in the states that Boskos's reaper knows.
func reaped(state string) bool { return usual(state, Dirty, keeper) }

// lapse ends a lease whose time is over, or gives up a dynamic resource.
func (p *Pool) lapse(now time.Time, name string) {
	r := p.resources[name]
	if r == nil {
		return
	}
	at, ok := p.due(r)
	switch {
	case !ok:
	case at.After(now):
		p.alarm(at, alarmLease, name)
	case r.Held():
		p.end(now, r, Dirty, Expired, "")
	default:
		p.tended(now, r)
	}
}

// gone parks a waiter that has been away for its grace, and forgets one that has been away for good.
func (p *Pool) gone(now time.Time, key string) {
	w := p.waiters[key]
	if w == nil || w.Here {
		return
	}
	switch {
	case !now.Before(w.Seen.Add(p.policy.requestTTL())):
		p.Withdraw(now, key)
	case !now.Before(w.Seen.Add(p.policy.pollGrace())):
		if !w.Parked {
			c := *w
			c.Parked = true
			p.setWaiter(key, &c)
			for _, want := range w.Wants {
				p.match(now, place{want.Type, w.From})
			}
		}
		p.alarm(w.Seen.Add(p.policy.requestTTL()), alarmWaiter, key)
	default:
		p.alarm(w.Seen.Add(p.policy.pollGrace()), alarmWaiter, key)
	}
}
