// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lease decides who holds which resource of a pool, and who is next.
//
// A Pool is the whole state and nothing but state: it is told the time, it answers at once, and it never fails half way. Its
// operations change it tentatively; whoever owns it takes the changes as records, stores them, and then either keeps or undoes
// them. That owner is a Keeper: one goroutine that gathers the operations of all callers, commits them in one go to a Store
// and answers nobody before. So what was answered is stored, and what could not be stored did not happen.
//
// Nothing here lists everything: resources that can be taken stand in a heap for each type and state, waiters in heaps by
// class and account, and what happens by itself (a lease ends, a waiter gives up) in a heap by time.
//
// The numbered rules (P-1 and on) are in docs/pool.md.
package lease

import (
	"maps"
	"time"
)

// A Resource is one thing that is lent: a project, an account, a machine. Resources are values: a Pool replaces them and never
// changes one that it gave away, so that they may be read from any goroutine.
type Resource struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	State string `json:"state"`
	// Owner is who holds it, in the holder's own words, or "".
	Owner string `json:"owner,omitempty"`
	// Updated is when state or owner changed or the holder last gave a sign of life.
	Updated time.Time `json:"updated,omitzero"`
	// Expires is when a dynamic resource is given up, once nobody holds it.
	Expires time.Time `json:"expires,omitzero"`
	// UserData is what the holders keep with the resource. It outlives a lease.
	UserData map[string]string `json:"userData,omitempty"`
	// Epoch is that of the last lease of this resource, each higher than the one before. A number below it belongs to a lease
	// that has ended (P-8).
	Epoch uint64 `json:"epoch,omitempty"`
	// Lease is there while somebody holds the resource, unless another program wrote the owner.
	Lease *Lease `json:"lease,omitempty"`
	// Last is the lease that ended last, so that the history can be mended after a crash.
	Last *Ended `json:"last,omitempty"`
	// Failures counts cleanings that failed since the last that did not.
	Failures int `json:"failures,omitempty"`
	// Sick is why it is in quarantine, or goes there when its lease ends.
	Sick *Sick `json:"sick,omitempty"`
	// Leaving marks a resource that the configuration has no more and somebody holds.
	Leaving bool `json:"leaving,omitempty"`
}

// Lease is the right to use a resource.
type Lease struct {
	// ID is known to the holder alone; who shows it may renew and release.
	ID string `json:"id"`
	Holder
	// Since is when it began.
	Since time.Time `json:"since"`
	// Until is when it ends unless it is renewed. Zero is a lease of Boskos's interface, which lasts while there are signs of
	// life (P-9).
	Until time.Time `json:"until,omitzero"`
	// TTL is what a renewal adds.
	TTL time.Duration `json:"ttl,omitempty"`
	// Request is the request that it answered.
	Request string `json:"request,omitempty"`
	// From is the state in which the resource was taken.
	From string `json:"from,omitempty"`
	// Reservation is the reservation that it was taken under.
	Reservation string `json:"reservation,omitempty"`
	// Charged is what the account was charged for it in advance, in seconds (P-14).
	Charged float64 `json:"charged,omitempty"`
}

// Holder says for whom something is taken. The zero value is nobody in particular.
type Holder struct {
	// Account is who pays for it in fairness and in the accounts: a team, a job.
	Account string `json:"account,omitempty"`
	// Job and Build name a test run, where one is known.
	Job   string `json:"job,omitempty"`
	Build string `json:"build,omitempty"`
	// Pod is the UID of the pod that uses it; the lease ends with the pod (P-10).
	Pod string `json:"pod,omitempty"`
	// PodNamespace is where the pod was seen. Without it a lease does not end because the pod is not there.
	PodNamespace string `json:"podNamespace,omitempty"`
}

// Ended is a lease in the history.
type Ended struct {
	Lease    string `json:"lease"`
	Epoch    uint64 `json:"epoch"`
	Resource string `json:"resource"`
	Type     string `json:"type"`
	Owner    string `json:"owner"`
	Holder
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Held and Left are the states during and after the lease.
	Held string `json:"held"`
	Left string `json:"left"`
	// Why is how it ended, one of the reasons below; Note is what somebody said about it.
	Why  string `json:"why"`
	Note string `json:"note,omitempty"`
}

// Query chooses leases that ended. Empty fields choose all.
type Query struct {
	Resource, Type, Account, Owner string
	// Since and Until bound when a lease ended: from, and before.
	Since, Until time.Time
}

// Matches tells whether a lease is chosen.
func (q Query) Matches(e *Ended) bool {
	return (q.Resource == "" || q.Resource == e.Resource) && (q.Type == "" || q.Type == e.Type) &&
		(q.Account == "" || q.Account == e.Account) && (q.Owner == "" || q.Owner == e.Owner) &&
		(q.Since.IsZero() || !e.Until.Before(q.Since)) && (q.Until.IsZero() || e.Until.Before(q.Until))
}

// How a lease ends.
const (
	Released    = "released"
	Expired     = "expired"     // the holder gave no sign of life
	PodGone     = "pod gone"    // the pod that used it is no more
	Reset       = "reset"       // somebody called /reset
	Transferred = "transferred" // it went on under another owner
	Forced      = "forced"      // a person released it
	Unclaimed   = "unclaimed"   // nobody was there any more to take the answer
)

// Sick is why a resource is not lent.
type Sick struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Reservation keeps resources of a type free for one account for a time (P-16).
type Reservation struct {
	ID      string    `json:"id"`
	Type    string    `json:"type"`
	Count   int       `json:"count"`
	Account string    `json:"account"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
}

func (r *Reservation) active(now time.Time) bool { return !now.Before(r.From) && now.Before(r.Until) }

// Held tells whether somebody has the resource.
func (r *Resource) Held() bool { return r.Owner != "" }

// copy returns a resource that may be changed. What its pointers lead to may not.
func (r *Resource) copy() *Resource {
	c := *r
	return &c
}

// data returns a copy of the user data that may be changed.
func (r *Resource) data() map[string]string {
	if r.UserData == nil {
		return map[string]string{}
	}
	return maps.Clone(r.UserData)
}

// holder returns for whom a resource is held, also where another program granted it.
func (r *Resource) holder() Holder {
	if r.Lease != nil {
		return r.Lease.Holder
	}
	return Holder{Account: r.Owner}
}
