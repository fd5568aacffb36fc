// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import "fmt"

// The errors of the operations. The first four have the words of Boskos, which its clients look for.

// UnknownType says that the pool has nothing of a type.
type UnknownType struct{ Type string }

func (e *UnknownType) Error() string { return fmt.Sprintf("resource type %q does not exist", e.Type) }

// NoneFree says that nothing can be taken now. What is a type, a name or a state, as in Boskos.
type NoneFree struct{ What string }

func (e *NoneFree) Error() string {
	return fmt.Sprintf("no available resource %s, try again later.", e.What)
}

// NotOwner says that somebody else, or nobody, holds a resource.
type NotOwner struct{ Asked, Owner string }

func (e *NotOwner) Error() string {
	return fmt.Sprintf("owner mismatch request by %s, currently owned by %s", e.Asked, e.Owner)
}

// WrongState says in which state a resource is.
type WrongState struct{ State, Asked string }

func (e *WrongState) Error() string {
	return fmt.Sprintf("state mismatch - expected %v, current %v", e.State, e.Asked)
}

// NeedsLease says that a lease of the newer interface is given back or renewed with its id only.
type NeedsLease struct{ Resource string }

func (e *NeedsLease) Error() string {
	return fmt.Sprintf("%s was taken over /v1: say which lease is meant, by its id", e.Resource)
}

// TooLarge says that something has more bytes than the pool keeps.
type TooLarge struct{ Problem string }

func (e *TooLarge) Error() string { return e.Problem }

// Stale says that a lease has ended: its id or epoch is not that of the present lease.
type Stale struct{ Resource string }

func (e *Stale) Error() string { return fmt.Sprintf("the lease of %s has ended", e.Resource) }

// Invalid says what is wrong with a request.
type Invalid struct{ Problem string }

func (e *Invalid) Error() string { return e.Problem }

// OverQuota says that an account holds all that it may.
type OverQuota struct{ Account string }

func (e *OverQuota) Error() string { return fmt.Sprintf("account %s holds all that it may", e.Account) }

// Full says that no more waiters are taken.
type Full struct{ Waiters int }

func (e *Full) Error() string { return fmt.Sprintf("%d requests wait already", e.Waiters) }
