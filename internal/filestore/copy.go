// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// ErrContent says that a file has another content than is declared.
var ErrContent = errors.New("the content is not what is declared")

// Options of a Copier. Zero values mean the defaults.
type Options struct {
	Parallel int           // files at once; 3, each with up to 24 MiB in memory
	Attempts int           // of one file; 3
	Stall    time.Duration // that a store, the source too, may take for a piece before it is given up; 5 minutes
}

// The defaults, and how many pieces of a file are in memory.
const (
	defaultParallel = 3
	defaultAttempts = 3
	defaultStall    = 5 * time.Minute
	ringSize        = 3

	lateTarget = "it took longer than %v"
)

// Job is one file and where it is to go.
type Job struct {
	Name   string
	SHA256 string
	From   Store
	To     []Target
}

// Target is a store that lacks a file.
type Target struct {
	Store    Store
	Replaces string // version of what is overwritten, of which a copy is kept; "" creates
	Kept     string // name of that copy
}

// Outcome is what became of one target.
type Outcome struct {
	Job, Target int
	Bytes       int64 // that it was sent and kept
	Err         error // nil: the store holds the content
}

// Event tells how far a copy is. Calls do not overlap.
type Event struct {
	Outcome
	Read int64 // bytes from sources since the beginning, of all jobs
}

// Copy copies files, a few at a time, and returns an outcome for each target. A failure of
// one stops no other. When ctx ends, what is not finished fails with its error.
func Copy(ctx context.Context, jobs []Job, opts Options, tell func(Event)) []Outcome {
	c := &copying{ctx: ctx, jobs: jobs, opts: opts, tell: tell}
	if c.opts.Parallel <= 0 {
		c.opts.Parallel = defaultParallel
	}
	if c.opts.Attempts <= 0 {
		c.opts.Attempts = defaultAttempts
	}
	if c.opts.Stall <= 0 {
		c.opts.Stall = defaultStall
	}
	next := make(chan int)
	var all sync.WaitGroup
	for range min(c.opts.Parallel, len(jobs)) {
		all.Go(func() {
			w := &worker{copying: c}
			for n := range next {
				w.job(n)
			}
		})
	}
	for n := range jobs {
		next <- n
	}
	close(next)
	all.Wait()
	slices.SortFunc(c.outcomes, func(a, b Outcome) int {
		if a.Job != b.Job {
			return a.Job - b.Job
		}
		return a.Target - b.Target
	})
	return c.outcomes
}

type copying struct {
	ctx  context.Context //nolint:containedctx // lives as long as one Copy
	jobs []Job
	opts Options
	tell func(Event)

	mu       sync.Mutex
	read     int64
	outcomes []Outcome
}

func (c *copying) settle(o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes = append(c.outcomes, o)
	c.tell(Event{o, c.read})
}

func (c *copying) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += int64(n)
}

// worker copies one file at a time, with pieces of its own.
type worker struct {
	*copying
	ring [ringSize][]byte
}

// job tries until every target is settled. What failed for good is not tried again.
func (w *worker) job(n int) {
	job := w.jobs[n]
	open := make([]int, len(job.To))
	for i := range open {
		open[i] = i
	}
	for attempt := 1; len(open) > 0; attempt++ {
		errs, size := w.attempt(job, open)
		var again []int
		for i, target := range open {
			if errs[i] != nil && attempt < w.opts.Attempts && repeatable(errs[i]) && w.ctx.Err() == nil {
				again = append(again, target)
				continue
			}
			o := Outcome{Job: n, Target: target, Err: errs[i]}
			if o.Err == nil {
				o.Bytes = size
			}
			w.settle(o)
		}
		open = again
	}
}

// repeatable tells errors that another attempt may not have.
func repeatable(err error) bool {
	return !errors.Is(err, ErrChanged) && !errors.Is(err, ErrNotFound)
}

// attempt reads the file once and sends it to some targets. It returns an error for each.
func (w *worker) attempt(job Job, targets []int) (errs []error, size int64) {
	errs = make([]error, len(targets))
	fail := func(err error) ([]error, int64) {
		for i := range errs {
			errs[i] = errors.Join(errs[i], err)
		}
		return errs, 0
	}
	from, err := w.source(job)
	if err != nil {
		return fail(fmt.Errorf("source: %w", err))
	}
	defer from.close()
	lanes := make([]*lane, len(targets))
	w.each(len(targets), func(i int) {
		lanes[i] = w.open(job, job.To[targets[i]], from.size)
	})
	sum, size, err := w.stream(from, lanes)
	switch {
	case err != nil:
		err = fmt.Errorf("source: %w", err)
	case size != from.size:
		err = fmt.Errorf("source: %d bytes came instead of %d", size, from.size)
	case sum != job.SHA256:
		err = fmt.Errorf("source has sha256 %s instead of %s: %w", sum, job.SHA256, ErrContent)
	}
	w.each(len(targets), func(i int) { errs[i] = w.close(job, job.To[targets[i]], lanes[i], err) })
	return errs, size
}

