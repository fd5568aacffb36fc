// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import "context"

// Store keeps a pool. Package leasetest has the suite that every store passes.
type Store interface {
	// Load returns all that was committed and begins an epoch: from now on a Commit of an earlier one fails with ErrDeposed.
	Load(ctx context.Context) (State, Epoch, error)
	// Commit stores all records, or none, and returns when they would survive a crash. After ErrRefused nothing was stored and
	// the store goes on; after any other error nobody knows, and the store has to be loaded again.
	Commit(ctx context.Context, epoch Epoch, records []Record) error
}

// Epoch numbers those who write to a store. A later one is higher.
type Epoch uint64

type sentinel string

func (s sentinel) Error() string { return string(s) }

const (
	// ErrRefused says that a commit was not stored, and that others can be.
	ErrRefused = sentinel("refused by the store")
	// ErrDeposed says that somebody else writes to the store.
	ErrDeposed = sentinel("another process has taken over the pool")
	// ErrStopped says that the keeper does not serve, or not any more.
	ErrStopped = sentinel("the pool is not served")
	// ErrPanicked says that an operation has a fault, and changed nothing.
	ErrPanicked = sentinel("the pool failed at this operation, which changed nothing")
)
