// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"maps"
	"slices"
	"time"
)

// A step is one change of the batch under way: what was there before it.
type step struct {
	old  Record // Kind is "" where it is about something that is not stored
	lazy bool
	back func() // in its place then
}

// changed notes a change of an object that is about to happen.
func (p *Pool) changed(old Record, lazy bool) {
	p.steps = append(p.steps, step{old: old, lazy: lazy})
	p.dirty[old.Ref()] = p.dirty[old.Ref()] || !lazy
}

// noted notes a change of something that is not stored.
func (p *Pool) noted(back func()) { p.steps = append(p.steps, step{back: back}) }

// undo takes one step back, with the indexes.
func (p *Pool) undo(s step) {
	key := s.old.Key
	switch s.old.Kind {
	case "":
		s.back()
	case KindResource:
		p.putResource(key, s.old.Resource)
	case KindWaiter:
		p.putWaiter(key, s.old.Waiter)
	case KindShare:
		back := *s.old.Share
		back.Holds = p.share(back.Type, back.Account).Holds
		p.putShare(key, &back)
	case KindDynamic:
		p.putDynamic(key, s.old.Dynamic)
	case KindReservation:
		p.putReservation(key, s.old.Reservation)
	}
}

// savepoint is a moment of the batch under way.
type savepoint struct{ steps, granted, ended int }

func (p *Pool) savepoint() savepoint { return savepoint{len(p.steps), len(p.granted), len(p.ended)} }

// rewind goes back to a moment of the batch from anywhere, also from the middle of an operation that did not get to its end, where
// the indexes may be anything: the tables alone are believed, and the indexes are made anew (P-26).
func (p *Pool) rewind(m savepoint, now time.Time) {
	p.alarms, p.armed = nil, map[alarmID]time.Time{}
	for _, s := range slices.Backward(p.steps[m.steps:]) {
		key := s.old.Key
		switch s.old.Kind {
		case "":
			s.back()
		case KindResource:
			restore(p.resources, key, s.old.Resource)
		case KindWaiter:
			restore(p.waiters, key, s.old.Waiter)
		case KindShare:
			restore(p.shares, key, s.old.Share)
		case KindDynamic:
			restore(p.dynamics, key, s.old.Dynamic)
		case KindReservation:
			restore(p.reservations, key, s.old.Reservation)
		}
	}
	p.steps, p.granted, p.ended = p.steps[:m.steps], p.granted[:m.granted], p.ended[:m.ended]
	clear(p.dirty)
	for _, s := range p.steps {
		if s.old.Kind != "" {
			p.dirty[s.old.Ref()] = p.dirty[s.old.Ref()] || !s.lazy
		}
	}
	p.alarms, p.armed = nil, map[alarmID]time.Time{} // those that the steps set again, too
	p.reindex(now)
}

func restore[T any](table map[string]*T, key string, old *T) {
	if old == nil {
		delete(table, key)
		return
	}
	table[key] = old
}

// reindex makes all that follows from the tables anew. What is due is looked for at once.
func (p *Pool) reindex(now time.Time) {
	resources, waiters, shares := p.resources, p.waiters, p.shares
	p.resources, p.waiters, p.shares = map[string]*Resource{}, map[string]*Waiter{}, map[string]*Share{}
	p.types, p.places, p.pods = map[string]*typeIndex{}, map[string]map[string]*spot{}, map[string]map[string]bool{}
	p.leases, p.past, p.requests, p.taken = map[string]string{}, map[string]string{}, map[string]map[string]bool{}, map[string]int{}
	for _, key := range slices.Sorted(maps.Keys(shares)) {
		s := *shares[key]
		s.Holds = 0 // counted below
		p.putShare(key, &s)
	}
	for _, name := range slices.Sorted(maps.Keys(resources)) {
		p.putResource(name, resources[name])
		p.watch(resources[name], now)
	}
	for _, key := range slices.Sorted(maps.Keys(waiters)) {
		p.putWaiter(key, waiters[key])
		p.alarm(now, alarmWaiter, key)
	}
	for _, id := range slices.Sorted(maps.Keys(p.reservations)) {
		p.alarm(now, alarmReservation, id)
	}
	for _, typ := range slices.Sorted(maps.Keys(p.places)) {
		p.alarm(now, alarmMatch, typ)
	}
	p.alarm(now.Add(pruneEvery), alarmPrune, "")
}

// postpone lets the alarm that went off last go off later: it did not get to its end, and would not at once.
func (p *Pool) postpone(until time.Time) {
	if _, armed := p.armed[p.ringing]; !armed {
		return
	}
	delete(p.armed, p.ringing)
	p.alarm(until, p.ringing.what, p.ringing.key)
}
