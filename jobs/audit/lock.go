// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/state"
)

// hold is a lock that is renewed (AU-9). The zero value with a ctx is no lock.
type hold struct {
	ctx     context.Context // ends when the lock is lost
	lock    *state.Lock
	ttl     time.Duration
	stop    chan struct{}
	stopped chan struct{}
}

// errLost is why the context of a hold ends.
var errLost = errors.New("another run took the lock over, so this one ends without a result")

// acquire takes the lock of a store and renews it until it is released. It waits for a
// lock that is held until then, once: its holder has died, or renews it.
func acquire(ctx context.Context, s state.Store, ttl time.Duration, tell func(string)) (*hold, error) {
	host, _ := os.Hostname()                                                      // a name for people
	holder := fmt.Sprintf("%s pid %d run %08x", host, os.Getpid(), rand.Uint32()) //nolint:gosec // no secret
	lock, err := state.Acquire(ctx, s, lockKey, holder, ttl)
	var held *state.HeldError
	if errors.As(err, &held) && time.Until(held.Until) <= ttl {
		tell(fmt.Sprintf("%s holds the lock; if it has died, this run goes on at %s", held.Holder, held.Until.Local().Format(time.TimeOnly)))
		if err := pace.Sleep(ctx, time.Until(held.Until)+time.Millisecond); err != nil {
			return nil, err
		}
		lock, err = state.Acquire(ctx, s, lockKey, holder, ttl)
	}
	if err != nil {
		return nil, fmt.Errorf("flag --state: %w", err)
	}
	h := &hold{lock: lock, ttl: ttl, stop: make(chan struct{}), stopped: make(chan struct{})}
	var lose context.CancelCauseFunc
	h.ctx, lose = context.WithCancelCause(ctx)
	go h.renew(context.WithoutCancel(ctx), lose)
	return h, nil
}

// renew keeps the lock until stop is closed. An error that passes is tried again at the
// next turn; a lock that is lost is lost.
func (h *hold) renew(ctx context.Context, lose context.CancelCauseFunc) {
	defer close(h.stopped)
	every := h.ttl / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-tick.C:
			turn, cancel := context.WithTimeout(ctx, every)
			err := h.lock.Renew(turn)
			cancel()
			if errors.Is(err, state.ErrConflict) {
				lose(errLost)
				return
			}
		}
	}
}

// lost returns an error where somebody else has the lock by now.
func (h *hold) lost() error {
	if errors.Is(context.Cause(h.ctx), errLost) {
		return errLost
	}
	return nil
}

// release gives the lock back.
func (h *hold) release() error {
	if h.lock == nil {
		return nil
	}
	close(h.stop)
	<-h.stopped
	if h.lost() != nil {
		return nil // that is said already, and there is nothing to give back
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), endTimeout)
	defer cancel()
	return h.lock.Release(ctx)
}
