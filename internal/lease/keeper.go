// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Keeper is the one goroutine that owns a pool. Its methods may be called from any goroutine; an answer is given when what it
// rests on is stored.
type Keeper struct {
	opts KeeperOptions
	ops  chan *op
	done chan struct{} // closed when Run has returned

	// What follows belongs to the goroutine of Run.
	pool    *Pool
	epoch   Epoch
	waiting map[string]*waiting
	lazy    map[Ref]time.Time // lazy records that are not written yet → when they are
	flush   time.Time         // no later than the earliest of these
	watches map[*Watch]bool
	stored  []func()  // what is to be done once the batch is stored
	leaving []string  // waiters whose callers leave in the batch
	late    time.Time // until then nothing ends by itself: the process had stood still
	spared  bool      // nothing ended by itself since late was set
}

// KeeperOptions make a keeper.
type KeeperOptions struct {
	Store Store
	Pool  Options
	// LazyEvery is how often a sign of life is written, QueueEvery a place in the queue and a share: 1 second.
	LazyEvery, QueueEvery time.Duration
	// Ended is told of leases that ended, after that was stored. It must not block. Resumed is told at the start of the last
	// lease of every resource, some of which nobody may have been told of.
	Ended, Resumed func([]*Ended)
	// Panicked is told of an operation that panicked, and of its stack. It must not block.
	Panicked func(value any, stack []byte)
	// Refused is told why the store refused a batch; nil: nobody is. Callers learn that it was, and no more. It must not block.
	Refused func(error)
}

// op is one operation of a caller.
type op struct {
	do    func(p *Pool, now time.Time)
	taken atomic.Bool // by the keeper, or by a caller who gave up before
	err   error
	done  chan struct{}
}

// waiting is a caller who waits for a grant.
type waiting struct{ got chan []*Resource }

// maxBatch bounds how many operations are committed at once.
const maxBatch = 1024

// NewKeeper returns a keeper that serves once Run is called.
func NewKeeper(opts KeeperOptions) *Keeper {
	opts.LazyEvery = cmp.Or(opts.LazyEvery, time.Second)
	opts.QueueEvery = cmp.Or(opts.QueueEvery, time.Second)
	if opts.Ended == nil {
		opts.Ended = func([]*Ended) {}
	}
	if opts.Resumed == nil {
		opts.Resumed = func([]*Ended) {}
	}
	if opts.Panicked == nil {
		opts.Panicked = func(any, []byte) {}
	}
	return &Keeper{
		opts: opts, ops: make(chan *op, maxBatch), done: make(chan struct{}),
		waiting: map[string]*waiting{}, lazy: map[Ref]time.Time{}, watches: map[*Watch]bool{},
	}
}

// Run loads the pool, applies the configuration and serves until the context ends or the store fails. The error is nil only in
// the first case. ready learns what of the configuration the store refused, as of Sync, or nil. A keeper runs once.
func (k *Keeper) Run(ctx context.Context, c Config, ready func(refused error)) error {
	defer k.stop()
	state, epoch, err := k.opts.Store.Load(ctx)
	if err != nil {
		return err
	}
	now := clock()
	if k.pool, err = NewPool(k.opts.Pool, state, now); err != nil {
		return err
	}
	k.epoch = epoch
	k.opts.Resumed(k.pool.lastEnded())
	err = apply(c, func(do func(p *Pool, now time.Time)) error {
		now := clock()
		if err := k.try(now, func() { do(k.pool, now) }); err != nil {
			return err
		}
		return k.commit(ctx, now, nil)
	})
	if err != nil && !errors.Is(err, ErrRefused) {
		return err
	}
	ready(err)
	return k.serve(ctx)
}

// Sync applies a configuration. What the store refuses does not keep it from the rest: the error is ErrRefused then, and names
// what is not as the configuration says.
func (k *Keeper) Sync(ctx context.Context, c Config) error {
	return apply(c, func(do func(p *Pool, now time.Time)) error { return k.Do(ctx, do) })
}

