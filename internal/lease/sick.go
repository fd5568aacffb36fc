// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"time"
)

// judge counts what a cleaning came to, and sends to quarantine what failed too often or was marked meanwhile (P-17). was is
// the resource during the lease, n after it. A cleaner that vanished says nothing about the resource.
func (p *Pool) judge(now time.Time, was, n *Resource, why, note string) {
	if was.State == Cleaning && why == Released {
		switch n.State {
		case Free:
			n.Failures = 0
		case Dirty:
			n.Failures++
		}
	}
	limit := p.policy.sickAfter()
	if n.Sick == nil && n.State == Dirty && limit > 0 && n.Failures >= limit {
		reason := fmt.Sprintf("%d cleanings failed", n.Failures)
		if note != "" {
			reason += ", the last one: " + note
		}
		n.Sick = &Sick{Reason: reason, By: "steward", At: now}
	}
	if n.Sick != nil && n.State != Tombstone {
		n.State = Quarantined
	}
}

// Quarantine takes a resource out of use: now, or when its lease ends.
func (p *Pool) Quarantine(now time.Time, name, reason, by string) (*Resource, error) {
	r := p.resources[name]
	switch {
	case r == nil:
		return nil, &NoneFree{name}
	case reason == "" || by == "":
		return nil, &Invalid{"a quarantine needs a reason and a name"}
	}
	n := r.copy()
	n.Sick = &Sick{reason, by, now}
	if !n.Held() {
		n.State, n.Updated = Quarantined, now
	}
	p.setResource(name, n, false)
	return n, nil
}

// Heal takes a resource out of quarantine into a state. Its failures are forgotten.
func (p *Pool) Heal(now time.Time, name, to string) (*Resource, error) {
	r := p.resources[name]
	switch {
	case r == nil:
		return nil, &NoneFree{name}
	case r.Sick == nil && r.State != Quarantined:
		return nil, &Invalid{name + " is not in quarantine"}
	}
	n := r.copy()
	n.Sick, n.Failures = nil, 0
	if r.Held() {
		p.setResource(name, n, false)
		return n, nil
	}
	n.State, n.Updated = to, now
	p.setResource(name, n, false)
	p.freed(now, n)
	return n, nil
}
