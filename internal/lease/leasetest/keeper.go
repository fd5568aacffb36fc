// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// keeper lets clients take and give back by way of a Keeper, whose process is killed at one write after the other. Of what
// was answered nothing is lost, and nothing is held twice.
func keeper(t *testing.T, fresh func(*testing.T) Backend) {
	for n := 3; n < 90; n += 4 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			b := fresh(t)
			b.Cut(n, n%2 == 0)
			held := clients(t, b.Open(t))
			b.Cut(0, false)
			state, _, err := b.Open(t).Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			check(t, held, state)
		})
	}
}

// promise is what a client knows of a resource: the lease that it was given, and whether it has tried to end it.
type promise struct {
	lease  string
	ending bool
}

const people = 4

// clients runs a keeper until it has been killed, or for a number of rounds, and returns what was promised by resource.
func clients(t *testing.T, store lease.Store) map[string]promise {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids int
	k := lease.NewKeeper(lease.KeeperOptions{Store: store, LazyEvery: 5 * time.Millisecond, QueueEvery: 5 * time.Millisecond, Pool: lease.Options{IDs: func() string {
		ids++
		return fmt.Sprint("lease-", ids)
	}}})
	config := lease.Config{Static: []lease.Group{{Type: "t", State: "free", Names: []string{"r1", "r2", "r3", "r4", "r5"}}}}
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = k.Run(ctx, config, func(error) { close(ready) }) // the error is that it was killed
	}()
	held := map[string]promise{}
	select {
	case <-done:
		return held
	case <-ready:
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for c := range people {
		all.Go(func() { cycle(ctx, k, fmt.Sprint("client-", c), held, &mu) })
	}
	all.Wait()
	cancel()
	<-done
	return held
}

// cycle takes and gives back, and keeps its last lease.
func cycle(ctx context.Context, k *lease.Keeper, owner string, held map[string]promise, mu *sync.Mutex) {
	for range 6 {
		claim := lease.Claim{Request: owner, Owner: owner, From: "free", To: "busy", Wants: []lease.Want{{Type: "t", Count: 1}}}
		got, err := k.Acquire(ctx, claim, time.Second)
		if err != nil {
			return
		}
		r := got[0]
		mu.Lock()
		held[r.Name] = promise{lease: r.Lease.ID}
		mu.Unlock()
		grip := lease.Grip{Resource: r.Name, Lease: r.Lease.ID}
		if err := k.Do(ctx, func(p *lease.Pool, now time.Time) { _, _ = p.Renew(now, grip, 0) }); err != nil {
			return
		}
		mu.Lock()
		held[r.Name] = promise{lease: r.Lease.ID, ending: true}
		mu.Unlock()
		if err := k.Do(ctx, func(p *lease.Pool, now time.Time) { _ = p.Release(now, grip, "free", "") }); err != nil {
			return
		}
	}
}

func check(t *testing.T, held map[string]promise, state lease.State) {
	t.Helper()
	found := map[string]*lease.Resource{}
	for _, r := range state {
		if r.Resource != nil {
			found[r.Key] = r.Resource
		}
	}
	for name, p := range held {
		r := found[name]
		switch {
		case r == nil:
			t.Errorf("%s is lost", name)
		case !p.ending && (r.Lease == nil || r.Lease.ID != p.lease):
			t.Errorf("%s was promised as %s and is %+v", name, p.lease, r)
		}
	}
}
