// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/steward/internal/state"
)

// hold is the lock of a run (AU-9). The zero value with a ctx is no lock.
type hold struct {
	ctx  context.Context //nolint:containedctx // it ends when the lock is lost
	held *state.Hold
}

func acquire(ctx context.Context, s state.Store, ttl time.Duration, tell func(string)) (*hold, error) {
	held, err := state.Take(ctx, s, lockKey, ttl, tell)
	if err != nil {
		return nil, fmt.Errorf("flag --state: %w", err)
	}
	return &hold{held.Context(), held}, nil
}

// lost returns an error where somebody else has the lock by now.
func (h *hold) lost() error {
	if h.held == nil {
		return nil
	}
	return h.held.Lost()
}

// release gives the lock back.
func (h *hold) release() error {
	if h.held == nil {
		return nil
	}
	return h.held.Release()
}
