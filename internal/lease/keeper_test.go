// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a store that can be told to fail.
type memory struct {
	mu      sync.Mutex
	state   map[Ref]Record
	commits [][]Record
	fail    error
	refuses func(Record) bool // these are refused, and all that is committed with them
	takes   time.Duration
}

func (m *memory) Load(context.Context) (State, Epoch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var state State
	for _, r := range m.state {
		state = append(state, r)
	}
	return state, 1, nil
}

func (m *memory) Commit(_ context.Context, _ Epoch, records []Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	time.Sleep(m.takes)
	if m.fail != nil {
		return m.fail
	}
	if m.refuses != nil && slices.ContainsFunc(records, m.refuses) {
		return ErrRefused
	}
	m.commits = append(m.commits, records)
	for _, r := range records {
		if r.Gone {
			delete(m.state, r.Ref())
		} else {
			m.state[r.Ref()] = r
		}
	}
	return nil
}

func (m *memory) breaks(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// refuse says what is refused from now on.
func (m *memory) refuse(what func(Record) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = what
}

// slow says how long a commit takes from now on.
func (m *memory) slow(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes = by
}

// keys are those of a kind that were written after so many commits.
func (m *memory) keys(kind Kind, after int) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, r := range slices.Concat(m.commits[after:]...) {
		if r.Kind == kind {
			keys = append(keys, r.Key)
		}
	}
	return keys
}

func (m *memory) holds(kind Kind) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for ref := range m.state {
		if ref.Kind == kind {
			n++
		}
	}
	return n
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.commits)
}

// keep serves a pool until the test ends, and returns what Run returned.
func keep(t *testing.T, store *memory, c Config) (*Keeper, func() error) {
	t.Helper()
	if store.state == nil {
		store.state = map[Ref]Record{}
	}
	k := NewKeeper(KeeperOptions{Store: store, Pool: Options{IDs: numbered("lease-"), Names: numbered("made-")}})
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	go func() { done <- k.Run(ctx, c, func(error) { close(ready) }) }()
	<-ready
	end := sync.OnceValue(func() error {
		stop()
		return <-done
	})
	t.Cleanup(func() { _ = end() })
	return k, end
}

func TestHandOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := keep(t, &memory{}, projects(1, Free))
		first, err := k.Acquire(t.Context(), want("a", "1"), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		var got []*Resource
		waiting := make(chan error)
		go func() {
			var err error
			got, err = k.Acquire(t.Context(), want("b", "2"), time.Minute)
			waiting <- err
		}()
		synctest.Wait()
		begun := time.Now()
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
			release(t, p, now, first[0], Free)
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != nil || got[0].Owner != "b" {
			t.Fatalf("waiter got %v, %v", got, err)
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("handed over after %v", waited)
		}
	})
}

func TestHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := keep(t, &memory{}, projects(1, Busy))
		begun := time.Now()
		_, err := k.Acquire(t.Context(), want("b", "2"), 3*time.Second)
		var none *NoneFree
		if !errors.As(err, &none) || time.Since(begun) != 3*time.Second {
			t.Errorf("after %v: %v, want NoneFree after 3s", time.Since(begun), err)
		}
		begun = time.Now()
		c := want("b", "2")
		c.Wants = []Want{{"nothing", 1}}
		var unknown *UnknownType
		if _, err := k.Acquire(t.Context(), c, 3*time.Second); !errors.As(err, &unknown) || time.Since(begun) != 0 {
			t.Errorf("after %v: %v, want UnknownType at once", time.Since(begun), err)
		}
	})
}

// TestCallerGone: what is granted to a caller who has gone is taken back, and goes to the next.
func TestCallerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := keep(t, &memory{}, projects(1, Free))
		ctx, cancel := context.WithCancel(t.Context())
		err := k.Do(ctx, func(p *Pool, now time.Time) { cancel() }) // it has begun, and is awaited
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.claimed(ctx, []*Resource{mustTake(t, k)}, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, %v", got, err)
		}
		mustTake(t, k)
	})
}

