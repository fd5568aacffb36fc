// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// start is a Thursday on which nothing happens.
func start() time.Time { return time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC) }

// numbered makes names one after the other.
func numbered(prefix string) func() string {
	n := 0
	return func() string {
		n++
		return fmt.Sprintf("%s%d", prefix, n)
	}
}

func newPool(t testing.TB, policy Policy, c Config) *Pool {
	t.Helper()
	p, err := NewPool(Options{Policy: policy, IDs: numbered("lease-"), Names: numbered("made-")}, nil, start())
	if err != nil {
		t.Fatal(err)
	}
	p.Sync(start(), c)
	p.Keep()
	return p
}

func projects(n int, state string) Config {
	g := Group{Type: "project", State: state}
	for i := range n {
		g.Names = append(g.Names, fmt.Sprintf("p%03d", i))
	}
	return Config{Static: []Group{g}}
}

// want is a claim for one free project.
func want(owner, request string) Claim {
	return Claim{
		Request: request, Owner: owner, Holder: Holder{Account: owner}, Wants: []Want{{"project", 1}}, From: Free, To: Busy,
	}
}

// waits is a claim whose caller waits for the answer.
func waits(owner, request string) Claim {
	c := want(owner, request)
	c.Waits = true
	return c
}

func mustAcquire(t testing.TB, p *Pool, now time.Time, c Claim) *Resource {
	t.Helper()
	got, err := p.Acquire(now, c)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return got[0]
}

func queues(t testing.TB, p *Pool, now time.Time, c Claim) {
	t.Helper()
	var none *NoneFree
	if got, err := p.Acquire(now, c); !errors.As(err, &none) {
		t.Fatalf("acquire for %s: %v, %v; want to wait", c.Owner, got, err)
	}
}

// served returns the owners who were served in this batch, in order.
func served(p *Pool) []string {
	var owners []string
	for _, g := range p.Keep().Granted {
		owners = append(owners, g.Waiter.Owner)
	}
	return owners
}

func release(t testing.TB, p *Pool, now time.Time, r *Resource, to string) {
	t.Helper()
	if err := p.Release(now, Grip{Resource: r.Name, Owner: r.Owner}, to, ""); err != nil {
		t.Fatal(err)
	}
}

func TestOldestFirst(t *testing.T) {
	p := newPool(t, Policy{}, projects(3, Free))
	now := start()
	first := mustAcquire(t, p, now, want("a", ""))
	now = now.Add(time.Second)
	release(t, p, now, first, Free)
	var names []string
	for range 3 {
		names = append(names, mustAcquire(t, p, now, want("a", "")).Name)
	}
	if want := []string{"p001", "p002", "p000"}; !slices.Equal(names, want) {
		t.Errorf("taken %v, want what was used longest ago first: %v", names, want)
	}
}

func TestReleaseChecks(t *testing.T) {
	for _, test := range []struct {
		name string
		grip func(r *Resource) Grip
		want any
	}{
		{"owner", func(r *Resource) Grip { return Grip{Resource: r.Name, Owner: "a"} }, nil},
		{"lease", func(r *Resource) Grip { return Grip{Resource: r.Name, Lease: r.Lease.ID} }, nil},
		{"lease and epoch", func(r *Resource) Grip { return Grip{Resource: r.Name, Lease: r.Lease.ID, Epoch: r.Epoch} }, nil},
		{"other owner", func(r *Resource) Grip { return Grip{Resource: r.Name, Owner: "b"} }, new(*NotOwner)},
		{"nobody", func(r *Resource) Grip { return Grip{Resource: r.Name} }, new(*NotOwner)},
		{"other lease", func(r *Resource) Grip { return Grip{Resource: r.Name, Owner: "a", Lease: "lease-9"} }, new(*Stale)},
		{"other epoch", func(r *Resource) Grip { return Grip{Resource: r.Name, Owner: "a", Epoch: r.Epoch + 1} }, new(*Stale)},
		{"other resource", func(*Resource) Grip { return Grip{Resource: "nope", Owner: "a"} }, new(*NoneFree)},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPool(t, Policy{}, projects(1, Free))
			r := mustAcquire(t, p, start(), want("a", ""))
			err := p.Release(start(), test.grip(r), Dirty, "")
			if test.want == nil && err != nil || test.want != nil && !errors.As(err, test.want) {
				t.Errorf("release: %v, want %T", err, test.want)
			}
			if held := p.Get(r.Name).Held(); held == (test.want == nil) {
				t.Errorf("held after it: %v", held)
			}
		})
	}
}

