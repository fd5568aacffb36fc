// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasetest is the suite that every lease.Store passes.
//
// Its heart is a script of commits that is run once for every write that the store does, with the process killed there: the
// write does not happen, or happens and nobody learns of it. Whoever opens the pool then, and is killed at every write of
// that as well, has to find all of the commit under way or nothing of it.
package leasetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// Backend is one place where a pool is kept. It is empty at first.
type Backend interface {
	// Open opens the place as a new process does. The process that had it before is dead.
	Open(t *testing.T) lease.Store
	// Cut kills the process, whether it is open now or will be, at its nth write from now on: that write does not happen, or
	// happens without its knowledge where late is set, and nothing that it tries afterwards does. 0 is never.
	Cut(n int, late bool)
	// Writes counts the writes since Cut.
	Writes() int
	// Rival opens the place as a process does that does not know of the other, or returns nil where a lock keeps it out.
	Rival(t *testing.T) lease.Store
	// TooMuch is a commit that is more than the place takes, or nil.
	TooMuch() []lease.Record
}

// Run tests a store. fresh returns a place where nothing is kept yet.
func Run(t *testing.T, fresh func(t *testing.T) Backend) {
	for name, test := range map[string]func(*testing.T, func(*testing.T) Backend){
		"Everything": everything, "Killed": killed, "Random": random, "Deposed": deposed, "Refused": refused, "Keeper": keeper,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh) })
	}
}

// model knows what a store may hold: of each object one value, and beside it those that lazy records may have left.
type model map[lease.Ref][]string

// none is the value of an object that is not there.
const none = ""

func (m model) apply(records []lease.Record) {
	for _, r := range records {
		var allowed []string
		if r.Lazy {
			allowed = m.allowed(r.Ref())
		}
		m[r.Ref()] = append(slices.Clone(allowed), image(r))
	}
}

// perhaps allows the lazy records of a commit of which nobody knows whether it happened.
func (m model) perhaps(records []lease.Record) {
	for _, r := range records {
		if r.Lazy {
			m.apply([]lease.Record{r})
		}
	}
}

func (m model) allowed(ref lease.Ref) []string {
	if values, ok := m[ref]; ok {
		return values
	}
	return []string{none}
}

// differs names an object that is not as the model has it, or returns "".
func (m model) differs(state lease.State) string {
	found := map[lease.Ref]string{}
	for _, r := range state {
		if _, twice := found[r.Ref()]; twice {
			return fmt.Sprintf("%v is there twice", r.Ref())
		}
		found[r.Ref()] = image(r)
	}
	for ref, got := range found {
		if !slices.Contains(m.allowed(ref), got) {
			return fmt.Sprintf("%v is %s, want one of %q", ref, got, m.allowed(ref))
		}
	}
	for ref, values := range m {
		if _, ok := found[ref]; !ok && !slices.Contains(values, none) {
			return fmt.Sprintf("%v is not there, want one of %q", ref, values)
		}
	}
	return ""
}

func image(r lease.Record) string {
	if r.Gone {
		return none
	}
	content, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// exact forgets that lazy records may be lost: without a crash they are not.
func (m model) exact() model {
	last := model{}
	for ref, values := range m {
		last[ref] = values[len(values)-1:]
	}
	return last
}

func load(t *testing.T, s lease.Store, want model) lease.Epoch {
	t.Helper()
	state, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if diff := want.differs(state); diff != "" {
		t.Fatal(diff)
	}
	return epoch
}

// everything stores all that the script has, and finds it again.
func everything(t *testing.T, fresh func(*testing.T) Backend) {
	b := fresh(t)
	want := model{}
	s := b.Open(t)
	epoch := load(t, s, want)
	for i, records := range script() {
		if err := s.Commit(t.Context(), epoch, records); err != nil {
			t.Fatalf("commit %d: %v", i, err)
		}
		want.apply(records)
		want = want.exact()
		b.Cut(0, false)
		s = b.Open(t)
		next := load(t, s, want)
		epoch = next
	}
}

// killed kills the process at every write of the script, and then at every write of finding what is there.
func killed(t *testing.T, fresh func(*testing.T) Backend) {
	all := writes(t, fresh(t))
	if all == 0 {
		t.Fatal("the script writes nothing")
	}
	t.Logf("the script has %d writes", all)
	for n := 1; n <= all; n++ {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d-%v", n, late), func(t *testing.T) {
				b := fresh(t)
				b.Cut(n, late)
				before, after := play(t, b.Open(t))
				resume(t, b, late, before, after)
			})
		}
	}
}

