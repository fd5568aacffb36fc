// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import "slices"

// The states that mean something to a pool. Holders may use any other name: it is kept, lent by that name, and counted as
// unknown (P-3).
const (
	Free        = "free"
	Busy        = "busy"
	Dirty       = "dirty"
	Cleaning    = "cleaning"
	LeasedState = "leased"      // held to build another resource from it
	ToBeDeleted = "toBeDeleted" // a dynamic resource that a cleaner takes apart
	Tombstone   = "tombstone"   // taken apart; the pool forgets it
	Quarantined = "quarantined"
	NoSchedule  = "noSchedule" // set by the janitor of IBM's cloud
)

// transitions says what each state is usually followed by. Nothing is refused for it: what is not here is answered as ever
// and flagged, because a typing error in a state strands a resource where nobody looks (boskos#203).
func transitions() map[string][]string {
	return map[string][]string{
		Free:        {Busy, LeasedState, Dirty, ToBeDeleted, Quarantined, NoSchedule},
		Busy:        {Free, Dirty, Quarantined},
		Dirty:       {Cleaning, Free, Quarantined, ToBeDeleted, Busy},
		Cleaning:    {Free, Dirty, Quarantined, NoSchedule, Tombstone, ToBeDeleted},
		LeasedState: {Free, Dirty, Quarantined},
		ToBeDeleted: {Cleaning, Tombstone, Quarantined},
		Tombstone:   {},
		Quarantined: {Dirty, Free, Busy},
		NoSchedule:  {Cleaning, Free, Dirty, Quarantined},
	}
}

// Unusual says what is odd about going from one state to another, or "".
func Unusual(from, to string) string {
	table := transitions()
	next, known := table[from]
	if _, ok := table[to]; !ok {
		return "unknown state " + to
	}
	if !known || from == to || slices.Contains(next, to) {
		return ""
	}
	return from + " is not followed by " + to
}

// Known tells whether a state means something to a pool.
func Known(state string) bool {
	_, ok := transitions()[state]
	return ok
}