func TestReleaseTwice(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	r := mustAcquire(t, p, start(), want("a", ""))
	grip := Grip{Resource: r.Name, Lease: r.Lease.ID}
	for range 2 {
		if err := p.Release(start(), grip, Free, ""); err != nil {
			t.Fatal(err)
		}
	}
	mustAcquire(t, p, start(), want("b", ""))
	var stale *Stale
	if err := p.Release(start(), grip, Dirty, ""); !errors.As(err, &stale) {
		t.Errorf("a stale holder who asks for something else: %v, want Stale", err)
	}
	if p.Get(r.Name).Owner != "b" {
		t.Error("a stale release took the lease of somebody else")
	}
}

func TestQueueInOrderOfArrival(t *testing.T) {
	p := newPool(t, Policy{FIFO: true}, projects(1, Free))
	r := mustAcquire(t, p, start(), want("holder", ""))
	for i := range 3 {
		queues(t, p, start(), waits("w"+fmt.Sprint(i), fmt.Sprint(i)))
	}
	queues(t, p, start(), want("unnamed", ""))
	var got []string
	for range 3 {
		release(t, p, start(), r, Free)
		got = append(got, served(p)...)
		r = p.Get(r.Name)
	}
	if want := []string{"w0", "w1", "w2"}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

// TestAbsentHead (P-11): a poller between two polls keeps its turn for the grace, not longer, and its place for longer.
func TestAbsentHead(t *testing.T) {
	p := newPool(t, Policy{FIFO: true, PollGrace: 5 * time.Second, RequestTTL: 30 * time.Second}, projects(1, Free))
	now := start()
	r := mustAcquire(t, p, now, want("holder", ""))
	queues(t, p, now, want("poller", "1"))
	queues(t, p, now, waits("waiter", "2"))
	release(t, p, now, r, Free)
	if got := served(p); got != nil {
		t.Fatalf("served %v while the poller is expected back", got)
	}
	now = now.Add(5 * time.Second)
	p.Tick(now)
	if got := served(p); !slices.Equal(got, []string{"waiter"}) {
		t.Fatalf("served %v after the grace, want waiter", got)
	}
	queues(t, p, now, want("late", "3"))
	queues(t, p, now, want("poller", "1"))
	release(t, p, now, p.Get(r.Name), Free)
	if got := mustAcquire(t, p, now, want("poller", "1")); got.Owner != "poller" {
		t.Fatalf("the poller lost its place to %s", got.Owner)
	}
}

func TestForgottenWaiter(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Busy))
	queues(t, p, start(), want("a", "1"))
	p.Tick(start().Add(29 * time.Second))
	p.Tick(start().Add(31 * time.Second))
	if len(p.waiters) != 0 {
		t.Errorf("%d waiters are kept for good", len(p.waiters))
	}
}