// writes counts what a run without a fault writes.
func writes(t *testing.T, b Backend) int {
	b.Cut(0, false)
	s := b.Open(t)
	_, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, records := range script() {
		if err := s.Commit(t.Context(), epoch, records); err != nil {
			t.Fatal(err)
		}
	}
	return b.Writes()
}

// play commits the script until the process is killed. before is what the store held then, after what it may hold as well.
func play(t *testing.T, s lease.Store) (before, after model) {
	t.Helper()
	before = model{}
	_, epoch, err := s.Load(t.Context())
	if err != nil {
		return before, before
	}
	for _, records := range script() {
		after = maps.Clone(before)
		after.apply(records)
		if err := s.Commit(t.Context(), epoch, records); err != nil {
			if errors.Is(err, lease.ErrRefused) {
				after = before // nothing was stored
			}
			before.perhaps(records)
			return before, after
		}
		before = after
	}
	return before, before
}

// resume opens what a kill left, with a kill at every write of that too, and goes on with it.
func resume(t *testing.T, b Backend, late bool, before, after model) {
	t.Helper()
	for m := 1; m < 200; m++ {
		b.Cut(m, late)
		s := b.Open(t)
		state, epoch, err := s.Load(t.Context())
		if err != nil {
			continue // killed again
		}
		b.Cut(0, false)
		want := before
		if diff := before.differs(state); diff != "" {
			want = after
			if other := after.differs(state); other != "" {
				t.Fatalf("neither as before: %s\nnor as after: %s", diff, other)
			}
		}
		more := []lease.Record{resource(lease.Resource{Name: "more", Type: "project", State: "free"})}
		if err := s.Commit(t.Context(), epoch, more); err != nil {
			t.Fatalf("go on: %v", err)
		}
		want = maps.Clone(want)
		want.apply(more)
		load(t, b.Open(t), want)
		return
	}
	t.Fatal("the pool cannot be loaded any more")
}

