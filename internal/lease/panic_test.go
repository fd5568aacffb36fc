// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fuse makes names and panics when it is told to.
type fuse struct {
	next func() string
	left int // names until it panics; below 0: never
}

func (f *fuse) name() string {
	if f.left--; f.left == -1 {
		panic("no more names")
	}
	return f.next()
}

// TestRewind (P-26): an operation that panics anywhere leaves no trace, in the tables and in what follows from them. The pool goes
// on as one that never heard of it, within the same batch.
func TestRewind(t *testing.T) {
	panics := 0
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 3))
		policy := Policy{
			FIFO: seed%2 == 0, Classes: []string{"release"}, Aging: time.Minute, Idle: 3 * time.Minute, SickAfter: 3,
			Accounts: map[string]Account{"o1": {Weight: 3}, "o2": {Quota: map[string]int{"project": 2}}},
		}
		f := &fuse{numbered("x"), -1}
		p, err := NewPool(Options{Policy: policy, IDs: f.name, Names: f.name}, nil, start())
		if err != nil {
			t.Fatal(err)
		}
		p.Sync(start(), projects(4, Free))
		p.Keep()
		now := start()
		for range 300 {
			now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
			for range 1 + rng.IntN(4) {
				tables, changes := dump(p), p.Changes()
				granted, ended := slices.Clone(p.granted), slices.Clone(p.ended)
				if f.left = -1; rng.IntN(3) == 0 {
					f.left = rng.IntN(3)
				}
				if !panicked(p, now, func() { chaos(p, rng, now) }) {
					continue
				}
				panics++
				check(t, p)
				if got := dump(p); !reflect.DeepEqual(got, tables) {
					t.Fatalf("seed %d: the tables are not as before:\n%v\n%v", seed, got, tables)
				}
				if got := p.Changes(); !reflect.DeepEqual(got, changes) {
					t.Fatalf("seed %d: the batch is not as before:\n%v\n%v", seed, got, changes)
				}
				if !slices.EqualFunc(p.granted, granted, func(a, b Granted) bool { return a.Waiter == b.Waiter }) || !slices.Equal(p.ended, ended) {
					t.Fatalf("seed %d: granted or ended is not as before", seed)
				}
			}
			f.left = -1
			p.Tick(now)
			check(t, p)
			idle(t, p, now)
			if rng.IntN(3) == 0 {
				p.Undo()
			} else {
				p.Keep()
			}
			check(t, p)
		}
	}
	if panics < 500 {
		t.Errorf("only %d operations panicked", panics)
	}
}

// panicked does something and tells whether it panicked, in which case it was never done.
func panicked(p *Pool, now time.Time, do func()) (did bool) {
	before := p.savepoint()
	defer func() {
		if recover() != nil {
			p.rewind(before, now)
			did = true
		}
	}()
	do()
	return false
}

// keepTold is keep with a pool that may panic, and what was told of it.
func keepTold(t *testing.T, store *memory, opts Options, c Config) (*Keeper, func() []string) {
	t.Helper()
	store.state = map[Ref]Record{}
	var mu sync.Mutex
	var told []string
	k := NewKeeper(KeeperOptions{Store: store, Pool: opts, Panicked: func(value any, stack []byte) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%v\n%s", value, stack))
	}})
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- k.Run(ctx, c, func(error) { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return k, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(told)
	}
}

