// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasekube keeps a pool in the API of Kubernetes, as the objects that Boskos has there.
//
// What Boskos knows of a resource stands where Boskos has it, so that either takes over a namespace from the other. What
// Boskos does not know is one annotation, which it carries along and which counts only as long as Boskos has not written
// since. Everything else is in objects of ours: a Pool and a few PoolPages beside it.
//
// The Pool is the fence and the intent. A commit first replaces it, on the condition that it is as this process left it; what
// is to be written stands in it. Only then the objects themselves are written, at the same time, each on the condition that
// it is as this process knows it. Whoever loads the pool replaces the Pool first, so that no older process can begin a commit
// any more, and then does what the last one says; so that what such a process has begun is done by then, and a write that it
// is still holding back finds another version.
//
// The numbered rules (PS-1 and on) are in docs/pool-store.md.
package leasekube

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
)

// ErrChanged says that somebody else changed an object of the pool. Nothing of the commit was stored; the pool has to be
// loaded again, because it was decided without that change.
const ErrChanged = sentinel("changed by somebody else")

// ErrUnloaded says that the store was not loaded, or not since it failed.
const ErrUnloaded = sentinel("the pool has to be loaded")

type sentinel string

func (s sentinel) Error() string { return string(s) }

// Store is a pool in a namespace. It may be loaded any number of times. It is safe for concurrent use; commits take turns.
type Store struct {
	cluster *Cluster
	holder  string
	say     *logrus.Entry

	mu     sync.Mutex
	term   string // of the present epoch, "" where there is none
	failed error  // why there is none any more
	fence  *fence
	things map[lease.Ref]*thing
	pages  map[string]*page
	late   map[string]*page // what could not be written of pages
	listed string           // the version of the resources that were loaded, where a watch begins
}

// Store returns the pool of a cluster's namespace. holder is told to those who look at the Pool.
func (c *Cluster) Store(holder string) *Store {
	return &Store{cluster: c, holder: holder, say: c.say}
}

// Load begins an epoch, does what the last commit says, and returns everything.
func (s *Store) Load(ctx context.Context) (lease.State, lease.Epoch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.term, s.failed = "", ErrUnloaded
	term := rand.Text()
	if err := s.take(ctx, term); err != nil {
		return nil, 0, fmt.Errorf("load pool: %w", err)
	}
	if err := s.read(ctx); err != nil {
		return nil, 0, fmt.Errorf("load pool: %w", err)
	}
	if err := s.resume(ctx); err != nil {
		return nil, 0, fmt.Errorf("load pool: %w", err)
	}
	s.term = term
	return s.state(), lease.Epoch(s.fence.Spec.Epoch), nil
}

// state returns all records.
func (s *Store) state() lease.State {
	var all lease.State
	for _, ref := range slices.SortedFunc(maps.Keys(s.things), lease.Ref.Compare) {
		all = append(all, s.things[ref].record)
	}
	for _, name := range slices.Sorted(maps.Keys(s.pages)) {
		for _, key := range slices.Sorted(maps.Keys(s.pages[name].Spec.Entries)) {
			all = append(all, s.pages[name].Spec.Entries[key])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.fence.Spec.Reservations)) {
		all = append(all, lease.Record{Kind: lease.KindReservation, Key: id, Reservation: s.fence.Spec.Reservations[id]})
	}
	return all
}

// resume does what the commit says that was the last one before this epoch, and forgets it.
func (s *Store) resume(ctx context.Context) error {
	last := s.fence.Spec.Intent
	if last == nil {
		s.sweep(ctx)
		return nil
	}
	writes, err := s.intended(ctx, last)
	if err != nil {
		return err
	}
	writes = slices.DeleteFunc(writes, func(w *write) bool { return !s.open(w, last.Commit) })
	for _, w := range writes {
		w.build(last.Commit)
	}
	if err := s.complete(ctx, writes); err != nil {
		return err
	}
	if err := s.claim(ctx, last.Pages); err != nil {
		return err
	}
	if err := s.declare(ctx, s.fence.Spec.Reservations, nil); err != nil {
		return err
	}
	s.sweep(ctx)
	return nil
}

// complete does all writes but those that the server refuses for good: nobody was told that they were done.
func (s *Store) complete(ctx context.Context, writes []*write) error {
	for len(writes) > 0 {
		s.perform(ctx, writes)
		var rest []*write
		for _, w := range writes {
			switch w.outcome {
			case done:
				s.settle(w)
			case untried:
				rest = append(rest, w)
			case denied:
				s.say.WithError(w.err).WithField("object", w.String()).Error("The last commit cannot be completed; this object stays as it is")
			case foreign:
				return fmt.Errorf("%s: %w", w, ErrChanged)
			case unknown:
				return fmt.Errorf("%s: %w", w, w.err)
			}
		}
		writes = rest
	}
	return nil
}