func mustTake(t *testing.T, k *Keeper) *Resource {
	t.Helper()
	got, err := k.Acquire(t.Context(), want("x", ""), 0)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// TestRefusedCommit: what the store refuses never was, and the pool goes on.
func TestRefusedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(1, Free))
		store.breaks(fmt.Errorf("full: %w", ErrRefused))
		if _, err := k.Acquire(t.Context(), want("a", ""), 0); !errors.Is(err, ErrRefused) {
			t.Fatalf("acquire: %v, want the refusal", err)
		}
		store.breaks(nil)
		if r := mustTake(t, k); r.Last != nil {
			t.Errorf("%+v: the refused lease left a trace", r.Last)
		}
	})
}

// TestRefusedConfiguration: what the store refuses of a configuration does not keep the pool from the rest, and is named.
func TestRefusedConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{refuses: func(r Record) bool { return r.Key == "p001" }}
		k, _ := keep(t, store, projects(1, Free))
		three := projects(3, Free)
		three.Dynamic = []Dynamic{{Type: "made", State: Free, Min: 1, Max: 1}}
		if err := k.Sync(t.Context(), three); !errors.Is(err, ErrRefused) || !strings.HasSuffix(err.Error(), ": resource p001") {
			t.Fatalf("got %v, want the resource that was refused", err)
		}
		if n := store.holds(KindResource); n != 3 {
			t.Errorf("%d resources, want the two others and one that was made", n)
		}
		store.refuse(nil)
		if err := k.Sync(t.Context(), three); err != nil {
			t.Fatal(err)
		}
		if n := store.holds(KindResource); n != 4 {
			t.Errorf("%d resources, want all", n)
		}
	})
}

// TestRefusedAtStart: the same when a pool starts.
func TestRefusedAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{state: map[Ref]Record{}, refuses: func(r Record) bool { return r.Key == "p001" }}
		k := NewKeeper(KeeperOptions{Store: store, Pool: Options{IDs: numbered("lease-"), Names: numbered("made-")}})
		ctx, stop := context.WithCancel(t.Context())
		done, ready := make(chan error), make(chan error)
		go func() { done <- k.Run(ctx, projects(3, Free), func(refused error) { ready <- refused }) }()
		if refused := <-ready; !errors.Is(refused, ErrRefused) {
			t.Errorf("got %v, want what was refused", refused)
		}
		mustTake(t, k)
		mustTake(t, k)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRefusedSign: a sign of life that the store refuses keeps nobody else from being served, nor theirs from being written, and
// is tried again.
func TestRefusedSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(9, Free))
		for range 8 {
			mustTake(t, k)
		}
		store.refuse(func(r Record) bool { return r.Lazy && r.Key == "p003" })
		before := store.count()
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
			for i := range 8 {
				if _, err := p.Renew(now, Grip{Resource: fmt.Sprintf("p%03d", i), Owner: "x"}, 0); err != nil {
					t.Error(err)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		mustTake(t, k)
		if got := store.keys(KindResource, before); len(got) != 8 || slices.Contains(got, "p003") {
			t.Errorf("written: %v, want seven signs of life and a lease", got)
		}
		store.refuse(nil)
		before = store.count()
		time.Sleep(2 * alarmAgain)
		synctest.Wait()
		if got := store.keys(KindResource, before); !slices.Equal(got, []string{"p003"}) {
			t.Errorf("written later: %v, want the sign of life that was refused", got)
		}
	})
}

// TestSlowStore: leases end where every commit takes its time, too.
func TestSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(2, Free))
		c := want("silent", "")
		c.TTL = time.Minute
		if _, err := k.Acquire(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		store.slow(4500 * time.Millisecond)
		var state string
		for i := range 30 { // somebody keeps the store busy
			if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
				state = p.Get("p000").State
				if _, err := p.Quarantine(now, "p001", fmt.Sprint(i), "me"); err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		if state != Dirty {
			t.Errorf("%v after two minutes, want its lease to have ended", state)
		}
	})
}

// TestRefusedWatch: a watch that could not begin does not stay.
func TestRefusedWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(2, Free))
		go func() { _ = k.Do(t.Context(), func(*Pool, time.Time) { time.Sleep(time.Second) }) }()
		synctest.Wait()
		go func() {
			_ = k.Do(t.Context(), func(p *Pool, now time.Time) { _, _ = p.Quarantine(now, "p000", "odd", "me") })
		}()
		synctest.Wait()
		store.breaks(fmt.Errorf("no: %w", ErrRefused))
		if _, err := k.Watch(t.Context(), func(*Pool) {}); !errors.Is(err, ErrRefused) {
			t.Fatalf("watch: %v", err)
		}
		store.breaks(nil)
		var left int
		if err := k.Do(t.Context(), func(*Pool, time.Time) { left = len(k.watches) }); err != nil || left != 0 {
			t.Errorf("%d watches are left, %v", left, err)
		}
	})
}

