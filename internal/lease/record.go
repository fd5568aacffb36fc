// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"strings"
	"time"
)

// Record is one object of the pool after a change: exactly one of the pointers is set, unless Gone is, in which case Kind and
// Key say what is no more. A Store keeps the last record of each object.
type Record struct {
	Kind Kind   `json:"kind"`
	Key  string `json:"key"`
	Gone bool   `json:"gone,omitempty"`
	// Lazy marks what a store may write late, and lose in a crash: signs of life, places in the queue, shares. Neither a
	// lease nor its end is ever lazy (P-20).
	Lazy bool `json:"-"`

	Resource    *Resource    `json:"resource,omitempty"`
	Waiter      *Waiter      `json:"waiter,omitempty"`
	Share       *Share       `json:"share,omitempty"`
	Dynamic     *Dynamic     `json:"dynamic,omitempty"`
	Reservation *Reservation `json:"reservation,omitempty"`
}

// Kind says what a record is about.
type Kind string

// The kinds of objects. A key is unique within its kind.
const (
	KindResource    Kind = "resource"    // by name
	KindWaiter      Kind = "waiter"      // by key of the waiter
	KindShare       Kind = "share"       // by type and account
	KindDynamic     Kind = "dynamic"     // by type
	KindReservation Kind = "reservation" // by id
)

// State is what a Store holds: the last record of every object, in any order.
type State []Record

// Ref names one object.
type Ref struct {
	Kind Kind
	Key  string
}

// Ref names the object of a record.
func (r Record) Ref() Ref { return Ref{r.Kind, r.Key} }

// Compare orders references by kind, then key.
func (r Ref) Compare(other Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, other.Kind), cmp.Compare(r.Key, other.Key))
}

// Waiter is somebody who asked and did not get.
type Waiter struct {
	// Request is the caller's name of the request. Asking again with it keeps the place.
	Request string `json:"request"`
	Owner   string `json:"owner"`
	Holder
	Class string `json:"class,omitempty"`
	Wants []Want `json:"wants"`
	// From and To are the states before and after.
	From string        `json:"from"`
	To   string        `json:"to"`
	TTL  time.Duration `json:"ttl,omitempty"`
	// Seq orders waiters by arrival; Arrived is when.
	Seq     uint64    `json:"seq"`
	Arrived time.Time `json:"arrived"`
	// Seen is when it asked last, or stopped waiting for the answer.
	Seen time.Time `json:"seen"`
	// Here is set while the caller waits for the answer.
	Here bool `json:"-"`
	// Parked is set while it has been away for longer than its grace: nothing is kept for it.
	Parked bool `json:"-"`
}

// Want is how many resources of a type are wanted at once.
type Want struct {
	Type  string `json:"type"`
	Count int    `json:"count"`
}

// key names a waiter: the same request may wait for other things under the same name.
// On Boskos's interface the name alone keeps the place; on the newer one it is the owner's.
func (w *Waiter) key() string {
	return waiterKey(w.Request, w.From, w.Wants, w.TTL, w.Owner, w.Account)
}

func (c *Claim) key() string { return waiterKey(c.Request, c.From, c.Wants, c.TTL, c.Owner, c.Account) }

func waiterKey(request, from string, wants []Want, ttl time.Duration, owner, account string) string {
	parts := []string{from, request}
	if ttl > 0 {
		parts = append(parts, owner, account)
	}
	for _, want := range wants {
		parts = append(parts, want.Type)
	}
	return strings.Join(parts, "\x1f") // a unit separator: nobody has one in a name
}

// count returns how many of a type a waiter wants.
func (w *Waiter) count(typ string) int {
	for _, want := range w.Wants {
		if want.Type == typ {
			return want.Count
		}
	}
	return 0
}

// Share is what an account has had of a type, in the currency by which turns are given (P-14).
type Share struct {
	Type    string `json:"type"`
	Account string `json:"account"`
	// Spent is the time it held resources of this type, in seconds divided by its weight. Only differences count.
	Spent float64 `json:"spent"`
	// Holds is how many it holds now. It follows from the resources and is not stored.
	Holds int `json:"-"`
}

func shareKey(typ, account string) string { return typ + "/" + account }
