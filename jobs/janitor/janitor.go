// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package janitor is `steward janitor`: it empties the accounts that a pool lends to tests.
//
// It runs once over named accounts, or stays and takes dirty ones from the pool. Before the first delete in an account
// three proofs have to hold (proof.go), and what the repository says of production is never touched (deny.go). What a
// sweep is, and when an account counts as clean, is package sweep's; what there is in an account is that of an adapter,
// which arrives as kinds. The rules are SW-1 … in docs/janitor.md.
package janitor

import (
	"context"
	"io/fs"
	"time"

	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/sweep"
)

// Deps is what the janitor needs from outside.
type Deps struct {
	// OpenCommit reads a revision of a local repository.
	OpenCommit func(ctx context.Context, dir, rev string) (fs.FS, string, func() error, error)
	OpenState  func(ctx context.Context, address string) (state.Store, error)
	// Accounts opens an account, by what it is: settings.AccountProject and the like. What is not here cannot be swept.
	Accounts map[string]OpenAccount
	// OpenPool connects to a pool; nil: this program has no client.
	OpenPool func(ctx context.Context, address string) (Pool, error)
}

// OpenAccount asks who an account is, with the credential that is going to delete, and says what can be in it.
type OpenAccount func(ctx context.Context, r Reach, name string) ([]sweep.Kind, sweep.Account, error)

// Reach is how the clouds are reached.
type Reach struct {
	Endpoint   string        // where it is not the cloud's own
	Credential string        // file; "" is that of the environment
	Rate       float64       // requests a second to one API of one account; 0: what its quota leaves room for
	Poll       time.Duration // before an operation is looked at again; 0: as the cloud likes it
	Parents    []string      // folders that are enough to know: above them nobody need be asked
	Number     string        // of an account of AWS, as the settings have it
	AWS        settings.JanitorAWS
	Endpoints  settings.Endpoints // of Google Cloud, beside production
}

// Pool lends accounts. All methods may be called concurrently.
type Pool interface {
	// Acquire takes a dirty resource of one of the types for cleaning. The error is ErrNothing, wrapped or not, where none
	// is dirty.
	Acquire(ctx context.Context, types []string) (Lease, error)
	// Renew says that the cleaning goes on. The error is ErrLost, wrapped or not, where the lease is somebody else's.
	Renew(ctx context.Context, l Lease) error
	// Release gives it back as free or dirty, with the reason why it is not clean. It may be repeated.
	Release(ctx context.Context, l Lease, to, reason string) error
}

// Lease is the right to clean one resource.
type Lease struct {
	Name, Type string
	ID         string        // what the pool knows it by
	TTL        time.Duration // without a renewal; 0: not known
}

// States of a resource that is given back.
const (
	Free  = "free"
	Dirty = "dirty"
)

type sentinel string

func (s sentinel) Error() string { return string(s) }

// What a Pool answers.
const (
	ErrNothing = sentinel("nothing is dirty")
	ErrLost    = sentinel("the lease is lost")
)