// TestRefusedAlarm: where a store refuses the end of a lease, those who ask for something else are served, and it is not asked
// without end.
func TestRefusedAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		store := &memory{refuses: func(r Record) bool {
			refused := r.Resource != nil && r.Resource.Last != nil && r.Resource.Last.Why == Expired
			if refused {
				tries++
			}
			return refused
		}}
		k, _ := keep(t, store, projects(2, Free))
		c := want("a", "")
		c.TTL = time.Minute
		if _, err := k.Acquire(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		for range 600 {
			time.Sleep(time.Second)
			other := mustTake(t, k)
			if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
				if err := p.Release(now, Grip{Resource: other.Name, Owner: other.Owner}, Free, ""); err != nil {
					t.Error(err)
				}
			}); err != nil {
				t.Fatal(err)
			}
		}
		if tries == 0 || tries > 30 {
			t.Errorf("tried %d times in nine minutes", tries)
		}
	})
}

// TestFailedCommit: after a failure of which nobody knows what it stored, the keeper answers nobody and ends.
func TestFailedCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, end := keep(t, store, projects(1, Free))
		broken := errors.New("disk full")
		store.breaks(broken)
		if _, err := k.Acquire(t.Context(), want("a", ""), 0); !errors.Is(err, broken) {
			t.Fatalf("acquire: %v", err)
		}
		synctest.Wait()
		if _, err := k.Acquire(t.Context(), want("a", ""), 0); !errors.Is(err, ErrStopped) {
			t.Fatalf("acquire afterwards: %v, want ErrStopped", err)
		}
		if err := end(); !errors.Is(err, broken) {
			t.Errorf("run: %v", err)
		}
	})
}

// TestLazy (P-20): signs of life are written late and together; a lease is written at once.
func TestLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, end := keep(t, store, projects(1, Free))
		r := mustTake(t, k)
		before := store.count()
		for range 10 {
			err := k.Do(t.Context(), func(p *Pool, now time.Time) {
				if err := p.Update(now, Grip{Resource: r.Name, Owner: "x"}, Busy, nil); err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := store.count() - before; n != 0 {
			t.Errorf("%d commits for signs of life within 100 ms", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := store.count() - before; n != 1 {
			t.Errorf("%d commits after a second, want one for all", n)
		}
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) { _, _ = p.Renew(now, Grip{Resource: r.Name, Owner: "x"}, 0) }); err != nil {
			t.Fatal(err)
		}
		last := time.Now()
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if got := store.state[Ref{KindResource, r.Name}].Resource.Updated; !got.Equal(last) {
			t.Errorf("the last sign of life was lost at the end: %v, want %v", got, last)
		}
	})
}

func TestExpiresByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := keep(t, &memory{}, projects(1, Free))
		c := want("a", "")
		c.TTL = time.Minute
		if _, err := k.Acquire(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		watch, err := k.Watch(t.Context(), func(*Pool) {})
		if err != nil {
			t.Fatal(err)
		}
		if r := <-watch.Changes; r.Resource.State != Dirty || r.Resource.Last.Why != Expired {
			t.Errorf("watched %+v", r.Resource)
		}
		if err := k.Unwatch(t.Context(), watch); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRestart (P-21): the time without a pool does not count against a holder.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, end := keep(t, store, projects(2, Free))
		c := want("v1", "")
		c.TTL = time.Minute
		if _, err := k.Acquire(t.Context(), c, 0); err != nil {
			t.Fatal(err)
		}
		mustTake(t, k)
		queued := want("waiter", "w")
		queued.Wants = []Want{{"project", 1}}
		if _, err := k.Acquire(t.Context(), queued, 0); err == nil {
			t.Fatal("a third project")
		}
		time.Sleep(2 * time.Second)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		k, _ = keep(t, store, projects(2, Free))
		var held []string
		var waiters int
		if err := k.Do(t.Context(), func(p *Pool, _ time.Time) {
			for r := range p.All("") {
				held = append(held, r.Owner)
			}
			waiters = len(p.waiters)
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(held)
		if !slices.Equal(held, []string{"v1", "x"}) || waiters != 1 {
			t.Errorf("after the restart: holders %v, %d waiters", held, waiters)
		}
	})
}