// apply applies a configuration at once or, where the store refuses that, part by part. commit runs an operation and stores what
// it did.
func apply(c Config, commit func(do func(p *Pool, now time.Time)) error) error {
	err := commit(func(p *Pool, now time.Time) { p.Sync(now, c) })
	if !errors.Is(err, ErrRefused) {
		return err
	}
	var parts []part
	if err := commit(func(p *Pool, _ time.Time) { parts = p.parts(c) }); err != nil {
		return err
	}
	var refused []string
	for _, one := range parts {
		err := commit(func(p *Pool, now time.Time) { one.sync(p, now) })
		switch {
		case errors.Is(err, ErrRefused):
			refused = append(refused, one.name)
		case err != nil:
			return err
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %.2000s", ErrRefused, strings.Join(refused, ", "))
}

// stop answers all who still wait.
func (k *Keeper) stop() {
	close(k.done)
	for w := range k.watches {
		k.drop(w)
	}
	for {
		select {
		case o := <-k.ops:
			o.err = ErrStopped
			close(o.done)
		default:
			return
		}
	}
}

// clock is the time as it comes back from a store: without the reading of a monotonic clock, which no store keeps.
func clock() time.Time { return time.Now().UTC().Round(0) }

func (k *Keeper) serve(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		pause := k.pause()
		wake := clock().Add(pause)
		timer.Reset(pause)
		var batch []*op
		select {
		case <-ctx.Done():
			ctx := context.WithoutCancel(ctx)
			if err := k.commit(ctx, clock(), nil); err != nil && !errors.Is(err, ErrRefused) { // of a grant that nobody took
				return err
			}
			return k.write(ctx, k.last())
		case o := <-k.ops:
			batch = k.gather(o)
		case <-timer.C:
			batch = k.gather() // a sign of life that has come goes before the end of a lease
		}
		now := clock()
		k.mindGap(now, wake)
		for _, o := range batch {
			if o.taken.CompareAndSwap(false, true) {
				o.err = k.try(now, func() { o.do(k.pool, now) })
			}
		}
		if err := k.commit(ctx, now, batch); err != nil && !errors.Is(err, ErrRefused) {
			return err
		}
		if err := k.alarms(ctx, now); err != nil {
			return err
		}
		if err := k.write(ctx, now); err != nil {
			return err
		}
	}
}

// alarms lets go off what is due, in a batch of its own: what the store refuses of it is no caller's fault. It goes off one by
// one then, and what is refused is put off.
func (k *Keeper) alarms(ctx context.Context, now time.Time) error {
	if at, ok := k.pool.Next(); !ok || at.After(now) || now.Before(k.late) {
		return nil
	}
	k.spared = false
	k.tick(now)
	err := k.commit(ctx, now, nil)
	if !errors.Is(err, ErrRefused) {
		return err
	}
	for n := 0; n < maxAlarms && k.ring(now); n++ {
		switch err := k.commit(ctx, now, nil); {
		case errors.Is(err, ErrRefused):
			k.pool.postpone(now.Add(alarmAgain))
		case err != nil:
			return err
		}
	}
	return nil
}

// tick lets go off what is due.
func (k *Keeper) tick(now time.Time) {
	for n := 0; n < maxAlarms && k.ring(now); n++ {
	}
}

// ring lets the next alarm go off, if one is due. One that panics is put off, so that it keeps nothing from the others.
func (k *Keeper) ring(now time.Time) (more bool) {
	if k.try(now, func() { more = k.pool.tick(now) }) != nil {
		k.pool.postpone(now.Add(alarmAgain))
		return true
	}
	return more
}

// alarmAgain is how long an alarm rests that panicked, or whose change was refused.
const alarmAgain = time.Minute

// try runs one operation. One that panics never was: the pool goes back to the moment before it, with what the batch did until then,
// and the others go on (P-26). What fails while it goes back ends the process: what is stored is whole, and is loaded again.
func (k *Keeper) try(now time.Time, do func()) (err error) {
	before, stored, leaving := k.pool.savepoint(), len(k.stored), len(k.leaving)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		k.opts.Panicked(v, debug.Stack())
		gone := slices.Clone(k.leaving[leaving:])
		k.stored, k.leaving = k.stored[:stored], k.leaving[:leaving]
		k.pool.rewind(before, now)
		k.forsake(now, gone)
		err = ErrPanicked
	}()
	do()
	return nil
}

