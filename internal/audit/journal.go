// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/state"
)

// A run's journal in a store (AU-4):
//
//	runs/20261125t221000z-ab12/run.json       what is audited: RunID
//	runs/20261125t221000z-ab12/000001.json    readings, in the order in which they came
//	runs/20261125t221000z-ab12/done.json      the run is over; nothing of it is used again
//
// Every object is created once and never changed, so a kill at any moment leaves whole
// ones.
const (
	runsPrefix = "runs/"
	runFile    = "run.json"
	doneFile   = "done.json"
)

// RunID says what a run audits. An interrupted run is resumed by one that audits the
// same.
type RunID struct {
	// Declared identifies the declared state: what is asked follows from it, and a
	// reading that was not asked about a thing knows nothing of it.
	Declared string   `json:"declared"`
	Parts    []string `json:"parts"`
	// Source tells readers apart that would read something else: endpoints, flags.
	Source  string    `json:"source"`
	Format  int       `json:"format"` // set by OpenJournal
	Started time.Time `json:"started"`
}

// readingsFormat is raised when a collector keeps, or asks for, something else.
const readingsFormat = 1

func (r RunID) same(other RunID) bool {
	return r.Declared == other.Declared && r.Source == other.Source && r.Format == other.Format && slices.Equal(r.Parts, other.Parts)
}

// MaxAge is how old the readings of an interrupted run may be: what they say was true
// then.
const MaxAge = 12 * time.Hour

type entry struct {
	Part    string  `json:"part"`
	Unit    string  `json:"unit"`
	Reading Reading `json:"reading"`
}

// flushAfter and flushEvery bound what a kill costs: the readings of a moment.
const (
	flushAfter = 64 // readings
	flushBytes = 4 << 20
	flushEvery = time.Second
)

// StoreJournal is a Journal in a state.Store. Close it. It is safe for concurrent use.
type StoreJournal struct {
	store state.Store
	dir   string
	kept  map[string]map[string]Reading
	From  string // the run that is resumed, "" for a new one

	mu      sync.Mutex
	pending []entry
	size    int
	wake    chan struct{}
	quit    chan struct{}
	stopped chan struct{}
	abandon context.CancelFunc // gives up what is being stored
	next    int
	err     error // first failure; readings are kept in memory only from then on
}

// OpenJournal begins the journal of a run, or goes on with the newest interrupted one
// that audits the same, where resume is set and there is one.
func OpenJournal(ctx context.Context, s state.Store, id RunID, resume bool) (*StoreJournal, error) {
	id.Format = readingsFormat
	j := &StoreJournal{store: s, kept: map[string]map[string]Reading{}, next: 1}
	j.wake, j.quit, j.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	if resume {
		if err := j.find(ctx, id); err != nil {
			return nil, fmt.Errorf("resume: %w", err)
		}
	}
	if j.dir == "" {
		j.dir = path.Join(runsPrefix, strings.ToLower(id.Started.UTC().Format("20060102t150405.000000000z")))
		raw, err := json.Marshal(id)
		if err != nil {
			return nil, fmt.Errorf("begin journal: %w", err)
		}
		if _, err := s.Put(ctx, path.Join(j.dir, runFile), raw, state.Absent); err != nil {
			return nil, fmt.Errorf("begin journal %s: %w", j.dir, err)
		}
	}
	// The journal outlives ctx: what was read until a SIGTERM is kept.
	var background context.Context
	background, j.abandon = context.WithCancel(context.WithoutCancel(ctx))
	go j.write(background)
	return j, nil
}

// find looks for the newest run that is not over and audits the same.
func (j *StoreJournal) find(ctx context.Context, id RunID) error {
	runs, err := listRuns(ctx, j.store)
	if err != nil {
		return err
	}
	for i := len(runs) - 1; i >= 0; i-- {
		run := runs[i]
		if run.done || !run.id.same(id) || id.Started.Sub(run.id.Started) > MaxAge {
			continue
		}
		j.dir, j.From, j.next = run.dir, path.Base(run.dir), run.last+1
		return j.load(ctx, run.parts)
	}
	return nil
}

