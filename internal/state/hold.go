// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"sigs.k8s.io/steward/internal/pace"
)

// Hold is a lock that is renewed until it is released.
type Hold struct {
	ctx     context.Context //nolint:containedctx // it ends when the lock is lost
	lock    *Lock
	ttl     time.Duration
	stop    chan struct{}
	stopped chan struct{}
}

// ErrLost is why the context of a hold ends when somebody else took the lock.
var ErrLost = errors.New("another run took the lock over, so this one ends without a result")

// Take acquires a lock and renews it until it is released. It waits for one that is held
// until then, once: its holder has died, or renews it. tell gets a line for people before
// the wait.
func Take(ctx context.Context, s Store, key string, ttl time.Duration, tell func(string)) (*Hold, error) {
	host, _ := os.Hostname()                                                      // a name for people
	holder := fmt.Sprintf("%s pid %d run %08x", host, os.Getpid(), rand.Uint32()) //nolint:gosec // no secret
	lock, err := Acquire(ctx, s, key, holder, ttl)
	var held *HeldError
	if errors.As(err, &held) && time.Until(held.Until) <= ttl {
		tell(fmt.Sprintf("%s holds the lock; if it has died, this run goes on at %s", held.Holder, held.Until.Local().Format(time.TimeOnly)))
		if err := pace.Sleep(ctx, time.Until(held.Until)+time.Millisecond); err != nil {
			return nil, err
		}
		lock, err = Acquire(ctx, s, key, holder, ttl)
	}
	if err != nil {
		return nil, err
	}
	h := &Hold{lock: lock, ttl: ttl, stop: make(chan struct{}), stopped: make(chan struct{})}
	var lose context.CancelCauseFunc
	h.ctx, lose = context.WithCancelCause(ctx)
	go h.renew(context.WithoutCancel(ctx), lose)
	return h, nil
}

// renew keeps the lock until stop is closed. An error that passes is tried again at the
// next turn; a lock that is lost is lost.
func (h *Hold) renew(ctx context.Context, lose context.CancelCauseFunc) {
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
			if errors.Is(err, ErrConflict) {
				lose(ErrLost)
				return
			}
		}
	}
}

// Context ends when the lock is lost.
func (h *Hold) Context() context.Context { return h.ctx }

// Lost returns ErrLost where somebody else has the lock by now.
func (h *Hold) Lost() error {
	if errors.Is(context.Cause(h.ctx), ErrLost) {
		return ErrLost
	}
	return nil
}

// releaseTimeout leaves time for a lock to be given back where a program has 15 seconds to end.
const releaseTimeout = 12 * time.Second

// Release gives the lock back.
func (h *Hold) Release() error {
	close(h.stop)
	<-h.stopped
	if h.Lost() != nil {
		return nil // that is said already, and there is nothing to give back
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), releaseTimeout)
	defer cancel()
	return h.lock.Release(ctx)
}