func TestClasses(t *testing.T) {
	p := newPool(t, Policy{Classes: []string{"release", "presubmit"}, Aging: time.Hour}, projects(1, Free))
	now := start()
	r := mustAcquire(t, p, now, want("holder", ""))
	for i, class := range []string{"", "presubmit", "release", "presubmit"} {
		c := waits(fmt.Sprint(class, i), fmt.Sprint(i))
		c.Class = class
		queues(t, p, now, c)
	}
	var got []string
	for range 4 {
		release(t, p, now, r, Free)
		got = append(got, served(p)...)
		r = p.Get(r.Name)
	}
	if want := []string{"release2", "presubmit1", "presubmit3", "0"}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

func TestAging(t *testing.T) {
	p := newPool(t, Policy{Classes: []string{"release"}, Aging: time.Hour}, projects(1, Free))
	now := start()
	r := mustAcquire(t, p, now, want("holder", ""))
	queues(t, p, now, waits("patient", "1"))
	now = now.Add(time.Hour)
	c := waits("urgent", "2")
	c.Class = "release"
	queues(t, p, now, c)
	release(t, p, now, r, Free)
	if got := served(p); !slices.Equal(got, []string{"patient"}) {
		t.Errorf("served %v, want who waited for an hour", got)
	}
}

// TestAllOrNothing (P-15): several types at once never hold a part, and are not starved by those who want less.
func TestAllOrNothing(t *testing.T) {
	c := projects(2, Free)
	c.Static = append(c.Static, Group{Type: "network", State: Free, Names: []string{"n"}})
	p := newPool(t, Policy{Aging: time.Hour, Idle: Never}, c)
	now := start()
	network := Claim{Owner: "x", Wants: []Want{{"network", 1}}, From: Free, To: Busy}
	n := mustAcquire(t, p, now, network)
	both := waits("both", "1")
	both.Wants = []Want{{"project", 2}, {"network", 1}}
	queues(t, p, now, both)
	small := mustAcquire(t, p, now, waits("small", "2"))
	release(t, p, now, n, Free)
	if got := served(p); got != nil {
		t.Fatalf("served %v with one project of two", got)
	}
	now = now.Add(time.Hour)
	p.Tick(now)
	queues(t, p, now, waits("small", "3")) // one project is free, but somebody has waited too long for two
	release(t, p, now, small, Free)
	if got := served(p); !slices.Equal(got, []string{"both"}) {
		t.Fatalf("served %v, want both", got)
	}
	if states, _, _ := p.Metric("project"); states[Busy] != 2 {
		t.Errorf("states %v, want two busy projects", states)
	}
}

func TestQuota(t *testing.T) {
	policy := Policy{Accounts: map[string]Account{"a": {Quota: map[string]int{"project": 1}}}}
	p := newPool(t, policy, projects(3, Free))
	now := start()
	first := mustAcquire(t, p, now, want("a", ""))
	var quota *OverQuota
	if _, err := p.Acquire(now, want("a", "")); !errors.As(err, &quota) {
		t.Errorf("second lease of a: %v, want OverQuota", err)
	}
	queues(t, p, now, waits("a", "1"))
	mustAcquire(t, p, now, waits("b", "2"))
	release(t, p, now, first, Dirty)
	p.Tick(now)
	if got := served(p); !slices.Equal(got, []string{"a"}) {
		t.Errorf("served %v after a gave one back, want a", got)
	}
}

func TestReservation(t *testing.T) {
	p := newPool(t, Policy{}, projects(2, Free))
	now := start()
	r, err := p.Reserve(now, Reservation{
		Type: "project", Count: 1, Account: "scale", From: now.Add(time.Hour), Until: now.Add(2 * time.Hour), By: "alice", Reason: "5k",
	})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	p.Tick(now)
	mustAcquire(t, p, now, want("a", ""))
	queues(t, p, now, waits("b", "1"))
	got := mustAcquire(t, p, now, want("scale", "2"))
	if got.Lease.Reservation != r.ID {
		t.Errorf("lease counts against %q, want %q", got.Lease.Reservation, r.ID)
	}
	release(t, p, now, got, Free)
	if got := served(p); got != nil {
		t.Errorf("served %v from what is reserved", got)
	}
	p.Tick(now.Add(time.Hour))
	if got := served(p); !slices.Equal(got, []string{"b"}) {
		t.Errorf("served %v after the window, want b", got)
	}
}

func TestExpiry(t *testing.T) {
	p := newPool(t, Policy{Idle: 30 * time.Minute}, projects(2, Free))
	now := start()
	old := mustAcquire(t, p, now, want("boskos", ""))
	c := want("v1", "")
	c.TTL = 5 * time.Minute
	short := mustAcquire(t, p, now, c)
	p.Tick(now.Add(4 * time.Minute))
	if _, err := p.Renew(now.Add(4*time.Minute), Grip{Resource: short.Name, Lease: short.Lease.ID}, 0); err != nil {
		t.Fatal(err)
	}
	p.Tick(now.Add(6 * time.Minute))
	if !p.Get(short.Name).Held() {
		t.Error("a renewed lease ended")
	}
	p.Tick(now.Add(9 * time.Minute))
	if r := p.Get(short.Name); r.Held() || r.State != Dirty || r.Last.Why != Expired {
		t.Errorf("after its time: %+v", r)
	}
	if err := p.Update(now.Add(20*time.Minute), Grip{Resource: old.Name, Owner: "boskos"}, Busy, nil); err != nil {
		t.Fatal(err)
	}
	p.Tick(now.Add(45 * time.Minute))
	if !p.Get(old.Name).Held() {
		t.Error("a lease with a sign of life ended")
	}
	p.Tick(now.Add(50 * time.Minute))
	if r := p.Get(old.Name); r.Held() || r.State != Dirty {
		t.Errorf("without a sign of life: %+v", r)
	}
}

func TestPodGone(t *testing.T) {
	p := newPool(t, Policy{}, projects(2, Free))
	c := want("same name", "")
	c.Pod = "uid-1"
	mine := mustAcquire(t, p, start(), c)
	other := mustAcquire(t, p, start(), want("same name", ""))
	p.PodGone(start(), "uid-1")
	if r := p.Get(mine.Name); r.Held() || r.State != Dirty {
		t.Errorf("lease of the pod: %+v", r)
	}
	if !p.Get(other.Name).Held() {
		t.Error("an owner's name freed a lease")
	}
}

func TestQuarantineAfterFailures(t *testing.T) {
	p := newPool(t, Policy{SickAfter: 2}, projects(1, Dirty))
	clean := Claim{Owner: "janitor", Wants: []Want{{"project", 1}}, From: Dirty, To: Cleaning}
	for range 2 {
		r := mustAcquire(t, p, start(), clean)
		if err := p.Release(start(), Grip{Resource: r.Name, Owner: "janitor"}, Dirty, "routers stay"); err != nil {
			t.Fatal(err)
		}
	}
	r := p.Get("p000")
	if r.State != Quarantined || r.Sick.Reason != "2 cleanings failed, the last one: routers stay" {
		t.Errorf("after two failures: %+v, %+v", r, r.Sick)
	}
	if _, err := p.Heal(start(), r.Name, Dirty); err != nil {
		t.Fatal(err)
	}
	r = mustAcquire(t, p, start(), clean)
	release(t, p, start(), r, Free)
	if r := p.Get("p000"); r.State != Free || r.Failures != 0 {
		t.Errorf("after a clean one: %+v", r)
	}
}

func TestDynamic(t *testing.T) {
	config := Config{Dynamic: []Dynamic{{Type: "project", State: Free, Min: 1, Max: 2, Lifespan: time.Hour}}}
	p := newPool(t, Policy{}, config)
	now := start()
	if n := p.size("project"); n != 1 {
		t.Fatalf("%d at the start, want the minimum", n)
	}
	mustAcquire(t, p, now, want("a", "1"))
	queues(t, p, now, waits("b", "2"))
	p.Tick(now)
	if got := served(p); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("served %v from one that was made, want b", got)
	}
	queues(t, p, now, waits("c", "3"))
	p.Tick(now)
	if n := p.size("project"); n != 2 {
		t.Errorf("%d, want no more than the maximum", n)
	}
	release(t, p, now, p.Get("made-1"), Free)
	served(p)
	p.Sync(now, Config{})
	for _, r := range slices.Collect(p.All("project")) {
		release(t, p, now, r, Free)
	}
	for _, r := range slices.Collect(p.All("project")) {
		if r.State != ToBeDeleted {
			t.Fatalf("after its type was removed: %+v", r)
		}
		c := Claim{Owner: "cleaner", From: ToBeDeleted, To: Cleaning}
		got, err := p.AcquireByName(now, c, []string{r.Name})
		if err != nil {
			t.Fatal(err)
		}
		release(t, p, now, got[0], Tombstone)
	}
	if len(p.resources) != 0 || len(p.dynamics) != 0 {
		t.Errorf("left: %v, %v", p.resources, p.dynamics)
	}
}

