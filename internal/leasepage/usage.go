// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"cmp"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// The window of what was used, in steps of an hour.
const (
	Window  = 7 * 24 * time.Hour
	step    = time.Hour
	buckets = int(Window / step)
)

// The bounds of what is added up.
const (
	maxLeases = 1_000_000
	maxPayers = 50_000
)

// Usage is how much of a pool was lent in the last days. It is fed with the leases that ended and those that run.
type Usage struct {
	now, start time.Time
	first      time.Time // when the first lease that is known began
	leases     int
	types      map[string]*course
	accounts   map[string]float64 // lease-hours in the window
	known      map[string]bool    // resources that were lent
}

// course is the lease-hours of one type in each step.
type course struct{ used, cleaned [buckets]float64 }

// NewUsage begins to add up.
func NewUsage(now time.Time) *Usage {
	return &Usage{
		now: now, start: now.Truncate(step).Add(step - Window),
		types: map[string]*course{}, accounts: map[string]float64{}, known: map[string]bool{},
	}
}

// Start is the beginning of the window: leases that ended before do not count.
func (u *Usage) Start() time.Time { return u.start }

// Ended takes a lease that ended, and tells whether it wants more.
func (u *Usage) Ended(e *lease.Ended) bool {
	u.known[e.Resource] = true
	u.add(e.Type, cmp.Or(e.Account, e.Owner), e.Held, e.Since, e.Until)
	return u.leases < maxLeases
}

// Running takes the leases of a pool that run.
func (u *Usage) Running(p *Pool) {
	for _, t := range p.Types {
		for _, r := range t.Resources {
			if r.Held() {
				u.add(r.Type, account(r), r.State, since(r), u.now)
			}
		}
	}
}

// Lent tells whether a resource was lent in the window, although the pool may have it no more.
func (u *Usage) Lent(resource string) bool { return u.known[resource] }

func (u *Usage) add(typ, account, state string, from, until time.Time) {
	u.leases++
	if u.first.IsZero() || from.Before(u.first) {
		u.first = from
	}
	if from.Before(u.start) {
		from = u.start
	}
	if until.After(u.now) {
		until = u.now
	}
	if !until.After(from) {
		return
	}
	if _, seen := u.accounts[account]; !seen && len(u.accounts) >= maxPayers {
		account = ""
	}
	u.accounts[account] += until.Sub(from).Hours()
	c := u.types[typ]
	if c == nil {
		c = &course{}
		u.types[typ] = c
	}
	into := &c.used
	if state == lease.Cleaning {
		into = &c.cleaned
	}
	for i := int(from.Sub(u.start) / step); i < buckets; i++ {
		end := u.start.Add(time.Duration(i+1) * step)
		if !until.After(end) {
			into[i] += until.Sub(from).Hours()
			return
		}
		into[i] += end.Sub(from).Hours()
		from = end
	}
}

// begin is the first step of which anything is known: before the first lease there is nothing to draw (PG-4).
func (u *Usage) begin() int {
	if u.first.IsZero() {
		return buckets
	}
	return min(max(int(u.first.Sub(u.start)/step), 0), buckets)
}

// length is how much of a step has passed, in hours.
func (u *Usage) length(i int) float64 {
	begun := u.start.Add(time.Duration(i) * step)
	return min(u.now.Sub(begun), step).Hours()
}
