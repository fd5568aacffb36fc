// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/wal"
)

// compactEvery is how often Run looks for journal segments to drop.
const compactEvery = 10 * time.Minute

// Run works until ctx ends, then waits for the running handlers; after
// Options.Grace their contexts are cancelled. What was not settled stays in the
// journal. It returns the first error of the journal, or nil.
func (q *Queue) Run(ctx context.Context, handle Handler) error {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(q.opts.Grace, func() { cancel(errors.New("the grace period is over")) })
	})
	defer stop()

	var group sync.WaitGroup
	var once sync.Once
	var failed error
	ctx, fail := context.WithCancel(ctx)
	defer fail()
	for range q.opts.Workers {
		group.Go(func() {
			if err := q.worker(ctx, work, handle); err != nil {
				once.Do(func() { failed = err })
				fail() // without a journal nothing can be settled: end and be restarted
			}
		})
	}
	group.Go(func() { q.compactor(ctx) })
	group.Wait()
	return failed
}

func (q *Queue) compactor(ctx context.Context) {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := q.Compact(now); err != nil {
				q.opts.Log.WithError(err).Error("Journal not compacted")
			}
		}
	}
}

func (q *Queue) worker(ctx, work context.Context, handle Handler) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.wake:
		}
		for {
			job, items, ok := q.take(ctx)
			if !ok {
				break
			}
			if err := q.work(work, job, items, handle); err != nil {
				return err
			}
		}
	}
}

// take hands out the next ready key. While the queue is paused, or when ctx has
// ended, there is none.
func (q *Queue) take(ctx context.Context) (Job, []*pending, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready) == 0 || ctx.Err() != nil || q.paused.After(time.Now()) {
		return Job{}, nil, false
	}
	key := q.ready[0]
	q.ready = q.ready[1:]
	if len(q.ready) > 0 {
		q.signal() // another worker can go on beside this one
	}
	e := q.keys[key]
	e.waiting, e.running, e.woken = false, true, false
	e.attempt++
	job := Job{Key: key, Attempt: e.attempt}
	for _, p := range e.items {
		job.Items = append(job.Items, p.Item)
	}
	q.stats.Running++
	return job, slices.Clone(e.items), true
}

// work runs the handler and records the outcome. Only a failing journal is an error.
func (q *Queue) work(ctx context.Context, job Job, items []*pending, handle Handler) error {
	start := time.Now()
	err := q.call(ctx, job, handle)
	log := q.opts.Log.WithField("key", job.Key).WithField("attempt", job.Attempt)

	var pause interface{ PauseUntil() time.Time }
	var soon interface{ RetryIn() time.Duration }
	var journal error
	switch {
	case err == nil:
		log.WithField("items", len(items)).WithField("duration", time.Since(start).String()).Info("Handled")
		journal = q.finish(job, items, record{Op: opDone, Key: job.Key})
	case ctx.Err() != nil:
		q.again(job, 0, false) // stopping: the journal keeps the items
	case errors.As(err, &pause):
		log.WithError(err).Warning("Paused")
		q.pause(pause.PauseUntil())
		q.again(job, 0, false)
	case errors.As(err, &soon) && job.Attempt < soonAttempts*q.opts.MaxAttempts:
		log.WithError(err).Info("Trying again")
		q.again(job, soon.RetryIn(), true)
	case job.Attempt >= q.opts.MaxAttempts:
		log.WithError(err).Error("Given up; see steward hook replay")
		journal = q.finish(job, items, record{Op: opDead, Key: job.Key, Error: clip(err.Error()), Attempts: job.Attempt, At: time.Now().Unix()})
	default:
		log.WithError(err).Warning("Failed; trying again")
		q.again(job, backoff(job.Attempt), true)
	}
	return journal
}

// soonAttempts is how much more patience an error with RetryIn gets.
const soonAttempts = 3

// clip bounds what an error may take in the journal.
func clip(s string) string {
	const limit = 2000
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// call turns a panic into an error, so that one poisoned thread does not stop
// the others.
func (q *Queue) call(ctx context.Context, job Job, handle Handler) (err error) {
	ctx, cancel := context.WithTimeout(ctx, q.opts.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			q.opts.Log.WithField("key", job.Key).WithField("stack", string(debug.Stack())).Error("Handler panicked")
			err = fmt.Errorf("handle %s: panic: %v", job.Key, p)
		}
	}()
	return handle(ctx, job)
}

// finish journals the end of a job, then forgets its items.
func (q *Queue) finish(job Job, items []*pending, end record) error {
	q.mu.Lock()
	for _, p := range items {
		end.Seqs = append(end.Seqs, p.seq)
	}
	_, dead := q.letters[job.Key]
	q.mu.Unlock()
	var seq wal.Seq
	if len(items) > 0 || dead || end.Op == opDead {
		var err error
		if seq, err = q.append(end); err != nil {
			return fmt.Errorf("journal the end of %s: %w", job.Key, err)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Running--
	if end.Op == opDead {
		q.stats.Dead++
		q.letters[job.Key] = Letter{Key: job.Key, Error: end.Error, Attempts: end.Attempts, At: time.Unix(end.At, 0), seq: seq}
	} else {
		q.stats.Handled++
		delete(q.letters, job.Key)
	}
	e := q.keys[job.Key]
	e.items = slices.DeleteFunc(e.items, func(p *pending) bool { return slices.Contains(items, p) })
	e.running, e.attempt = false, 0
	if len(e.items) > 0 || e.woken {
		q.schedule(job.Key, 0)
	} else {
		q.forget(job.Key)
	}
	return nil
}

// again schedules a key that was not settled; counted says whether the attempt
// counts towards MaxAttempts.
func (q *Queue) again(job Job, delay time.Duration, counted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Running--
	q.stats.Retries++
	e := q.keys[job.Key]
	e.running, e.woken = false, true
	if !counted {
		e.attempt--
	}
	q.schedule(job.Key, delay)
}

// longestPause bounds what an outside service can ask for.
const longestPause = time.Hour

// pause stops all keys until a moment; a later one wins.
func (q *Queue) pause(until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	if limit := now.Add(longestPause); until.After(limit) {
		until = limit
	}
	if !until.After(q.paused) {
		return
	}
	q.paused = until
	time.AfterFunc(until.Sub(now), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.paused.Equal(until) {
			q.paused = time.Time{} // the timer decides, whatever the wall clock does
		}
		if len(q.ready) > 0 {
			q.signal()
		}
	})
}

// Dead lists the dead letters, by key.
func (q *Queue) Dead() []Letter {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]Letter, 0, len(q.letters))
	for _, l := range q.letters {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b Letter) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// Stats are counts since Open, and what there is now.
type Stats struct {
	Handled, Retries, Dead, Duplicates uint64
	Running                            int
	Waiting                            int // items that are not settled
	Keys                               int // keys with something to do
	Letters                            int
	Remembered                         int       // IDs
	Oldest                             time.Time // when the oldest open item came; zero for none
	PausedUntil                        time.Time
}

// Stats is for metrics and readiness.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Keys, s.Letters, s.Remembered, s.PausedUntil = len(q.keys), len(q.letters), len(q.seen), q.paused
	for _, e := range q.keys {
		s.Waiting += len(e.items)
		if len(e.items) > 0 && (s.Oldest.IsZero() || e.items[0].at.Before(s.Oldest)) {
			s.Oldest = e.items[0].at
		}
	}
	return s
}