// A lifespan begins when a resource is given back, and goes on when it is reset.
func TestLifespan(t *testing.T) { // P-18
	p := newPool(t, Policy{}, Config{Dynamic: []Dynamic{{Type: "project", State: Free, Min: 1, Max: 1, Lifespan: time.Hour}}})
	now := start()
	r := mustAcquire(t, p, now, want("a", ""))
	p.Reset(now, "project", r.State, 0, Free)
	if got := p.Get(r.Name).Expires; !got.IsZero() {
		t.Errorf("a reset begins a lifespan: until %v", got)
	}
	release(t, p, now, mustAcquire(t, p, now, want("a", "")), Free)
	end := now.Add(time.Hour)
	now = now.Add(time.Minute)
	r = mustAcquire(t, p, now, want("a", ""))
	p.Reset(now, "project", r.State, 0, Free)
	if got := p.Get(r.Name).Expires; !got.Equal(end) {
		t.Errorf("after a reset it ends at %v, want %v", got, end)
	}
}

// What came back leaves nothing to be done for its type: to look at that one alone is enough.
func TestOneIsTendedLikeAll(t *testing.T) { // P-18
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 18))
		now, lifespan := start(), []time.Duration{0, time.Minute}[seed%2]
		config := func() Config {
			if rng.IntN(4) == 0 {
				return Config{}
			}
			low := rng.IntN(3)
			return Config{Dynamic: []Dynamic{{Type: "project", State: Free, Min: low, Max: low + rng.IntN(4), Lifespan: lifespan}}}
		}
		p := newPool(t, Policy{}, config())
		for range 300 {
			now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
			all := slices.Collect(p.All("project"))
			Sort(all)
			switch n := rng.IntN(20); {
			case n == 0:
				p.Sync(now, config())
			case n < 8:
				c := want("a", fmt.Sprint("r", rng.IntN(3)))
				c.From = []string{Free, ToBeDeleted, Dirty}[rng.IntN(3)]
				_, _ = p.Acquire(now, c)
			case len(all) > 0:
				r := all[rng.IntN(len(all))]
				to := []string{Free, Dirty, Tombstone, ToBeDeleted}[rng.IntN(4)]
				_ = p.Release(now, Grip{Resource: r.Name, Owner: r.Owner}, to, "") // some are not held
			}
			p.Tick(now)
			p.Keep()
			p.tend(now, "project")
			if left := p.Changes(); len(left) > 0 {
				t.Fatalf("seed %d: there was something left to do at %v: %+v, before %+v", seed, now, left[0].Resource, all)
			}
		}
	}
}

