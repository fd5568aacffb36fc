// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What a reviewer found that one caller could do to others, and what a store's refusal could.

func TestWantsThatCannotBeMet(t *testing.T) {
	p := newPool(t, Policy{Aging: time.Second, Accounts: map[string]Account{"few": {Quota: map[string]int{"project": 1}}}}, projects(3, Free))
	for _, test := range []struct {
		wants []Want
		owner string
		want  any
	}{
		{[]Want{{"project", math.MaxInt}}, "x", new(*Invalid)},
		{[]Want{{"project", 4}}, "x", new(*Invalid)},
		{[]Want{{"project", 1}, {"nothing", 1}}, "x", new(*UnknownType)},
		{[]Want{{"project", 2}}, "few", new(*OverQuota)},
	} {
		c := waits(test.owner, "1")
		c.Wants = test.wants
		if _, err := p.Acquire(start(), c); !errors.As(err, test.want) {
			t.Errorf("%v: %v, want %T", test.wants, err, test.want)
		}
	}
	if len(p.waiters) != 0 {
		t.Errorf("%d wait for good", len(p.waiters))
	}
	if _, err := p.Reserve(start(), Reservation{Type: "project", Count: math.MaxInt, Account: "x", From: start(), Until: start().Add(time.Hour), By: "x", Reason: "y"}); err == nil {
		t.Error("reserved more than there is")
	}
}

// TestShrunkType: what became impossible while somebody waited keeps nothing from others.
func TestShrunkType(t *testing.T) {
	p := newPool(t, Policy{Aging: time.Second}, projects(3, Free))
	now := start()
	held := mustAcquire(t, p, now, want("a", ""))
	c := waits("three", "1")
	c.Wants = []Want{{"project", 3}}
	queues(t, p, now, c)
	release(t, p, now, held, Dirty)
	p.Sync(now, projects(2, Free))
	now = now.Add(time.Minute)
	p.Tick(now)
	mustAcquire(t, p, now, waits("one", "2"))
}

