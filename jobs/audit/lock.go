// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/state"
)

// hold takes the lock of a store and renews it until the returned function is called
// (AU-9). It waits for a lock that is held until then, once: its holder has died, or
// renews it.
func hold(ctx context.Context, s state.Store, ttl time.Duration, tell func(string)) (func() error, error) {
	host, _ := os.Hostname() // a name for people; without one the process id tells enough
	holder := fmt.Sprintf("%s pid %d", host, os.Getpid())
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
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- renew(context.WithoutCancel(ctx), lock, ttl, stop) }()
	return func() error {
		close(stop)
		if err := <-stopped; err != nil {
			return err
		}
		kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		return lock.Release(kept)
	}, nil
}

// renew keeps a lock until stop is closed. An error that passes is tried again at the
// next turn; a lock that is lost is lost.
func renew(ctx context.Context, lock *state.Lock, ttl time.Duration, stop <-chan struct{}) error {
	tick := time.NewTicker(ttl / 4)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			if err := lock.Renew(ctx); errors.Is(err, state.ErrConflict) {
				return fmt.Errorf("the lock was taken over by another run: %w", err)
			}
		}
	}
}