// A resource that the configuration listed, did not list, and lists again has no epoch twice, nor one with a clock that goes back.
func TestEpochsGoUp(t *testing.T) { // P-8
	p := newPool(t, Policy{}, projects(1, Free))
	now, last := start(), uint64(0)
	for i := range 20 {
		r := mustAcquire(t, p, now, want("a", ""))
		if r.Epoch <= last {
			t.Fatalf("lease %d has the epoch %d after %d", i, r.Epoch, last)
		}
		last = r.Epoch
		release(t, p, now, r, Free)
		switch i % 3 {
		case 0:
			now = now.Add(time.Second)
			p.Sync(now, Config{})
			p.Sync(now, projects(1, Free))
		case 1:
			now = now.Add(-time.Minute)
			p.Sync(now, Config{})
			p.Sync(now, projects(1, Free))
		default:
			now = now.Add(time.Hour)
		}
	}
}

func TestSyncDrains(t *testing.T) {
	p := newPool(t, Policy{}, projects(3, Free))
	held := mustAcquire(t, p, start(), want("a", ""))
	p.Sync(start(), Config{Static: []Group{{Type: "other", State: Dirty, Names: []string{held.Name}}}})
	if n := len(p.resources); n != 1 {
		t.Fatalf("%d resources, want only the one that is held", n)
	}
	release(t, p, start(), p.Get(held.Name), Free)
	if r := p.Get(held.Name); r == nil || r.Type != "other" || r.State != Dirty {
		t.Errorf("after its lease: %+v, want it made anew", r)
	}
}

