// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

const (
	defaultSpool     = 16 << 30
	defaultMemory    = 24 << 20
	defaultDownloads = 16
	defaultPerHost   = 16
	defaultGiveUp    = 5

	imagesPerHost = 8    // on their way to one host at once
	keptImages    = 1000 // whose manifests are in memory, for hosts that lag behind
)

// Copier copies. It is safe for concurrent use.
type Copier struct {
	from Source
	to   Destination
	opts Options
}

// New returns a copier.
func New(from Source, to Destination, opts Options) *Copier {
	opts.Spool = cmp.Or(opts.Spool, defaultSpool)
	opts.Memory = cmp.Or(opts.Memory, defaultMemory)
	opts.Downloads = cmp.Or(opts.Downloads, defaultDownloads)
	opts.PerHost = cmp.Or(opts.PerHost, defaultPerHost)
	opts.GiveUp = cmp.Or(opts.GiveUp, defaultGiveUp)
	return &Copier{from, to, opts}
}

// Copy copies images and returns an outcome for every target of every job, in their order.
// tell, which may be nil, is called once for each target when it is finished, never twice at
// once. What fails is in the outcomes: one failure stops nothing else. When ctx ends, what
// is not finished fails with its error.
func (c *Copier) Copy(ctx context.Context, jobs []Job, tell func(Event)) []Outcome {
	r := &run{Copier: c, jobs: jobs, tell: tell, images: map[string]*wanted{}, tags: map[string]*lazy[map[string]bool]{}, claims: map[string]string{}}
	first := 0
	for _, job := range jobs {
		r.first = append(r.first, first)
		first += len(job.Targets)
		w := r.images[job.key()]
		if w == nil {
			w = &wanted{}
			r.images[job.key()] = w
		}
		w.left += len(job.Targets)
	}
	r.out = make([]Outcome, first)
	dir, err := os.MkdirTemp(c.opts.Dir, "steward-spool-")
	if err != nil {
		r.each(func(j, t int) { r.finish(j, t, Outcome{Err: fmt.Errorf("spool: %w", err)}) })
		return r.out
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	r.spool = newSpool(ctx, c.from, dir, c.opts)
	defer r.spool.filling.Wait()
	defer cancel()
	r.queues(ctx)
	return r.out
}

// run is one call of Copy.
type run struct {
	*Copier
	jobs  []Job
	first []int // index of a job's first outcome
	out   []Outcome
	spool *spool

	telling sync.Mutex
	tell    func(Event)
	done    int
	sent    int64

	mu     sync.Mutex
	images map[string]*wanted // by the key of the job
	kept   []*wanted          // those that are in memory, oldest first
	tags   map[string]*lazy[map[string]bool]
	claims map[string]string // REPOSITORY:TAG to the digest it is to get
}

// each calls do for every target.
func (r *run) each(do func(job, target int)) {
	for j, job := range r.jobs {
		for t := range job.Targets {
			do(j, t)
		}
	}
}

// queues copies to every host on its own: what one takes long for, no other waits for.
func (r *run) queues(ctx context.Context) {
	queues := map[string][][2]int{}
	r.each(func(j, t int) {
		host := manifest.HostOf(r.jobs[j].Targets[t].Repository)
		queues[host] = append(queues[host], [2]int{j, t})
	})
	var all sync.WaitGroup
	for name, queue := range queues {
		all.Go(func() { r.queue(ctx, name, queue) })
	}
	all.Wait()
}

func (r *run) queue(ctx context.Context, name string, queue [][2]int) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h := &host{name: name, places: make(chan struct{}, r.opts.PerHost), limit: r.opts.GiveUp, stop: cancel}
	pace.Each(queue, imagesPerHost, func(_ int, at [2]int) {
		r.finish(at[0], at[1], r.one(ctx, h, at[0], at[1]))
		r.left(at[0])
	})
}

// finish notes an outcome and tells of it.
func (r *run) finish(job, target int, o Outcome) {
	o.Job, o.Target = job, target
	r.telling.Lock()
	defer r.telling.Unlock()
	r.out[r.first[job]+target] = o
	r.done++
	r.sent += o.Bytes
	if r.tell != nil {
		e := Event{Outcome: o, Done: r.done, Total: len(r.out), Sent: r.sent}
		if r.spool != nil {
			e.Read = r.spool.total()
		}
		r.tell(e)
	}
}

// host is one registry that gets images.
type host struct {
	name   string
	places chan struct{}
	limit  int
	stop   context.CancelCauseFunc

	listing sync.Mutex // one index of referrers is changed at a time

	mu     sync.Mutex
	failed int // targets in a row
}

// write does one thing at a host when there is a place.
func (h *host) write(ctx context.Context, do func() error) error {
	select {
	case h.places <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-h.places }()
	if err := do(); err != nil {
		if ended := context.Cause(ctx); ended != nil {
			return ended
		}
		return err
	}
	return nil
}

// judge counts failures that are the host's own. Too many in a row, and nothing more is
// tried there.
func (h *host) judge(err error) {
	var source errSource
	var unread *audit.Unread
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.failed = 0
	case errors.As(err, &source) || errors.Is(err, ErrGivenUp) || !errors.As(err, &unread):
	default:
		if h.failed++; h.failed == h.limit {
			h.stop(fmt.Errorf("%s: %w after %d failures in a row, the last: %w", h.name, ErrGivenUp, h.failed, err))
		}
	}
}

// lazy is a value that the first to need it makes, for all.
type lazy[T any] struct {
	once  sync.Once
	value T
	err   error
}

func (l *lazy[T]) get(load func() (T, error)) (T, error) {
	l.once.Do(func() { l.value, l.err = load() })
	return l.value, l.err
}

// key names what a job copies.
func (j Job) key() string { return j.Source + "@" + j.Digest }

// wanted is an image that targets wait for.
type wanted struct {
	left  int           // targets that are not finished
	load  *lazy[*image] // nil while nobody needs it
	blobs []*blob       // that were announced for all that are left
}

// image returns what a job is about. It is read once for all its targets, unless some lag
// far behind the others.
func (r *run) image(job int) (*image, error) {
	j := r.jobs[job]
	r.mu.Lock()
	w := r.images[j.key()]
	if w.load == nil {
		w.load = &lazy[*image]{}
		r.kept = append(r.kept, w)
		if len(r.kept) > keptImages {
			r.drop(r.kept[0])
		}
	}
	load := w.load
	r.mu.Unlock()
	return load.get(func() (*image, error) {
		img, err := r.read(r.spool.ctx, j.Source, j.Digest)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if w.load == load {
			w.blobs = r.spool.need(img.all(), w.left)
		}
		return img, nil
	})
}

// drop forgets what was read of an image.
func (r *run) drop(w *wanted) {
	r.spool.done(w.blobs, w.left)
	w.load, w.blobs = nil, nil
	r.kept = slices.DeleteFunc(r.kept, func(k *wanted) bool { return k == w })
}

// left takes note that a target of a job is finished.
func (r *run) left(job int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.images[r.jobs[job].key()]
	r.spool.done(w.blobs, 1)
	if w.left--; w.left == 0 {
		r.drop(w)
	}
}

// claim takes a tag for a digest; it returns the other digest that has it.
func (r *run) claim(name, digest string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.claims[name]; was != "" && was != digest {
		return was
	}
	r.claims[name] = digest
	return ""
}