// open tells whether a write of the last commit is still to be done: nobody has written the object since it was decided. An
// object that carries the commit's number has it, whatever was done to it later.
func (s *Store) open(w *write, commit uint64) bool {
	has := s.things[w.ref()]
	if w.Base == "" {
		return has == nil && !w.Record.Gone
	}
	if has == nil || has.commit == commit || has.Meta.ResourceVersion != w.Base {
		return false
	}
	w.before = has
	return true
}

// Commit stores records. An error that is neither ErrRefused nor ErrDeposed says that the pool has to be loaded again.
func (s *Store) Commit(ctx context.Context, epoch lease.Epoch, records []lease.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fence != nil && uint64(epoch) < s.fence.Spec.Epoch:
		return fmt.Errorf("commit: %w", lease.ErrDeposed)
	case s.term == "":
		return fmt.Errorf("commit: %w", cmp.Or(s.failed, error(ErrUnloaded)))
	}
	c, err := s.plan(records)
	if err != nil {
		return fmt.Errorf("commit: %w: %w", lease.ErrRefused, err)
	}
	if c == nil {
		return nil
	}
	ctx, end := outlast(ctx, grace)
	defer end()
	if err := s.commit(ctx, c); err != nil {
		if !errors.Is(err, lease.ErrRefused) {
			s.term, s.failed = "", ErrUnloaded
			if errors.Is(err, lease.ErrDeposed) {
				s.failed = lease.ErrDeposed
			}
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// grace is how long a commit goes on that had begun when the context ended: those who wait for it get an answer.
const grace = 5 * time.Second

// outlast returns a context that ends some time after another.
func outlast(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		pause(longer, d)
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// commit is the intent, then the writes.
func (s *Store) commit(ctx context.Context, c *commit) error {
	before := s.fence.Spec.Reservations
	if err := s.declare(ctx, c.reservations, c.intent()); err != nil {
		return err
	}
	number := s.fence.Spec.Commit
	for _, w := range c.writes {
		w.build(number)
	}
	s.perform(ctx, c.writes)
	switch failed := worst(c.writes); {
	case failed == nil:
	case failed.outcome == unknown:
		return fmt.Errorf("%s: %w", failed, failed.err)
	default:
		return s.takeBack(ctx, c, before, failed)
	}
	for _, w := range c.writes {
		s.settle(w)
	}
	if err := s.turn(ctx, c.pages); err != nil {
		return err
	}
	return s.unload(ctx)
}

// takeBack makes a commit that was not: a second one, which leads back to what was before.
func (s *Store) takeBack(ctx context.Context, c *commit, reservations map[string]*lease.Reservation, failed *write) error {
	var back []*write
	for _, w := range c.writes {
		if w.outcome == done {
			s.settle(w)
			back = append(back, w.reverse(s.things[w.ref()]))
		}
	}
	if err := s.declare(ctx, reservations, (&commit{writes: back}).intent()); err != nil {
		return &doubtful{fmt.Sprintf("%s: %v; take it back: %v", failed, failed.err, err), errors.Is(err, lease.ErrDeposed)}
	}
	for _, w := range back {
		w.build(s.fence.Spec.Commit)
	}
	s.perform(ctx, back)
	for _, w := range back {
		if w.outcome != done {
			return &doubtful{text: fmt.Sprintf("%s: %v; take back %s: %v", failed, failed.err, w, w.err)}
		}
		s.settle(w)
	}
	if failed.outcome == foreign {
		return fmt.Errorf("%s: %w", failed, ErrChanged)
	}
	return fmt.Errorf("%s: %w: %w", failed, lease.ErrRefused, failed.err)
}

// doubtful is a failure that leaves open what is stored, whatever its causes say.
type doubtful struct {
	text    string
	deposed bool
}

func (d *doubtful) Error() string { return d.text }

// Is knows one cause that callers tell apart.
func (d *doubtful) Is(target error) bool { return d.deposed && target == lease.ErrDeposed }

// settle notes that a write is done.
func (s *Store) settle(w *write) {
	if w.after == nil {
		delete(s.things, w.ref())
		return
	}
	s.things[w.ref()] = w.after
}