// forsake makes waiters leave whose callers have left in an operation that never was: they do not ask again.
func (k *Keeper) forsake(now time.Time, keys []string) {
	for _, key := range keys {
		delete(k.waiting, key)
		k.pool.Leave(now, key)
	}
}

// pause is how long nothing has to be done unless somebody asks.
func (k *Keeper) pause() time.Duration {
	at, ok := k.pool.Next()
	at = later(at, k.late)
	if len(k.lazy) > 0 && (!ok || k.flush.Before(at)) {
		at, ok = k.flush, true
	}
	if !ok {
		return time.Hour
	}
	return max(time.Until(at), 0)
}

// How late an alarm may be before the process is thought to have stood still, and how long the signs of life that came
// meanwhile have to get through then.
const (
	stoodStill = time.Second
	catchUp    = 2 * time.Second
)

// mindGap notices that the process stood still (P-21), where it should have woken before or an alarm is overdue. A store that takes
// its time every time is no reason to let leases go on for good: what was spared for that once is due.
func (k *Keeper) mindGap(now, wake time.Time) {
	still := !k.spared || now.Sub(wake) > stoodStill
	if at, ok := k.pool.Next(); ok && still && now.Sub(later(at, k.late)) > stoodStill {
		k.late, k.spared = now.Add(catchUp), true
	}
}

