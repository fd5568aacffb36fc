// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

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

// mover is who changes a state.
type mover string

const (
	taker  mover = "who takes it"
	holder mover = "who gives it back"
	keeper mover = "the pool" // a lease that ends by itself, what is given up, what failed too often
	person mover = "a person"
)

// A transition is one usual change of a state: who makes it, and what it says.
type transition struct {
	from, to string
	by       mover
	what     string
}

// anything stands for all states in a transition.
const anything = "*"

// transitions is the life of a resource, whole. It forbids nothing: as with Boskos, whoever takes a resource or gives it back names
// the state, and any text will do. What is not in here is done as ever, and flagged (P-3).
func transitions() [24]transition {
	return [...]transition{
		{Free, Busy, taker, "it is lent"},
		{Free, LeasedState, taker, "it is to be a part of another resource"},
		{Dirty, Cleaning, taker, "a janitor takes it"},
		{NoSchedule, Cleaning, taker, "a janitor looks at it again"},
		{ToBeDeleted, Cleaning, taker, "a cleaner takes it apart"},
		{Busy, Dirty, holder, "it was used"},
		{Busy, Free, holder, "it was not, or is clean again"},
		{Cleaning, Free, holder, "it is clean"},
		{Cleaning, Dirty, holder, "it could not be cleaned"},
		{Cleaning, NoSchedule, holder, "it is not to be used"},
		{Cleaning, ToBeDeleted, holder, "it could not be taken apart"},
		{Cleaning, Tombstone, holder, "it was taken apart"},
		{LeasedState, Dirty, holder, "the other resource is no more"},
		{LeasedState, Free, holder, "it was not needed"},
		{Busy, Dirty, keeper, "its holder gave no sign of life, or its pod has ended"},
		{Cleaning, Dirty, keeper, "its cleaner gave no sign of life"},
		{LeasedState, Dirty, keeper, "its holder gave no sign of life"},
		{anything, ToBeDeleted, keeper, "a dynamic resource has expired, or is too many"},
		{anything, Quarantined, keeper, "it could not be cleaned too often"},
		{anything, Quarantined, person, "it is sick"},
		{Quarantined, Dirty, person, "it is healed"},
		{Quarantined, Free, person, "it is healed, and clean"},
		{Busy, Dirty, person, "its lease is ended by force"},
		{Cleaning, Dirty, person, "its lease is ended by force"},
	}
}

// Known tells whether a state means something to a pool. A typing error in a state strands a resource where nobody looks
// (boskos#203), so it is flagged, and answered as ever.
func Known(state string) bool {
	for _, t := range transitions() {
		if t.from == state || t.to == state {
			return state != anything
		}
	}
	return false
}

// usual tells whether the table has a change of state, by somebody or, with "", by anybody. What comes back from a state that means
// nothing is where it belongs.
func usual(from, to string, by mover) bool {
	if !Known(from) {
		return by == "" && Known(to)
	}
	for _, t := range transitions() {
		if (t.from == from || t.from == anything) && t.to == to && (by == "" || by == t.by) {
			return true
		}
	}
	return false
}

// Unusual says what is odd about a resource's state, or how it got there; "" is as it should be.
func (r *Resource) Unusual() string {
	switch {
	case !Known(r.State):
		return "the pool does not know this state: nobody cleans it, and only who asks for it by name gets it"
	case r.Held() && r.Lease != nil && Known(r.Lease.From) && !usual(r.Lease.From, r.State, taker):
		return "it was taken from " + r.Lease.From + " into " + r.State + ", which no table has"
	case !r.Held() && r.Last != nil && r.Last.Left == r.State && r.Last.Why != Unclaimed && !usual(r.Last.Held, r.State, ""):
		return "it went from " + r.Last.Held + " to " + r.State + ", which no table has"
	}
	return ""
}
