// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/pace"
)

// worker takes dirty accounts from a pool and gives them back clean, or dirty with the reason.
type worker struct {
	pool      Pool
	types     []string
	parallel  int
	heartbeat time.Duration
	idle      time.Duration // before the pool is asked again when nothing is dirty
	clean     func(ctx context.Context, name string) Result
	tell      func(text string)
	done      func(Result)
}

const (
	maxBackoff     = 5 * time.Minute
	releaseTimeout = 30 * time.Second
	releaseTries   = 4
)

// run works until ctx ends. What is being cleaned then goes back as dirty.
func (w *worker) run(ctx context.Context) {
	var all sync.WaitGroup
	for range max(w.parallel, 1) {
		all.Go(func() { w.loop(ctx) })
	}
	all.Wait()
}

// loop is one cleaner. After a failure it waits, longer each time: one sick account in an empty pool must not be asked
// about without end.
func (w *worker) loop(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		l, err := w.pool.Acquire(ctx, w.types)
		switch {
		case errors.Is(err, ErrNothing):
			_ = pace.Sleep(ctx, w.idle) // the loop looks at ctx
			continue
		case err != nil && ctx.Err() == nil:
			w.tell(fmt.Sprintf("acquire: %v", err))
		case err == nil && w.one(ctx, l):
			failures = 0
			continue
		}
		failures++
		_ = pace.Sleep(ctx, min(w.idle<<min(failures-1, 10), maxBackoff))
	}
}

// one cleans what a lease holds, and tells whether it is free now.
func (w *worker) one(ctx context.Context, l Lease) bool {
	held, lose := context.WithCancelCause(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		w.beat(held, l, lose)
	}()
	r := w.clean(held, l.Name)
	lose(nil) // the first cause stays
	<-beating
	w.done(r)
	if errors.Is(context.Cause(held), ErrLost) {
		w.tell(fmt.Sprintf("%s: the lease was lost, so cleaning stopped; it is somebody else's now", l.Name))
		return false // there is nothing to give back (SW-12)
	}
	return w.release(ctx, l, r)
}

// beat renews a lease until ctx ends. A lease that could not be renewed for as long as it lasts is lost (SW-12).
func (w *worker) beat(ctx context.Context, l Lease, lose context.CancelCauseFunc) {
	ttl := l.TTL
	if ttl <= 0 {
		ttl = 3 * w.heartbeat
	}
	every := min(w.heartbeat, ttl/3)
	good := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		turn, cancel := context.WithTimeout(ctx, every)
		err := w.pool.Renew(turn, l)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			good = time.Now()
		case errors.Is(err, ErrLost):
			lose(err)
			return
		case time.Since(good) >= ttl-every:
			lose(fmt.Errorf("%w: it could not be renewed for %v: %w", ErrLost, ttl, err))
			return
		}
	}
}

// release gives a lease back, also when the program ends.
func (w *worker) release(ctx context.Context, l Lease, r Result) bool {
	to, reason := Dirty, r.Reason()
	if r.Free() {
		to, reason = Free, ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	for try := 1; ; try++ {
		err := w.pool.Release(ctx, l, to, reason)
		if err == nil {
			return to == Free
		}
		if errors.Is(err, ErrLost) || try == releaseTries || pace.Sleep(ctx, time.Second<<try) != nil {
			w.tell(fmt.Sprintf("%s: release as %s: %v", l.Name, to, err))
			return false
		}
	}
}
