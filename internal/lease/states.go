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

// Known tells whether a state means something to a pool. A typing error in a state strands a resource where nobody looks
// (boskos#203), so it is flagged, and answered as ever.
func Known(state string) bool {
	switch state {
	case Free, Busy, Dirty, Cleaning, LeasedState, ToBeDeleted, Tombstone, Quarantined, NoSchedule:
		return true
	}
	return false
}