// each calls do for all numbers below n at once.
func (w *worker) each(n int, do func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// patience is how long one store is waited for. Its context ends when that was too long, so that
// a store that hangs holds nobody.
type patience struct {
	ctx    context.Context //nolint:containedctx // lives as long as one attempt
	cancel context.CancelCauseFunc
	limit  time.Duration
	late   error
}

// patience begins one; late is what is said at its end, with a verb for how long that was.
func (w *worker) patience(late string) *patience {
	p := &patience{limit: w.opts.Stall, late: fmt.Errorf(late, w.opts.Stall)}
	p.ctx, p.cancel = context.WithCancelCause(w.ctx)
	return p
}

// with does something that a store may take so long for.
func (p *patience) with(do func() error) error {
	timer := time.AfterFunc(p.limit, func() { p.cancel(p.late) })
	defer timer.Stop()
	err := do()
	if err != nil && errors.Is(context.Cause(p.ctx), p.late) {
		return p.late
	}
	return err
}

// source is the file that is read.
type source struct {
	*patience
	r    io.ReadCloser
	size int64
}

// source opens the file of a job.
func (w *worker) source(job Job) (*source, error) {
	s := &source{patience: w.patience("nothing came for %v")}
	err := s.with(func() error {
		r, o, err := job.From.Open(s.ctx, job.Name)
		s.r, s.size = r, o.Size
		return err
	})
	if err != nil {
		s.cancel(nil)
		return nil, err
	}
	return s, nil
}

// piece fills a buffer, or reads what is left.
func (s *source) piece(into []byte) (n int, err error) {
	err = s.with(func() (err error) {
		n, err = io.ReadFull(s.r, into)
		return err
	})
	if n > 0 && errors.Is(err, s.late) {
		err = fmt.Errorf("only %d bytes came in %v", n, s.limit)
	}
	return n, err
}

func (s *source) close() {
	_ = s.r.Close() // it was read only
	s.cancel(nil)
}

// lane is the way to one target. It takes pieces in a goroutine of its own, so that one
// store does not wait for the answer of another.
type lane struct {
	*patience
	sink   Sink // nil where it could not be opened
	pieces chan piece
	ended  chan struct{}
	err    error // of the lane's goroutine; read it after ended
}

// piece is a part of a file that several lanes send.
type piece struct {
	data []byte
	done func()
}

// open begins a target. What it replaces is kept first.
func (w *worker) open(job Job, t Target, size int64) *lane {
	l := &lane{patience: w.patience(lateTarget), pieces: make(chan piece, ringSize), ended: make(chan struct{})}
	l.err = l.with(func() (err error) {
		if t.Replaces != "" {
			if err := t.Store.Keep(l.ctx, job.Name, t.Replaces, t.Kept); err != nil {
				return fmt.Errorf("keep what is replaced: %w", err)
			}
		}
		l.sink, err = t.Store.Create(l.ctx, job.Name, t.Replaces, Content{Size: size, SHA256: job.SHA256})
		return err
	})
	go l.run()
	return l
}

// run sends pieces until there are no more. After a failure it lets them pass.
func (l *lane) run() {
	defer close(l.ended)
	for p := range l.pieces {
		if l.err == nil {
			l.err = l.with(func() error {
				_, err := l.sink.Write(p.data)
				return err
			})
		}
		p.done()
	}
}

// close ends a target: with the whole file if its content was right.
func (w *worker) close(job Job, t Target, l *lane, failed error) error {
	<-l.ended
	defer l.cancel(nil)
	if err := errors.Join(failed, l.err); err != nil || l.sink == nil {
		if l.sink != nil {
			l.sink.Abort()
		}
		if l.err == nil || failed == nil {
			return err
		}
		return failed
	}
	err := l.with(l.sink.Commit)
	if err == nil || w.ctx.Err() != nil {
		return err
	}
	// The answer may have been lost, or somebody else was as fast.
	if w.holds(job, t) {
		return nil
	}
	return err
}

// holds tells whether a target says that it has the file.
func (w *worker) holds(job Job, t Target) bool {
	p := w.patience(lateTarget)
	defer p.cancel(nil)
	var o Object
	err := p.with(func() (err error) {
		o, err = t.Store.Stat(p.ctx, job.Name)
		return err
	})
	return err == nil && o.SHA256 == job.SHA256
}

// stream reads the file, piece by piece, and gives every piece to all lanes.
func (w *worker) stream(from *source, lanes []*lane) (sum string, size int64, err error) {
	defer func() {
		for _, l := range lanes {
			close(l.pieces)
		}
	}()
	hash := sha256.New()
	free := make(chan int, ringSize)
	for i := range ringSize {
		free <- i
	}
	for {
		var i int
		select {
		case i = <-free:
		case <-w.ctx.Done():
			return "", size, w.ctx.Err()
		}
		if w.ring[i] == nil {
			w.ring[i] = make([]byte, PieceSize)
		}
		n, err := from.piece(w.ring[i])
		w.count(n)
		size += int64(n)
		hash.Write(w.ring[i][:n])
		if n > 0 {
			w.send(w.ring[i][:n], lanes, func() { free <- i })
		} else {
			free <- i
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return hex.EncodeToString(hash.Sum(nil)), size, nil
		case err != nil:
			return "", size, err
		}
	}
}

// send gives a piece to all lanes; done is called when the last one has it.
func (w *worker) send(data []byte, lanes []*lane, done func()) {
	var left sync.WaitGroup
	left.Add(len(lanes))
	for _, l := range lanes {
		l.pieces <- piece{data, left.Done} // there is room for the whole ring
	}
	go func() {
		left.Wait()
		done()
	}()
}