// dump is everything a pool would store.
func dump(p *Pool) map[Ref]Record {
	all := map[Ref]Record{}
	add := func(kind Kind, keys []string) {
		for _, key := range keys {
			ref := Ref{kind, key}
			all[ref] = p.record(ref)
		}
	}
	add(KindResource, slices.Collect(maps.Keys(p.resources)))
	add(KindWaiter, slices.Collect(maps.Keys(p.waiters)))
	add(KindShare, slices.Collect(maps.Keys(p.shares)))
	add(KindDynamic, slices.Collect(maps.Keys(p.dynamics)))
	add(KindReservation, slices.Collect(maps.Keys(p.reservations)))
	return all
}

// chaos does something at random.
func chaos(p *Pool, rng *rand.Rand, now time.Time) {
	owner := fmt.Sprint("o", rng.IntN(4))
	pick := func() *Resource {
		names := slices.Sorted(maps.Keys(p.resources))
		if len(names) == 0 {
			return &Resource{Name: "none"}
		}
		return p.resources[names[rng.IntN(len(names))]]
	}
	r := pick()
	grip := Grip{Resource: r.Name, Owner: r.Owner}
	states := []string{Free, Dirty, "odd"}
	state := states[rng.IntN(len(states))]
	switch rng.IntN(14) {
	case 0, 1, 2:
		c := want(owner, fmt.Sprint(rng.IntN(6)))
		c.Waits, c.From = rng.IntN(2) == 0, state
		c.Class = []string{"", "release"}[rng.IntN(2)]
		if rng.IntN(4) == 0 {
			c.Wants = []Want{{"project", 1 + rng.IntN(2)}, {"made", 1}}
		}
		_, _ = p.Acquire(now, c)
	case 3:
		c := want(owner, "")
		c.TTL = time.Duration(rng.IntN(2)) * time.Minute
		_, _ = p.Acquire(now, c)
	case 4, 5, 6:
		_ = p.Release(now, grip, state, "")
	case 7:
		_, _ = p.Renew(now, grip, 0)
	case 8:
		_ = p.Update(now, grip, r.State, map[string]string{"k": fmt.Sprint(rng.IntN(2))})
	case 9:
		if rng.IntN(4) == 0 {
			_, _ = p.Quarantine(now, r.Name, "odd", "me")
		} else {
			_, _ = p.Heal(now, r.Name, Free)
		}
	case 10:
		_, _ = p.Transfer(now, grip, "next", Holder{Account: "next"})
	case 11:
		_ = p.Reset(now, "project", Busy, time.Minute, Dirty)
	case 12:
		_, _ = p.Reserve(now, Reservation{Type: "project", Count: 1, Account: owner, From: now, Until: now.Add(time.Minute), By: "x", Reason: "y"})
	case 13:
		c := projects(3+rng.IntN(3), Free)
		if rng.IntN(3) > 0 {
			c.Dynamic = []Dynamic{{Type: "made", State: Free, Min: 1, Max: 1 + rng.IntN(3), Lifespan: time.Minute}}
		}
		p.Sync(now, c)
	}
	p.Tick(now)
}