// load reads the readings; later ones replace earlier ones.
func (j *StoreJournal) load(ctx context.Context, keys []string) error {
	for _, key := range keys {
		raw, _, err := j.store.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		var entries []entry
		if err := json.Unmarshal(raw, &entries); err != nil {
			return fmt.Errorf("read %s: %w; delete the run's folder to begin anew", key, err)
		}
		for _, e := range entries {
			if j.kept[e.Part] == nil {
				j.kept[e.Part] = map[string]Reading{}
			}
			j.kept[e.Part][e.Unit] = e.Reading
		}
	}
	return nil
}

// Readings returns what the resumed run had read.
func (j *StoreJournal) Readings(part string) map[string]Reading { return j.kept[part] }

// Record keeps a reading. It does not wait for the store.
func (j *StoreJournal) Record(part, unit string, r Reading) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pending = append(j.pending, entry{part, unit, r})
	if j.size += len(r.Data); len(j.pending) >= flushAfter || j.size >= flushBytes {
		select {
		case j.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// write stores what is pending every moment until Close.
func (j *StoreJournal) write(ctx context.Context) {
	defer close(j.stopped)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-j.wake:
		case <-j.quit:
			return
		}
		j.flush(ctx)
	}
}

func (j *StoreJournal) flush(ctx context.Context) {
	j.mu.Lock()
	entries, failed := j.pending, j.err
	j.pending, j.size = nil, 0
	j.mu.Unlock()
	if len(entries) == 0 || failed != nil {
		return
	}
	raw, err := json.Marshal(entries)
	if err == nil {
		key := path.Join(j.dir, fmt.Sprintf("%06d.json", j.next))
		if _, err = j.store.Put(ctx, key, raw, state.Absent); errors.Is(err, state.ErrConflict) {
			// Nobody else writes here: it is ours, and the answer to it was lost.
			if now, _, readErr := j.store.Get(ctx, key); readErr == nil && bytes.Equal(now, raw) {
				err = nil
			}
		}
		j.next++
	}
	if err != nil {
		j.mu.Lock()
		j.err = fmt.Errorf("journal %s: %w", j.dir, err)
		j.mu.Unlock()
	}
}

// Close stores what is pending. With done the run is over and will not be resumed. The
// error is the first that the store gave: the run's results hold, but it could not have
// been resumed.
func (j *StoreJournal) Close(ctx context.Context, done bool) error {
	close(j.quit)
	select {
	case <-j.stopped:
	case <-ctx.Done():
		j.abandon()
		<-j.stopped
	}
	j.flush(ctx)
	j.abandon()
	if j.err != nil || !done {
		return j.err
	}
	_, err := j.store.Put(ctx, path.Join(j.dir, doneFile), []byte("{}"), state.Absent)
	if err != nil && !errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("end journal %s: %w", j.dir, err)
	}
	return nil
}

// runsKept is how many runs stay for people to look at.
const runsKept = 3

// Sweep removes the oldest runs. An error costs nothing but room.
func (j *StoreJournal) Sweep(ctx context.Context) error {
	runs, err := listRuns(ctx, j.store)
	if err != nil {
		return err
	}
	var errs []error
	for _, run := range runs[:max(0, len(runs)-runsKept)] {
		errs = append(errs, j.remove(ctx, run))
	}
	return errors.Join(errs...)
}

// removeAtOnce is how many objects are removed at the same time.
const removeAtOnce = 16

// remove deletes a run. Its description goes last: a run without one is none.
func (j *StoreJournal) remove(ctx context.Context, r run) error {
	keys := append(slices.Clone(r.parts), path.Join(r.dir, doneFile))
	failed := make([]error, len(keys))
	pace.Each(keys, removeAtOnce, func(i int, key string) { failed[i] = j.store.Delete(ctx, key, state.Any) })
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("remove run %s: %w", r.dir, err)
	}
	return j.store.Delete(ctx, path.Join(r.dir, runFile), state.Any)
}
