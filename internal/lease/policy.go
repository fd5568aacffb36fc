// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"time"
)

// Policy is what a community decides about its pool. The zero value of a field is its default.
type Policy struct {
	// FIFO serves waiters of a class in the order in which they came, whatever their account, as Boskos does.
	FIFO bool
	// Classes names the priority classes, most urgent first. A waiter of a class that is not named comes after all of them.
	Classes []string
	// Aging is how long a waiter waits before it goes ahead of every class and account: 30 minutes.
	Aging time.Duration
	// RequestTTL is how long a waiter that does not ask again keeps its place: 30 seconds.
	RequestTTL time.Duration
	// PollGrace is how long it also keeps others from what it could have had: 5 seconds. Boskos has no such limit; then it is
	// the RequestTTL.
	PollGrace time.Duration
	// Idle ends a lease of Boskos's interface after a time without a sign of life: 30 minutes, or Never.
	Idle time.Duration
	// SickAfter is how many cleanings of a resource may fail in a row before it goes to quarantine: 5, or none below zero.
	SickAfter int
	// Accounts holds those that are not like others. Key "" is the default.
	Accounts map[string]Account
}

// Never switches a time limit off.
const Never time.Duration = -1

// Account is what one account may have.
type Account struct {
	// Weight is its share beside others that wait: 1.
	Weight float64
	// Quota is how many resources of a type it may hold at once. A type that is not named has no limit.
	Quota map[string]int
}

func (p Policy) aging() time.Duration      { return cmp.Or(p.Aging, 30*time.Minute) }
func (p Policy) requestTTL() time.Duration { return cmp.Or(p.RequestTTL, 30*time.Second) }
func (p Policy) pollGrace() time.Duration {
	return min(cmp.Or(p.PollGrace, 5*time.Second), p.requestTTL())
}
func (p Policy) idle() time.Duration { return cmp.Or(p.Idle, 30*time.Minute) }
func (p Policy) sickAfter() int      { return cmp.Or(p.SickAfter, 5) }

func (p Policy) account(name string) Account {
	if a, ok := p.Accounts[name]; ok {
		return a
	}
	return p.Accounts[""]
}

func (p Policy) weight(account string) float64 { return cmp.Or(p.account(account).Weight, 1) }

// quota returns how many resources of a type an account may hold.
func (p Policy) quota(account, typ string) (int, bool) {
	n, ok := p.account(account).Quota[typ]
	return n, ok
}

// class returns the rank of a class: 0 is the most urgent.
func (p Policy) class(name string) int {
	for i, c := range p.Classes {
		if c == name {
			return i
		}
	}
	return len(p.Classes)
}
