// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Turns are given by start-time fair queueing (Goyal, Vin and Cheng, 1996), in the currency of lease time divided by weight: a
// grant is charged in advance with what a lease of the type usually lasts, and corrected when the lease ends. An account that
// comes new, or back, starts where the account stood that was served last, so that nobody saves up turns by not asking.

// turn is what the fairness of one type remembers.
type turn struct {
	floor float64 // what the account had spent that was served last
	usual float64 // how long a lease lasts, in seconds: a moving average
}

// turnChanged returns a turn that is about to change.
func (p *Pool) turnChanged(typ string) *turn {
	t := p.turn(typ)
	old := *t
	p.noted(func() { *t = old })
	return t
}

// firstGuess is how long a lease lasts as long as none has ended.
const firstGuess = 3600

func (p *Pool) turn(typ string) *turn {
	t := p.turns[typ]
	if t == nil {
		t = &turn{usual: firstGuess}
		p.turns[typ] = t
	}
	return t
}

// resumeTurns finds where an account starts that a new pool has not seen: not behind those who wait or hold.
func (p *Pool) resumeTurns() {
	least := map[string]float64{}
	for _, s := range p.shares {
		if old, ok := least[s.Type]; (!ok || s.Spent < old) && (s.Holds > 0 || s.Spent > 0) {
			least[s.Type] = s.Spent
		}
	}
	for typ, floor := range least {
		p.turn(typ).floor = floor
	}
}

// join brings an account to the floor when it begins to wait.
func (p *Pool) join(typ, account string) {
	t, s := p.turns[typ], *p.share(typ, account)
	if t == nil || s.Holds > 0 || s.Spent >= t.floor {
		return
	}
	s.Spent = t.floor
	p.setShare(&s)
}

// charge takes a lease's usual time from an account in advance and returns the seconds.
func (p *Pool) charge(typ, account string) float64 {
	t := p.turnChanged(typ)
	s := *p.share(typ, account)
	t.floor = max(t.floor, s.Spent)
	s.Spent += t.usual / p.policy.weight(account)
	p.setShare(&s)
	return t.usual
}

// settle corrects the charge of a lease that ended, and what is usual.
// One that nobody was there to take was none.
func (p *Pool) settle(typ string, l *Lease, held time.Duration, why string) {
	t := p.turnChanged(typ)
	seconds := max(held.Seconds(), 0)
	s := *p.share(typ, l.Account)
	s.Spent += (seconds - l.Charged) / p.policy.weight(l.Account)
	p.setShare(&s)
	if why == Unclaimed {
		return
	}
	t.usual = math.Max(1e-3, t.usual+(seconds-t.usual)/8)
}

// prune forgets accounts that could not be told from new ones. Owners of tests come by the thousand.
func (p *Pool) prune() {
	waiting, contended := map[string]bool{}, map[string]bool{}
	for _, w := range p.waiters {
		for _, want := range w.Wants {
			waiting[shareKey(want.Type, w.Account)] = true
			contended[want.Type] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.shares)) {
		s := p.shares[key]
		if t := p.turn(s.Type); !contended[s.Type] {
			t.floor = max(t.floor, s.Spent) // where nobody waits, nobody is behind
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.shares)) {
		if s := p.shares[key]; s.Holds == 0 && s.Spent <= p.turn(s.Type).floor && !waiting[key] {
			p.setShare(&Share{Type: s.Type, Account: s.Account})
		}
	}
}