// TestCleanerIsTold (P-11, P-18): who waits for what is to be taken apart gets it when a lifespan ends, and when one too many comes
// back.
func TestCleanerIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		before, after Dynamic
	}{
		"lifespan over": {Dynamic{Min: 1, Max: 1, Lifespan: 2 * time.Minute}, Dynamic{Min: 1, Max: 1, Lifespan: 2 * time.Minute}},
		"too many":      {Dynamic{Min: 2, Max: 2}, Dynamic{Min: 1, Max: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				of := func(d Dynamic) Config {
					d.Type, d.State = "project", Free
					return Config{Dynamic: []Dynamic{d}}
				}
				k, _ := keep(t, &memory{}, of(c.before))
				for range c.before.Min {
					mustTake(t, k)
				}
				if err := k.Sync(t.Context(), of(c.after)); err != nil {
					t.Fatal(err)
				}
				time.AfterFunc(time.Minute, func() {
					_ = k.Do(t.Context(), func(p *Pool, now time.Time) {
						_ = p.Release(now, Grip{Resource: "made-1", Owner: "x"}, Free, "")
					})
				})
				cleaner := want("cleaner", "c")
				cleaner.From, cleaner.To = ToBeDeleted, Cleaning
				if got, err := k.Acquire(t.Context(), cleaner, 10*time.Minute); err != nil || got[0].Name != "made-1" {
					t.Errorf("got %v, %v", got, err)
				}
			})
		})
	}
}

// TestRefusedType: resources whose type becomes a dynamic one stay where the store refuses the type.
func TestRefusedType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(3, Free))
		store.refuse(func(r Record) bool { return r.Kind == KindDynamic })
		c := Config{Dynamic: []Dynamic{{Type: "project", State: Free, Min: 3, Max: 3}}}
		if err := k.Sync(t.Context(), c); !errors.Is(err, ErrRefused) || store.holds(KindResource) != 3 {
			t.Errorf("%v, %d resources", err, store.holds(KindResource))
		}
	})
}

// TestAllSignsRefused: a store that refuses every sign of life is asked a few times a minute, and callers are served.
func TestAllSignsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(1, Free))
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) {
			for i := range 2000 {
				_, _ = p.Acquire(now, want("x", fmt.Sprint("r", i)))
			}
		}); err != nil {
			t.Fatal(err)
		}
		refused := 0
		store.refuse(func(r Record) bool {
			if r.Lazy {
				refused++
			}
			return r.Lazy
		})
		time.Sleep(10 * alarmAgain / 4)
		synctest.Wait()
		if refused == 0 || refused > 4*maxRefusals {
			t.Errorf("asked %d times in two minutes and a half", refused)
		}
	})
}

// TestGrantAtTheEnd: a grant that is stored is answered, also where the keeper ends in the same moment.
func TestGrantAtTheEnd(t *testing.T) {
	for range 300 { // which of the two the caller hears first is chance
		store := &memory{state: map[Ref]Record{}}
		k := NewKeeper(KeeperOptions{Store: store, Pool: Options{IDs: numbered("lease-"), Names: numbered("made-")}})
		ctx, stop := context.WithCancel(t.Context())
		done, ready := make(chan error, 1), make(chan struct{})
		go func() { done <- k.Run(ctx, projects(1, Free), func(error) { close(ready) }) }()
		<-ready
		r := mustTake(t, k)
		got := make(chan error, 1)
		go func() {
			_, err := k.Acquire(t.Context(), waits("w", "r"), time.Minute)
			got <- err
		}()
		for waiting := 0; waiting == 0; {
			if err := k.Do(t.Context(), func(*Pool, time.Time) { waiting = len(k.waiting) }); err != nil {
				t.Fatal(err)
			}
		}
		_ = k.Do(t.Context(), func(p *Pool, now time.Time) { // it may hear that the keeper has stopped
			release(t, p, now, r, Free)
			stop()
		})
		err := <-got
		if ended := <-done; ended != nil {
			t.Fatal(ended)
		}
		if err != nil && store.state[Ref{KindResource, r.Name}].Resource.Owner == "w" {
			t.Fatalf("granted, and answered with %v", err)
		}
	}
}