// random commits what comes and opens again now and then.
func random(t *testing.T, fresh func(*testing.T) Backend) {
	b := fresh(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	want, s := model{}, b.Open(t)
	epoch := load(t, s, want)
	for range 60 {
		records := roll(dice)
		if err := s.Commit(t.Context(), epoch, records); err != nil {
			t.Fatal(err)
		}
		want.apply(records)
		want = want.exact()
		if dice.IntN(8) == 0 {
			s = b.Open(t)
			epoch = load(t, s, want)
		}
	}
	load(t, b.Open(t), want)
}

// roll makes a commit about a few objects of every kind.
func roll(dice *rand.Rand) []lease.Record {
	found := map[lease.Ref]lease.Record{}
	for range 1 + dice.IntN(12) {
		r := anything(dice)
		if dice.IntN(5) == 0 {
			r = lease.Record{Kind: r.Kind, Key: r.Key, Gone: true, Lazy: r.Lazy}
		}
		found[r.Ref()] = r
	}
	return slices.SortedFunc(maps.Values(found), func(a, b lease.Record) int { return a.Ref().Compare(b.Ref()) })
}

func anything(dice *rand.Rand) lease.Record {
	name := fmt.Sprintf("n%d", dice.IntN(12))
	at := noon().Add(time.Duration(dice.Int64N(int64(time.Hour))))
	switch dice.IntN(5) {
	case 0:
		w := lease.Waiter{Request: name, Owner: "o", Wants: []lease.Want{{Type: "t", Count: 1 + dice.IntN(3)}}, From: "free", To: "busy", Seq: dice.Uint64N(99), Arrived: at, Seen: at}
		return lease.Record{Kind: lease.KindWaiter, Key: "free/t/" + name, Lazy: true, Waiter: &w}
	case 1:
		return lease.Record{Kind: lease.KindShare, Key: "t/" + name, Lazy: true, Share: &lease.Share{Type: "t", Account: name, Spent: dice.Float64() * 1e6}}
	case 2:
		return lease.Record{Kind: lease.KindDynamic, Key: name, Dynamic: &lease.Dynamic{Type: name, State: "free", Max: dice.IntN(9), Lifespan: time.Duration(dice.IntN(3)) * time.Hour}}
	case 3:
		return lease.Record{Kind: lease.KindReservation, Key: name, Reservation: &lease.Reservation{ID: name, Type: "t", Count: dice.IntN(9), From: at, Until: at.Add(time.Hour)}}
	}
	r := lease.Resource{Name: name, Type: fmt.Sprintf("t%d", dice.IntN(2)), State: "free", Updated: at, Epoch: dice.Uint64N(99)}
	if dice.IntN(2) == 0 {
		r.State, r.Owner = "busy", "somebody"
		r.Lease = &lease.Lease{ID: fmt.Sprint(dice.Uint64()), Since: at}
		r.UserData = map[string]string{"secret": strings.Repeat("x", dice.IntN(99))}
	}
	rec := resource(r)
	rec.Lazy = dice.IntN(4) == 0
	return rec
}

// deposed lets a second process open the pool: what the first writes then is refused and leaves no trace.
func deposed(t *testing.T, fresh func(*testing.T) Backend) {
	b := fresh(t)
	first := b.Open(t)
	want := model{}
	old := load(t, first, want)
	for _, records := range script()[:2] {
		if err := first.Commit(t.Context(), old, records); err != nil {
			t.Fatal(err)
		}
		want.apply(records)
	}
	second := b.Rival(t)
	if second == nil {
		t.Skip("a lock keeps a second process out")
	}
	epoch := load(t, second, want)
	if epoch <= old {
		t.Errorf("epoch %d begins after epoch %d", epoch, old)
	}
	for i, records := range script()[2:] {
		if err := first.Commit(t.Context(), old, records); !errors.Is(err, lease.ErrDeposed) {
			t.Fatalf("commit %d of the deposed: %v", i, err)
		}
		if err := second.Commit(t.Context(), old, records); !errors.Is(err, lease.ErrDeposed) {
			t.Fatalf("commit %d of a former epoch: %v", i, err)
		}
	}
	more := []lease.Record{resource(lease.Resource{Name: "more", Type: "project", State: "free"})}
	if err := second.Commit(t.Context(), epoch, more); err != nil {
		t.Fatal(err)
	}
	want.apply(more)
	load(t, first, want.exact())
}

// refused commits more than the place takes. Nothing of it is stored, and the store goes on.
func refused(t *testing.T, fresh func(*testing.T) Backend) {
	b := fresh(t)
	s, want := b.Open(t), model{}
	epoch := load(t, s, want)
	records := b.TooMuch()
	if records == nil {
		t.Skip("the place takes everything")
	}
	small := resource(lease.Resource{Name: "a-small-one", Type: "project", State: "free"})
	if err := s.Commit(t.Context(), epoch, append(records, small)); !errors.Is(err, lease.ErrRefused) {
		t.Fatalf("more than it takes: %v", err)
	}
	if err := s.Commit(t.Context(), epoch, []lease.Record{small}); err != nil {
		t.Fatalf("after a refusal: %v", err)
	}
	want.apply([]lease.Record{small})
	load(t, b.Open(t), want)
}
