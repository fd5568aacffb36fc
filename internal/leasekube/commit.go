// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"sigs.k8s.io/steward/internal/lease"
)

// commit is a set of records as what has to be written for them.
type commit struct {
	writes       []*write // of the objects of Boskos's kinds
	pages        map[string]*page
	reservations map[string]*lease.Reservation
}

// write is one object to be written: how it is in the intent, and how far it came.
type write struct {
	Record lease.Record `json:"record"`
	// Base is the version that it replaces; "" makes the object.
	Base string `json:"base,omitempty"`

	before, after *thing // nil where it is not there
	outcome       outcome
	err           error
}

// outcome is what came of a write.
type outcome int

const (
	untried outcome = iota
	done
	foreign // somebody else has written the object
	denied  // the server refuses it for good
	unknown // nobody knows whether it is done, or ever will be
)

func (w *write) ref() lease.Ref { return w.Record.Ref() }

func (w *write) String() string { return string(w.Record.Kind) + " " + w.Record.Key }

// The bounds of an object: etcd takes 1.5 MiB in one request, and an object has annotations of 256 KiB.
const (
	maxObject     = 1_300_000
	maxAnnotation = 200_000
)

// plan finds out what to write for records, or that it cannot be written. It is nil where nothing is.
func (s *Store) plan(records []lease.Record) (*commit, error) {
	last := map[lease.Ref]lease.Record{}
	for _, r := range records {
		last[r.Ref()] = r
	}
	reserved := maps.Clone(s.fence.Spec.Reservations)
	if reserved == nil {
		reserved = map[string]*lease.Reservation{}
	}
	c := &commit{pages: map[string]*page{}, reservations: reserved}
	changed := false
	for _, ref := range slices.SortedFunc(maps.Keys(last), lease.Ref.Compare) {
		r := last[ref]
		switch {
		case ref.Kind == lease.KindReservation && r.Gone:
			changed = changed || reserved[ref.Key] != nil
			delete(reserved, ref.Key)
		case ref.Kind == lease.KindReservation:
			changed = true
			reserved[ref.Key] = r.Reservation
		case ref.Kind == lease.KindWaiter || ref.Kind == lease.KindShare:
			s.enter(c.pages, r)
		case s.things[ref] != nil || !r.Gone:
			c.writes = append(c.writes, s.write(r))
		}
	}
	for name, p := range s.late {
		if c.pages[name] == nil {
			c.pages[name] = p
		}
	}
	if len(c.writes) == 0 && len(c.pages) == 0 && !changed {
		return nil, nil //nolint:nilnil // nothing to do is no fault
	}
	return c, c.check()
}

func (s *Store) write(r lease.Record) *write {
	w := &write{Record: r, before: s.things[r.Ref()]}
	if w.before != nil {
		w.Base = w.before.Meta.ResourceVersion
	}
	return w
}

// check refuses what the server would.
func (c *commit) check() error {
	for _, w := range c.writes {
		if w.build(0); w.after == nil {
			continue
		}
		content, err := json.Marshal(w.after)
		if err != nil {
			return fmt.Errorf("encode %s: %w", w, err)
		}
		if len(content) > maxObject || len(w.after.Meta.Annotations[annotation]) > maxAnnotation {
			return fmt.Errorf("%s: %d bytes are more than an object may have", w, len(content))
		}
	}
	content, err := json.Marshal(c.reservations)
	if err != nil {
		return fmt.Errorf("encode reservations: %w", err)
	}
	if len(content) > maxReservations {
		return fmt.Errorf("reservations: %d bytes are more than the pool may have", len(content))
	}
	return nil
}

// build makes the object from the record, with the number of a commit.
func (w *write) build(number uint64) {
	if w.Record.Gone {
		w.after = nil
		return
	}
	w.after = thingOf(w.Record, w.before, number)
}

// reverse is the write that undoes one that is done; now is the object as it is, nil where it is gone.
func (w *write) reverse(now *thing) *write {
	r := &write{before: now, Record: lease.Record{Kind: w.Record.Kind, Key: w.Record.Key, Gone: true}}
	if w.before != nil {
		r.Record = w.before.record
	}
	if now != nil {
		r.Base = now.Meta.ResourceVersion
	}
	return r
}

// worst returns a write that failed, one that leaves a doubt if there is any.
func worst(writes []*write) *write {
	var failed *write
	for _, w := range writes {
		if w.outcome != done && (failed == nil || w.outcome > failed.outcome) {
			failed = w
		}
	}
	return failed
}

// abreast is how many requests are under way at once: client-go keeps 25 idle connections to a server.
const abreast = 24

// perform does the writes at the same time. After the first that fails no more are begun.
func (s *Store) perform(ctx context.Context, writes []*write) {
	var next atomic.Int64
	var failed atomic.Bool
	var all sync.WaitGroup
	for range min(abreast, len(writes)) {
		all.Go(func() {
			for i := next.Add(1); int(i) <= len(writes) && !failed.Load(); i = next.Add(1) {
				w := writes[i-1]
				w.outcome, w.err = s.put(ctx, w)
				if w.outcome != done {
					failed.Store(true)
				}
			}
		})
	}
	all.Wait()
}

// put does one write. An answer that was lost makes the request come again and fail: then the object tells.
func (s *Store) put(ctx context.Context, w *write) (outcome, error) {
	var err error
	at := s.cluster.object(w.Record.Kind, w.Record.Key)
	switch {
	case w.after == nil:
		err = s.cluster.remove(ctx, at, w.Base)
		if isStatus(err, http.StatusNotFound) {
			return done, nil
		}
	case w.Base == "":
		err = s.cluster.create(ctx, s.cluster.collection(w.Record.Kind), w.after, &w.after.Meta)
	default:
		err = s.cluster.replace(ctx, at, w.after, &w.after.Meta)
	}
	var status *StatusError
	switch {
	case err == nil:
		return done, nil
	case isStatus(err, http.StatusConflict), isStatus(err, http.StatusNotFound) && w.Base != "":
		return s.look(ctx, w, at, err)
	case errors.As(err, &status) && status.definite():
		return denied, err
	}
	return unknown, err
}

// look finds out whether a write that was refused for the version is one that had been done.
func (s *Store) look(ctx context.Context, w *write, at string, cause error) (outcome, error) {
	now := &thing{}
	err := s.cluster.get(ctx, at, now)
	var status *StatusError
	switch {
	case isStatus(err, http.StatusNotFound):
		if w.after == nil {
			return done, nil
		}
		return foreign, cause
	case errors.As(err, &status) && status.definite():
		return denied, err
	case err != nil:
		return unknown, err
	}
	now.read(w.Record.Kind)
	if w.after != nil && now.commit == w.after.commit {
		w.after.Meta = now.Meta
		return done, nil
	}
	return foreign, cause
}

// intent is what the Pool says of a commit.
func (c *commit) intent() *intent {
	return &intent{Writes: c.writes, Pages: slices.Sorted(maps.Keys(c.pages))}
}
