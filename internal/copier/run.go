// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/manifest"
)

const (
	defaultSpool     = 16 << 30
	defaultMemory    = 24 << 20
	defaultDownloads = 16
	defaultPerHost   = 16
	defaultGiveUp    = 5

	imagesPerHost = 8 // on their way to one host at once
	// Images whose manifests are in memory for hosts that lag behind, beside those on their way.
	keptImages = 1000
	keptBytes  = 32 << 20
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
	r := &run{
		Copier: c, jobs: jobs, tell: tell, source: rationed{c.from, newPlaces(readsAtOnce), newOutages(c.opts.GiveUp)}, token: make(chan struct{}, 1),
		images: map[string]*wanted{}, tags: map[string]*lazy[map[string]bool]{}, claims: map[string]string{},
	}
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
	dir, remove, err := scratch(c.opts.Dir)
	if err != nil {
		r.each(func(j, t int) { r.finish(j, t, Outcome{Err: fmt.Errorf("spool: %w", err)}) })
		return r.out
	}
	defer remove()
	ctx, cancel := context.WithCancel(ctx)
	r.spool = newSpool(ctx, c.from, dir, c.opts)
	defer r.spool.filling.Wait()
	defer cancel()
	for j, job := range jobs {
		r.expect(j, len(job.Targets))
	}
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

	source rationed
	token  chan struct{} // for what is large

	telling sync.Mutex
	tell    func(Event)
	done    int
	sent    int64

	mu     sync.Mutex
	images map[string]*wanted // by the key of the job
	idle   []*wanted          // those that are in memory and that nobody uses, oldest first
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
	h := &host{name: name, writes: newPlaces(r.opts.PerHost), limit: r.opts.GiveUp, stop: cancel}
	images := newPlaces(imagesPerHost)
	for _, at := range queue {
		h.writes.expect(r.jobs[at[0]].group(), 1)
		images.expect(r.jobs[at[0]].group(), 1)
	}
	var all sync.WaitGroup
	all.Add(len(queue))
	for _, at := range queue {
		group := r.jobs[at[0]].group()
		images.ask(group, func() {
			go func() {
				defer all.Done()
				images.expect(group, -1)
				r.target(ctx, h, at)
				images.give(group)
			}()
		})
	}
	all.Wait()
}

// target copies to one target.
func (r *run) target(ctx context.Context, h *host, at [2]int) {
	j := r.jobs[at[0]]
	t := &task{Target: j.Targets[at[1]], run: r, job: at[0], host: h, source: j.Source, digest: j.Digest}
	t.do(ctx)
	r.finish(at[0], at[1], t.out)
	r.left(t)
}

// expect notes that a job has more targets to be copied to, or less.
func (r *run) expect(job, more int) {
	group := r.jobs[job].group()
	r.source.places.expect(group, more)
	r.spool.downloads.expect(group, more)
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
	writes *places
	limit  int
	stop   context.CancelCauseFunc

	listing sync.Mutex // one index of referrers is changed at a time

	mu     sync.Mutex
	failed int // targets in a row
}

// write does one thing at a host when there is a place.
func (h *host) write(ctx context.Context, group string, do func() error) error {
	err := h.writes.do(ctx, group, do)
	if ended := context.Cause(ctx); err != nil && ended != nil {
		return ended
	}
	return err
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

func (j Job) group() string { return groupOf(j.Source) }

// wanted is an image that targets wait for.
type wanted struct {
	left  int           // targets that are not finished
	using int           // of those, which need what was read just now
	load  *lazy[*image] // nil while nobody needs it
	image *image        // nil while it is not read
	blobs []*blob       // that were announced for all that are left
}

// image returns what a task is about. It is read once for all its targets, unless some lag
// far behind the others.
func (r *run) image(t *task) (*image, error) {
	w, load := r.use(t)
	return load.get(func() (*image, error) {
		img, err := r.read(r.spool.ctx, t.source, t.digest)
		if err != nil {
			return nil, err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		w.image, w.blobs = img, r.spool.need(img.all(), w.left)
		return img, nil
	})
}

// use takes note that a task uses what is read of its image.
func (r *run) use(t *task) (*wanted, *lazy[*image]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.images[r.jobs[t.job].key()]
	if w.load == nil {
		w.load = &lazy[*image]{}
	}
	t.using = true
	w.using++
	r.idle = slices.DeleteFunc(r.idle, func(i *wanted) bool { return i == w })
	return w, w.load
}

// left takes note that a task is finished.
func (r *run) left(t *task) {
	r.expect(t.job, -1)
	t.host.writes.expect(groupOf(t.source), -1)
	if t.loader != nil {
		t.loader.release()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.images[r.jobs[t.job].key()]
	r.spool.done(w.blobs, 1)
	w.left--
	if t.using {
		w.using--
		r.unused(w)
	}
	if w.left == 0 {
		r.drop(w)
	}
}

// unused keeps what nobody uses at the moment for those that lag behind, within bounds. Nothing that is large is kept: others
// wait for its place.
func (r *run) unused(w *wanted) {
	switch {
	case w.using > 0 || w.left == 0:
	case w.image != nil && w.image.loader.large:
		r.drop(w)
	default:
		r.idle = append(r.idle, w)
		for len(r.idle) > keptImages || r.idleBytes() > keptBytes {
			r.drop(r.idle[0])
		}
	}
}

func (r *run) idleBytes() (bytes int) {
	for _, w := range r.idle {
		if w.image != nil {
			bytes += w.image.loader.weight()
		}
	}
	return bytes
}

// drop forgets what was read of an image.
func (r *run) drop(w *wanted) {
	r.spool.done(w.blobs, w.left)
	if w.image != nil {
		w.image.loader.release()
	}
	w.load, w.image, w.blobs = nil, nil, nil
	r.idle = slices.DeleteFunc(r.idle, func(i *wanted) bool { return i == w })
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