// gather takes all operations that have come in meanwhile.
func (k *Keeper) gather(batch ...*op) []*op {
	for len(batch) < maxBatch {
		select {
		case o := <-k.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit stores what the batch changed and only then answers. A batch that the store refuses never was.
func (k *Keeper) commit(ctx context.Context, now time.Time, batch []*op) error {
	var records []Record
	var lazy []Ref
	for _, r := range k.pool.Changes() {
		if r.Lazy {
			lazy = append(lazy, r.Ref())
		} else {
			records = append(records, r)
		}
	}
	if err := k.store(ctx, records); err != nil {
		k.pool.Undo()
		for _, key := range k.leaving { // who left in the batch that never was has left all the same
			delete(k.waiting, key)
		}
		k.stored, k.leaving = nil, nil
		_ = k.try(now, func() { // who stays without a caller gives back what it is granted
			for _, key := range k.pool.here() {
				if k.waiting[key] == nil {
					k.pool.Leave(now, key)
				}
			}
		})
		answer(batch, err)
		return err
	}
	for _, r := range records {
		delete(k.lazy, r.Ref())
	}
	for _, ref := range lazy {
		if _, waits := k.lazy[ref]; !waits {
			k.later(ref, now.Add(k.every(ref.Kind)))
		}
	}
	out := k.pool.Keep()
	for _, do := range k.stored {
		do()
	}
	k.stored, k.leaving = nil, nil
	for _, g := range out.Granted {
		k.hand(g)
	}
	if len(out.Ended) > 0 {
		k.opts.Ended(out.Ended)
	}
	k.publish(records)
	answer(batch, nil)
	return nil
}

// store commits records, if there are any.
func (k *Keeper) store(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	err := k.opts.Store.Commit(ctx, k.epoch, records)
	if errors.Is(err, ErrRefused) && k.opts.Refused != nil {
		k.opts.Refused(err)
	}
	return err
}

// later has a lazy record written at a time.
func (k *Keeper) later(ref Ref, at time.Time) {
	k.lazy[ref] = at
	if len(k.lazy) == 1 || at.Before(k.flush) {
		k.flush = at
	}
}

// write stores the lazy records that are due, in a commit of their own: what the store refuses of them is no caller's fault.
func (k *Keeper) write(ctx context.Context, now time.Time) error {
	if len(k.lazy) == 0 || now.Before(k.flush) {
		return nil
	}
	var records []Record
	k.flush = now.Add(max(k.opts.LazyEvery, k.opts.QueueEvery))
	for _, ref := range slices.SortedFunc(maps.Keys(k.lazy), Ref.Compare) {
		if at := k.lazy[ref]; at.After(now) {
			k.flush = earlier(k.flush, at)
			continue
		}
		delete(k.lazy, ref)
		r := k.pool.record(ref)
		r.Lazy = true
		records = append(records, r)
	}
	refusals := maxRefusals
	return k.writeSome(ctx, now, records, &refusals)
}

// maxRefusals bounds the search for what a store refuses: one record in thousands is found, and where it refuses everything those
// who ask are served meanwhile.
const maxRefusals = 32

// writeSome stores records together or, where the store refuses that, in halves, and puts off what it refuses alone, or what is left
// after so many refusals.
func (k *Keeper) writeSome(ctx context.Context, now time.Time, records []Record, refusals *int) error {
	if *refusals > 0 {
		err := k.store(ctx, records)
		if err == nil {
			k.publish(records)
			return nil
		}
		if !errors.Is(err, ErrRefused) {
			return err
		}
		*refusals--
	}
	half := len(records) / 2
	if half == 0 || *refusals <= 0 {
		for _, r := range records {
			k.later(r.Ref(), now.Add(alarmAgain))
		}
		return nil
	}
	if err := k.writeSome(ctx, now, records[:half], refusals); err != nil {
		return err
	}
	return k.writeSome(ctx, now, records[half:], refusals)
}

func (k *Keeper) every(kind Kind) time.Duration {
	if kind == KindResource {
		return k.opts.LazyEvery
	}
	return k.opts.QueueEvery
}

// last is a time by which every lazy record is due.
func (k *Keeper) last() time.Time {
	end := k.flush
	for _, at := range k.lazy {
		end = later(end, at)
	}
	return end
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func answer(batch []*op, err error) {
	for _, o := range batch {
		o.err = cmp.Or(o.err, err)
		close(o.done)
	}
}

// hand gives a waiter what it got. One whose caller has gone meanwhile gives it back in the next round.
func (k *Keeper) hand(g Granted) {
	key := g.Waiter.key()
	if w := k.waiting[key]; w != nil {
		delete(k.waiting, key)
		w.got <- g.Resources
		return
	}
	now := clock()
	_ = k.try(now, func() { // a lease that is not given back ends by its time
		for _, r := range g.Resources {
			k.pool.Unclaim(now, r.Lease.ID)
		}
		k.pool.alarm(now, alarmMatch, "")
	})
}

// Do runs an operation on the pool and returns when what it changed is stored. What it learned by way of its variables is
// void after an error. An operation whose context ends before it begins is not run; one that has begun is awaited.
func (k *Keeper) Do(ctx context.Context, do func(p *Pool, now time.Time)) error {
	o := &op{do: do, done: make(chan struct{})}
	select {
	case <-k.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	case k.ops <- o:
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		if o.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
	case <-k.done:
	}
	select { // it runs: its answer is awaited, whoever has gone
	case <-o.done:
		return o.err
	case <-k.done:
	}
	// The keeper stopped: it has answered this operation, or never will.
	select {
	case <-o.done:
		return o.err
	default:
		return ErrStopped
	}
}

// Acquire is Pool.Acquire for a caller who waits up to hold for the answer. Where the caller's context ends before the answer
// could be given, nothing stays taken.
func (k *Keeper) Acquire(ctx context.Context, c Claim, hold time.Duration) ([]*Resource, error) {
	c.Waits = hold > 0 && c.Request != ""
	var got []*Resource
	var refused error
	me := &waiting{make(chan []*Resource, 1)}
	key := c.key()
	err := k.Do(ctx, func(p *Pool, now time.Time) {
		got, refused = p.Acquire(now, c)
		if refused == nil || !c.Waits || p.waiters[key] == nil {
			return
		}
		if !p.possible(c) {
			p.Leave(now, key)
			c.Waits = false
			return
		}
		k.stored = append(k.stored, func() {
			if other := k.waiting[key]; other != nil {
				close(other.got)
			}
			k.waiting[key] = me
		})
	})
	if err != nil {
		return nil, err
	}
	if refused == nil || !c.Waits {
		return k.claimed(ctx, got, refused)
	}
	return k.wait(ctx, key, me, hold, refused)
}

func (k *Keeper) wait(ctx context.Context, key string, me *waiting, hold time.Duration, refused error) ([]*Resource, error) {
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case got, ok := <-me.got:
		if !ok {
			return nil, refused
		}
		return k.claimed(ctx, got, nil)
	case <-timer.C:
	case <-ctx.Done():
	case <-k.done:
		return me.last(ErrStopped)
	}
	err := k.Do(context.WithoutCancel(ctx), func(p *Pool, now time.Time) {
		if k.waiting[key] != me {
			return
		}
		k.leaving = append(k.leaving, key)
		if p.justGranted(key) {
			return // it comes, unless the batch is refused: then nobody waits any more
		}
		p.Leave(now, key)
		k.stored = append(k.stored, func() {
			if k.waiting[key] == me {
				delete(k.waiting, key)
			}
		})
	})
	if err != nil {
		return me.last(err)
	}
	got, err := me.last(refused)
	return k.claimed(ctx, got, err)
}

// last returns what was granted before something else came to an end, or why nothing was.
func (w *waiting) last(otherwise error) ([]*Resource, error) {
	select {
	case got, ok := <-w.got:
		if ok {
			return got, nil
		}
	default:
	}
	return nil, otherwise
}

// claimed gives back what a caller who has gone was granted.
func (k *Keeper) claimed(ctx context.Context, got []*Resource, err error) ([]*Resource, error) {
	if err != nil || ctx.Err() == nil {
		return got, err
	}
	undone := k.Do(context.WithoutCancel(ctx), func(p *Pool, now time.Time) {
		for _, r := range got {
			p.Unclaim(now, r.Lease.ID)
		}
	})
	return nil, errors.Join(ctx.Err(), undone)
}

// Watch is told of every change of a resource.
type Watch struct {
	// Changes gives records of resources, in order. It is closed when the watcher is too slow or the keeper stops.
	Changes chan Record
}

// watchBuffer is how many changes a watcher may be behind.
const watchBuffer = 4096

// Watch begins a watch in the same moment in which first sees the pool.
func (k *Keeper) Watch(ctx context.Context, first func(p *Pool)) (*Watch, error) {
	w := &Watch{make(chan Record, watchBuffer)}
	err := k.Do(ctx, func(p *Pool, _ time.Time) {
		first(p)
		k.stored = append(k.stored, func() { k.watches[w] = true })
	})
	return w, err
}

// Unwatch ends a watch.
func (k *Keeper) Unwatch(ctx context.Context, w *Watch) error {
	return k.Do(context.WithoutCancel(ctx), func(*Pool, time.Time) { k.drop(w) })
}

func (k *Keeper) drop(w *Watch) {
	if k.watches[w] {
		delete(k.watches, w)
		close(w.Changes)
	}
}

func (k *Keeper) publish(records []Record) {
	for w := range k.watches {
		for _, r := range records {
			if r.Kind == KindResource && len(w.Changes) < watchBuffer {
				w.Changes <- r
			} else if r.Kind == KindResource {
				k.drop(w)
				break
			}
		}
	}
}
