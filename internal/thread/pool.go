// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import "time"

// PoolCall is one change of the compute pool in the name of a person, one per Key. Done twice it does no more than once: it
// names the lease that is meant, ends at a time instead of after one, and says in For by which comment it was asked for.
type PoolCall struct {
	Key  string // begins with the name of the plugin and a slash
	Verb PoolVerb
	// Resource is what it is about; for Unreserve the id of a reservation.
	Resource string
	Epoch    uint64 // of the lease that is meant; 0 where none is
	// Type, Count, Account and From are for Reserve, Until for that and for Extend.
	Type, Account string
	Count         int
	From, Until   time.Time
	Reason        string
	For           string // who asks, and where; plain text for the pool's history
}

// PoolVerb is what is done.
type PoolVerb string

// The verbs of PoolCall.
const (
	PoolRelease    PoolVerb = "release"
	PoolExtend     PoolVerb = "extend"
	PoolReserve    PoolVerb = "reserve"
	PoolUnreserve  PoolVerb = "unreserve"
	PoolQuarantine PoolVerb = "quarantine"
	PoolHeal       PoolVerb = "heal"
)

func (PoolCall) isAction() {}

// CallPool has the pool do it.
type CallPool struct{ PoolCall }

func (CallPool) isWrite() {}

// poolText is the longest text that a call carries, in characters: the pool takes 1,024 bytes.
const poolText = 250

// plain is the call as it is sent: texts of one line, and not too long for the pool.
func (c PoolCall) plain() PoolCall {
	c.Reason = clipRunes(plainLine(c.Reason), poolText)
	c.For = clipRunes(plainLine(c.For), poolText)
	return c
}