// TestPanicInABatch (P-26): the operation gets an error; those before and after it in the same batch are stored and answered.
func TestPanicInABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, told := keepTold(t, store, Options{IDs: numbered("lease-"), Names: numbered("made-")}, projects(5, Free))
		open, busy := make(chan struct{}), make(chan struct{})
		go func() {
			_ = k.Do(t.Context(), func(*Pool, time.Time) { close(busy); <-open })
		}()
		<-busy
		begun := store.count()
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				errs[i] = k.Do(t.Context(), func(p *Pool, now time.Time) {
					if _, err := p.Acquire(now, want(fmt.Sprint("o", i), "")); err != nil {
						t.Error(err)
					}
					if i == 2 {
						panic("a fault of the program")
					}
				})
			})
			synctest.Wait() // in this order
		}
		close(open)
		all.Wait()
		for i, err := range errs {
			if (i == 2) != errors.Is(err, ErrPanicked) || i != 2 && err != nil {
				t.Errorf("operation %d: %v", i, err)
			}
		}
		if n := store.count() - begun; n != 1 {
			t.Errorf("%d commits, want one for the batch", n)
		}
		owners := map[string]int{}
		for _, r := range store.state {
			if r.Resource != nil {
				owners[r.Resource.Owner]++
			}
		}
		if want := map[string]int{"": 2, "o0": 1, "o1": 1, "o3": 1}; !maps.Equal(owners, want) {
			t.Errorf("stored %v, want %v", owners, want)
		}
		if all := told(); len(all) != 1 || !strings.Contains(all[0], "a fault of the program") || !strings.Contains(all[0], "TestPanicInABatch") {
			t.Errorf("told %q", all)
		}
	})
}

// TestPanicInAnAlarm (P-26): what happens by itself and panics is put off, and keeps nothing from what is due beside it.
func TestPanicInAnAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		f := &fuse{numbered("lease-"), -1}
		k, told := keepTold(t, store, Options{IDs: f.name, Names: numbered("made-")}, projects(2, Free))
		a, b := mustTake(t, k), mustTake(t, k)
		for _, r := range []*Resource{a, b} {
			if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
				n := p.resources[r.Name].copy()
				l := *n.Lease
				l.Until = now.Add(time.Minute)
				n.Lease = &l
				p.setResource(n.Name, n, false)
				p.watch(n, now)
				f.left = 0 // the next name is for who waits, at the end of a lease
			}); err != nil {
				t.Fatal(err)
			}
		}
		waiter := want("waiter", "w")
		waiter.From = Dirty
		got := make(chan error, 1)
		go func() {
			_, err := k.Acquire(t.Context(), waiter, time.Hour)
			got <- err
		}()
		begun := time.Now()
		if err := <-got; err != nil {
			t.Error(err)
		}
		if waited := time.Since(begun); waited < time.Minute || waited > time.Minute+5*time.Second {
			t.Errorf("served after %v, by the other lease", waited)
		}
		if n := len(told()); n != 1 {
			t.Errorf("%d panics", n)
		}
		time.Sleep(2 * alarmAgain)
		dirty := 0
		if err := k.Do(t.Context(), func(p *Pool, _ time.Time) {
			check(t, p)
			dirty = p.types["project"].states[Dirty]
		}); err != nil || dirty != 1 {
			t.Errorf("%d dirty, %v: the lease whose end panicked has ended later", dirty, err)
		}
	})
}

// TestPanicOfALeaver (P-26): a caller who left in an operation that panicked has left, and what its waiter is granted comes back.
func TestPanicOfALeaver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		f := &fuse{numbered("lease-"), -1}
		k, told := keepTold(t, store, Options{IDs: f.name, Names: numbered("made-")}, projects(1, Free))
		held := mustTake(t, k)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := k.Acquire(ctx, want("waiter", "w"), time.Hour)
			gone <- err
		}()
		synctest.Wait()
		// The waiter is served in an operation that panics after it: neither is it served then, nor is it lost.
		err := k.Do(t.Context(), func(p *Pool, now time.Time) {
			release(t, p, now, held, Free)
			panic("after the hand-off")
		})
		if !errors.Is(err, ErrPanicked) {
			t.Fatal(err)
		}
		leave()
		if err := <-gone; err == nil {
			t.Error("served what was never given back")
		}
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) { release(t, p, now, held, Free) }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if r := mustTake(t, k); r.Name != held.Name || r.Epoch <= held.Epoch {
			t.Errorf("took %+v", r)
		}
		if len(told()) != 1 {
			t.Errorf("told %q", told())
		}
	})
}