// TestNamelessBehindLarge (P-12): who has no name gets nothing that an overdue waiter is owed.
func TestNamelessBehindLarge(t *testing.T) {
	p := newPool(t, Policy{Aging: time.Second, Idle: Never}, projects(4, Free))
	now := start()
	mustAcquire(t, p, now, want("holder", ""))
	c := waits("large", "1")
	c.Wants = []Want{{"project", 4}}
	queues(t, p, now, c)
	now = now.Add(time.Minute)
	nameless := want("greedy", "")
	nameless.Wants = []Want{{"project", 2}}
	var none *NoneFree
	if got, err := p.Acquire(now, nameless); !errors.As(err, &none) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestFullWaiter: a waiter whose account is full keeps nothing from a caller without a name, who is told why it gets nothing.
func TestFullWaiter(t *testing.T) {
	p := newPool(t, Policy{Accounts: map[string]Account{"a": {Quota: map[string]int{"project": 1}}}}, projects(2, Free))
	now := start()
	mustAcquire(t, p, now, want("a", ""))
	queues(t, p, now, waits("a", "1"))
	var quota *OverQuota
	if _, err := p.Acquire(now, want("a", "")); !errors.As(err, &quota) {
		t.Errorf("a without a name: %v, want OverQuota", err)
	}
	mustAcquire(t, p, now, want("b", ""))
}

func owned(owner, request string) Claim {
	c := want(owner, request)
	c.TTL = time.Minute
	return c
}

func TestRequestIsItsOwners(t *testing.T) {
	p := newPool(t, Policy{FIFO: true}, projects(1, Free))
	now := start()
	r := mustAcquire(t, p, now, owned("holder", "h"))
	victim := owned("victim", "r")
	victim.Waits = true
	queues(t, p, now, victim)
	thief := owned("thief", "r")
	thief.Waits = true
	queues(t, p, now, thief)
	if err := p.Release(now, Grip{Resource: r.Name, Lease: r.Lease.ID}, Free, ""); err != nil {
		t.Fatal(err)
	}
	if got := served(p); !slices.Equal(got, []string{"victim"}) {
		t.Errorf("served %v", got)
	}
}

// TestRepeatedRequest (P-7): the same lease, whole, or a refusal.
func TestRepeatedRequest(t *testing.T) {
	c := projects(3, Free)
	c.Static = append(c.Static, Group{Type: "other", State: Free, Names: []string{"o"}})
	p := newPool(t, Policy{}, c)
	two := owned("a", "r")
	two.Wants = []Want{{"project", 2}}
	first, err := p.Acquire(start(), two)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := p.Acquire(start(), two); err != nil || len(again) != 2 || again[0].Lease.ID != first[0].Lease.ID {
		t.Errorf("again: %v, %v", again, err)
	}
	for _, wants := range [][]Want{{{"project", 1}}, {{"other", 1}}, {{"project", 2}, {"other", 1}}} {
		c := two
		c.Wants = wants
		var invalid *Invalid
		if got, err := p.Acquire(start(), c); !errors.As(err, &invalid) {
			t.Errorf("%v under a name that was served: %v, %v", wants, got, err)
		}
	}
	if err := p.Release(start(), Grip{Resource: first[0].Name, Lease: first[0].Lease.ID}, Free, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := p.Acquire(start(), two); err == nil {
		t.Errorf("after a part was given back: %v", got)
	}
}

func TestQuarantineIsNotLent(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	if _, err := p.Quarantine(start(), "p000", "broken", "me"); err != nil {
		t.Fatal(err)
	}
	c := want("x", "")
	c.From = Quarantined
	if got, err := p.Acquire(start(), c); err == nil {
		t.Errorf("lent %v", got)
	}
	if got, err := p.AcquireByName(start(), c, []string{"p000"}); err == nil {
		t.Errorf("lent %v", got)
	}
}

func TestVanishedCleanersAreNoFailure(t *testing.T) {
	p := newPool(t, Policy{SickAfter: 1}, projects(1, Dirty))
	c := Claim{Owner: "janitor", Wants: []Want{{"project", 1}}, From: Dirty, To: Cleaning, TTL: time.Minute}
	r := mustAcquire(t, p, start(), c)
	p.Unclaim(start(), r.Lease.ID)
	mustAcquire(t, p, start(), c)
	p.Tick(start().Add(time.Minute))
	if r := p.Get("p000"); r.State != Dirty || r.Failures != 0 {
		t.Errorf("after a lost answer and a cleaner that vanished: %+v", r)
	}
}

func TestUserDataAreBounded(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	r := mustAcquire(t, p, start(), want("a", ""))
	grip := Grip{Resource: r.Name, Owner: "a"}
	var large *TooLarge
	for i := range 10 {
		err := p.Update(start(), grip, Busy, map[string]string{fmt.Sprint(i): strings.Repeat("<", 50_000)})
		if (err != nil) != (i > 0) || err != nil && !errors.As(err, &large) {
			t.Fatalf("update %d: %v", i, err)
		}
	}
	if err := p.Update(start(), grip, Busy, map[string]string{"0": "", "small": "x"}); err != nil {
		t.Errorf("making room: %v", err)
	}
}

// What JSON does not escape counts as it is.
func TestUserDataInOtherScripts(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	r := mustAcquire(t, p, start(), want("a", ""))
	grip := Grip{Resource: r.Name, Owner: "a"}
	if err := p.Update(start(), grip, Busy, map[string]string{"k": strings.Repeat("é", 200<<10)}); err != nil {
		t.Errorf("400 KiB of letters: %v", err)
	}
	for _, c := range []string{"\x00", "<", `"`, "\xff", "\u2028", "é", "𝄞", "a"} {
		raw, err := json.Marshal(map[string]string{c: c})
		if size := dataSize(map[string]string{c: c}); err != nil || size < len(raw)-2 {
			t.Errorf("%q is said to have %d bytes, and has %d", c, size, len(raw)-2)
		}
	}
}

// What a person extended lasts until then, whatever sign of life comes.
func TestExtendedLeases(t *testing.T) {
	p := newPool(t, Policy{Idle: 30 * time.Minute}, projects(2, Free))
	now := start()
	c := want("a", "")
	c.TTL = 5 * time.Minute
	newer, older := mustAcquire(t, p, now, c), mustAcquire(t, p, now, want("b", ""))
	for _, r := range []*Resource{newer, older} {
		if err := p.Extend(now, r.Name, 2*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Minute)
	if _, err := p.Renew(now, Grip{Resource: newer.Name, Lease: newer.Lease.ID}, 5*time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := p.Update(now, Grip{Resource: older.Name, Owner: "b"}, Busy, nil); err != nil {
		t.Fatal(err)
	}
	p.Tick(now.Add(110 * time.Minute))
	if states, _, _ := p.Metric("project"); states[Busy] != 2 {
		t.Errorf("states %v, want both held", states)
	}
	// A time to live that becomes shorter is shorter all the same.
	p.Tick(now.Add(3 * time.Hour))
	r := mustAcquire(t, p, now, Claim{Owner: "a", Wants: []Want{{"project", 1}}, From: Dirty, To: Busy, TTL: time.Hour})
	short, err := p.Renew(now, Grip{Resource: r.Name, Lease: r.Lease.ID}, time.Minute)
	if err != nil || !short.Lease.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("until %v, %v", short.Lease.Until, err)
	}
}

// A lease that goes on to another holder of its account stays under its reservation, and one that leaves its account makes room.
func TestTransferKeepsBooks(t *testing.T) {
	p := newPool(t, Policy{Accounts: map[string]Account{"small": {Quota: map[string]int{"project": 1}}}}, projects(3, Free))
	now := start()
	if _, err := p.Reserve(now, Reservation{Type: "project", Count: 1, Account: "scale", From: now, Until: now.Add(time.Hour), By: "alice", Reason: "5k"}); err != nil {
		t.Fatal(err)
	}
	p.Tick(now)
	r := mustAcquire(t, p, now, want("scale", ""))
	moved, err := p.Transfer(now, Grip{Resource: r.Name, Owner: "scale"}, "next", Holder{Account: "scale"})
	if err != nil || moved.Lease.Reservation == "" || moved.Lease.Reservation != r.Lease.Reservation {
		t.Errorf("transferred %+v, %v", moved, err)
	}
	mine := mustAcquire(t, p, now, want("small", ""))
	queues(t, p, now, waits("small", "1"))
	if _, err := p.Transfer(now, Grip{Resource: mine.Name, Owner: "small"}, "other", Holder{Account: "other"}); err != nil {
		t.Fatal(err)
	}
	p.Tick(now)
	if got := served(p); !slices.Equal(got, []string{"small"}) {
		t.Errorf("served %v, want who has room now", got)
	}
}

// More than there is is promised to nobody, at no moment.
func TestReservationsThatMeet(t *testing.T) {
	p := newPool(t, Policy{}, projects(3, Free))
	now := start()
	reserve := func(count, from, until int) error {
		_, err := p.Reserve(now, Reservation{
			Type: "project", Count: count, Account: "a", By: "alice", Reason: "x",
			From: now.Add(time.Duration(from) * time.Hour), Until: now.Add(time.Duration(until) * time.Hour),
		})
		return err
	}
	for i, c := range []struct {
		count, from, until int
		ok                 bool
	}{
		{2, 1, 3, true}, {2, 2, 4, false}, {1, 0, 9, true}, {2, 3, 5, true}, {1, 3, 4, false}, {2, 0, 1, true}, {1, 4, 6, false}, {2, 5, 9, true}, {3, 9, 10, true},
	} {
		if err := reserve(c.count, c.from, c.until); (err == nil) != c.ok {
			t.Errorf("reservation %d: %v", i, err)
		}
	}
}

func TestOwnersNameIsNotEnough(t *testing.T) {
	p := newPool(t, Policy{}, projects(2, Free))
	newer := mustAcquire(t, p, start(), owned("a", "r"))
	var needs *NeedsLease
	if err := p.Release(start(), Grip{Resource: newer.Name, Owner: "a"}, Free, ""); !errors.As(err, &needs) {
		t.Errorf("a lease with an id, by the owner's name: %v", err)
	}
	older := mustAcquire(t, p, start(), want("b", ""))
	var owner *NotOwner
	if err := p.Release(start(), Grip{Resource: older.Name, Owner: "b", Account: "c", Bound: true}, Free, ""); !errors.As(err, &owner) {
		t.Errorf("by the name of an owner of another account: %v", err)
	}
	if err := p.Release(start(), Grip{Resource: older.Name, Owner: "b", Account: "b", Bound: true}, Free, ""); err != nil {
		t.Error(err)
	}
}

func TestPatternsWantSomebody(t *testing.T) {
	if _, _, _, ok := Decide([]Rule{{User: "*"}}, Identity{Owner: "x"}, "t"); ok {
		t.Error("a rule for every user let in somebody without a user")
	}
}

// TestGrantAtTheTimeout: what is granted in the moment in which the caller gives up is the caller's. Where the store refuses it,
// nobody has it, later neither.
func TestGrantAtTheTimeout(t *testing.T) {
	for _, refused := range []bool{false, true} {
		t.Run(fmt.Sprintf("refused=%v", refused), func(t *testing.T) { grantAtTheTimeout(t, refused) })
	}
}

func grantAtTheTimeout(t *testing.T, refused bool) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(1, Free))
		held := mustTake(t, k)
		type answer struct {
			got []*Resource
			err error
		}
		answers := make(chan answer)
		go func() {
			got, err := k.Acquire(t.Context(), want("waiter", "w"), time.Second)
			answers <- answer{got, err}
		}()
		synctest.Wait()
		// The keeper is busy when the time is over, so that the release and the leave are one batch.
		go func() {
			_ = k.Do(t.Context(), func(p *Pool, now time.Time) { time.Sleep(2 * time.Second) })
		}()
		synctest.Wait()
		go func() {
			_ = k.Do(t.Context(), func(p *Pool, now time.Time) { _ = p.Release(now, Grip{Resource: held.Name, Owner: "x"}, Free, "") })
		}()
		if refused {
			store.breaks(ErrRefused)
		}
		a := <-answers
		if refused != errors.Is(a.err, ErrRefused) || !refused && len(a.got) != 1 {
			t.Errorf("the waiter got %v, %v", a.got, a.err)
		}
		if !refused {
			return
		}
		store.breaks(nil)
		if err := k.Do(t.Context(), func(p *Pool, now time.Time) { _ = p.Release(now, Grip{Resource: held.Name, Owner: "x"}, Free, "") }); err != nil {
			t.Fatal(err)
		}
		if err := k.Do(t.Context(), func(p *Pool, _ time.Time) {
			if r := p.Get(held.Name); r.Held() {
				t.Errorf("%s is lent to %s, who has gone", r.Name, r.Owner)
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRefusedLeave: a caller who left in a batch that the store refused has left.
func TestRefusedLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		k, _ := keep(t, store, projects(2, Free))
		one, two := mustTake(t, k), mustTake(t, k)
		go func() { _, _ = k.Acquire(t.Context(), want("waiter", "w"), time.Second) }()
		synctest.Wait()
		go func() {
			_ = k.Do(t.Context(), func(p *Pool, now time.Time) { time.Sleep(2 * time.Second) })
		}()
		synctest.Wait()
		store.breaks(fmt.Errorf("no: %w", ErrRefused))
		err := k.Do(t.Context(), func(p *Pool, now time.Time) { _ = p.Release(now, Grip{Resource: two.Name, Owner: "x"}, Dirty, "") })
		if !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		store.breaks(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		left := -1
		if err := k.Do(context.WithoutCancel(t.Context()), func(p *Pool, _ time.Time) { left = len(p.waiters) }); err != nil {
			t.Fatal(err)
		}
		if left != 0 {
			t.Errorf("%d waiters stay for good", left)
		}
		_ = one
	})
}

// TestWatchEnds: a watch does not outlive its keeper.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, end := keep(t, &memory{}, projects(1, Free))
		w, err := k.Watch(t.Context(), func(*Pool) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, open := <-w.Changes; open {
			t.Error("a change after the end")
		}
	})
}

// TestStoodStill (P-21): signs of life that came while the process stood still count.
func TestStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := keep(t, &memory{}, projects(1, Free))
		c := owned("a", "")
		c.TTL = 3 * time.Second
		got, err := k.Acquire(t.Context(), c, 0)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_ = k.Do(t.Context(), func(p *Pool, now time.Time) { time.Sleep(5 * time.Second) }) // as a stopped process does
		}()
		time.Sleep(5*time.Second + 100*time.Millisecond)
		err = k.Do(t.Context(), func(p *Pool, now time.Time) {
			if _, err := p.Renew(now, Grip{Resource: got[0].Name, Lease: got[0].Lease.ID}, 0); err != nil {
				t.Errorf("renewed late: %v", err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
