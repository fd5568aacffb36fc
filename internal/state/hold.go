// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"sigs.k8s.io/steward/internal/pace"
)

// Hold is a lock that is renewed until it is released or lost.
type Hold struct {
	ctx     context.Context //nolint:containedctx // it ends when the lock is lost
	end     context.CancelCauseFunc
	lock    *Lock
	lost    atomic.Pointer[error]
	late    *time.Timer        // to when the lock counts as lost
	stop    context.CancelFunc // renewals
	stopped chan struct{}
}

// Why a hold is lost, and its context ends.
var (
	// ErrLost says that somebody else took the lock.
	ErrLost = errors.New("another run took the lock over, so this one ends without a result")
	// ErrLate says that nobody knows whether the lock is still held, because the store cannot
	// be reached. It comes before others may take the lock: what is being written has a quarter
	// of the lock's time to end.
	ErrLate = errors.New("the lock could not be renewed in time, so this run ends before another one begins, without a result")
)

// Take acquires a lock and renews it until it is released or lost. It waits for one that is held
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
	return hold(ctx, lock), nil
}

// hold renews a lock from now on.
func hold(ctx context.Context, lock *Lock) *Hold {
	h := &Hold{lock: lock, stopped: make(chan struct{})}
	h.ctx, h.end = context.WithCancelCause(ctx)
	var renewing context.Context
	renewing, h.stop = context.WithCancel(context.WithoutCancel(ctx))
	h.late = time.AfterFunc(h.left(), func() { h.lose(ErrLate) })
	go h.renew(renewing)
	return h
}

// left is how long the lock counts as held, from when its last renewal was sent: others may
// take it a quarter of its time later.
func (h *Hold) left() time.Duration {
	return time.Until(h.lock.renewed.Add(h.lock.ttl - h.lock.ttl/4))
}

// renew keeps the lock until ctx ends. An error that passes is tried again at the next turn; a
// lock that is lost is lost.
func (h *Hold) renew(ctx context.Context) {
	defer close(h.stopped)
	every := h.lock.ttl / 4
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			turn, cancel := context.WithTimeout(ctx, every)
			err := h.lock.Renew(turn)
			cancel()
			switch {
			case err == nil:
				h.late.Reset(h.left())
			case errors.Is(err, ErrConflict):
				h.lose(ErrLost)
			}
		}
	}
}

// lose ends the hold. Why it was lost first counts, whatever ended the run before.
func (h *Hold) lose(why error) {
	h.lost.CompareAndSwap(nil, &why)
	h.end(why)
	h.stop()
}

// Context ends when the lock is lost.
func (h *Hold) Context() context.Context { return h.ctx }

// Lost returns ErrLost where somebody else has the lock by now, and ErrLate where nobody knows.
func (h *Hold) Lost() error {
	if why := h.lost.Load(); why != nil {
		return *why
	}
	return nil
}

// releaseTimeout leaves time for a lock to be given back where a program has 15 seconds to end.
const releaseTimeout = 12 * time.Second

// Release gives the lock back. One that was lost is given back where it is still ours; that it
// was lost is said already, so what fails then is not: the lock expires.
func (h *Hold) Release() error {
	h.stop()
	<-h.stopped
	h.late.Stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(h.ctx), releaseTimeout)
	defer cancel()
	err := h.lock.Release(ctx)
	if h.Lost() != nil {
		return nil
	}
	return err
}