// check compares the indexes with what they are indexes of.
func check(t *testing.T, p *Pool) {
	t.Helper()
	counts, held := map[place]int{}, map[string]int{}
	leases := map[string]bool{}
	for name, r := range p.resources {
		if r.Name != name {
			t.Fatalf("%s stands under %s", r.Name, name)
		}
		if (r.Lease != nil) != r.Held() {
			t.Fatalf("owner %q, lease %+v", r.Owner, r.Lease)
		}
		if !r.Held() {
			counts[place{r.Type, r.State}]++
			continue
		}
		if leases[r.Lease.ID] || p.leases[r.Lease.ID] != name {
			t.Fatalf("lease %s twice or not indexed", r.Lease.ID)
		}
		leases[r.Lease.ID] = true
		held[shareKey(r.Type, r.Lease.Account)]++
	}
	for typ, states := range p.places {
		for state, s := range states {
			if at := (place{typ, state}); s.free.len() != counts[at] {
				t.Fatalf("%v: %d free, want %d", at, s.free.len(), counts[at])
			}
			for _, w := range s.arrival.items {
				if p.waiters[w.key()] != w {
					t.Fatalf("a waiter stands in a queue and not in the table")
				}
			}
		}
	}
	for key, s := range p.shares {
		if s.Holds != held[key] {
			t.Fatalf("%s holds %d, want %d", key, s.Holds, held[key])
		}
	}
	if len(p.leases) != len(leases) {
		t.Fatalf("%d leases indexed, want %d", len(p.leases), len(leases))
	}
}

// idle finds a waiter who could be served and is not, where there is enough for all who wait there.
func idle(t *testing.T, p *Pool, now time.Time) {
	t.Helper()
	for _, w := range p.waiters {
		at := place{w.Wants[0].Type, w.From}
		wanted := p.kept(now, at, w.Account)
		for _, other := range p.spot(at).queue.arrival.items {
			wanted += other.count(at.typ)
		}
		if w.Here && len(w.Wants) == 1 && p.allowed(w) && p.spot(at).free.len() >= wanted {
			t.Fatalf("%s waits at %v, where %d are free and %d wanted", w.Owner, at, p.spot(at).free.len(), wanted)
		}
	}
}

func TestChaos(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		policy := Policy{
			FIFO: seed%2 == 0, Classes: []string{"release"}, Aging: time.Minute, Idle: 3 * time.Minute, SickAfter: 3,
			Accounts: map[string]Account{"o1": {Weight: 3}, "o2": {Quota: map[string]int{"project": 2}}},
		}
		p := newPool(t, policy, projects(4, Free))
		stored := dump(p)
		now := start()
		for range 300 {
			now = now.Add(time.Duration(rng.IntN(20_000)) * time.Millisecond)
			for range 1 + rng.IntN(4) {
				chaos(p, rng, now)
			}
			check(t, p)
			idle(t, p, now)
			if rng.IntN(3) == 0 {
				p.Undo()
				check(t, p)
				if got := dump(p); !reflect.DeepEqual(got, stored) {
					t.Fatalf("seed %d: undone is not as before:\n%v\n%v", seed, got, stored)
				}
				continue
			}
			for _, r := range p.Changes() {
				if r.Gone {
					delete(stored, r.Ref())
				} else {
					r.Lazy = false
					stored[r.Ref()] = r
				}
			}
			p.Keep()
			// What only counts holdings is not stored.
			for ref, r := range dump(p) {
				if ref.Kind == KindShare {
					stored[ref] = r
				}
			}
			if got := dump(p); !reflect.DeepEqual(got, stored) {
				t.Fatalf("seed %d: the records do not make up the pool:\n%v\n%v", seed, got, stored)
			}
		}
		again, err := NewPool(Options{Policy: policy, IDs: numbered("l"), Names: numbered("n")}, slices.Collect(maps.Values(stored)), now)
		if err != nil {
			t.Fatal(err)
		}
		check(t, again)
		if len(dump(again)) != len(stored) {
			t.Fatalf("seed %d: %d objects after a restart, want %d", seed, len(dump(again)), len(stored))
		}
	}
}
