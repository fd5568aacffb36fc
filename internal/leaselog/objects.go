// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/state"
)

// Objects is a history in a store that several processes share: an object of JSON lines for each few minutes in which leases
// ended. Objects are created and never changed. What was not written when a process died is lost but for the last lease of every
// resource, which the next one writes.
type Objects struct {
	store  state.Store
	holder string // who writes, as a part of keys
	log    *logrus.Entry

	mu      sync.Mutex
	queue   []*lease.Ended
	objects []object       // to be written, oldest first
	resumed []*lease.Ended // to be compared with the store
	n       int
	stop    context.CancelFunc
	done    chan struct{}
}

// object is one that is made once and put until it is there, so that nothing is written twice.
type object struct {
	key     string
	content []byte
}

const (
	// writeEvery is how often an object is written, if there is something to write.
	writeEvery = 5 * time.Minute
	// recently is how long ago a lease may have ended that is looked for at the start.
	recently = 24 * time.Hour
	// maxQueue bounds what is held until the next object.
	maxQueue = 1_000_000
	// maxHeld bounds the bytes of the objects that could not be written yet.
	maxHeld = 256 << 20
	// atOnce is how many objects are read at once: 30 days of two processes are 17,000 at the most.
	atOnce = 64
)

// OpenObjects begins to write to a store. holder is a name of lower-case letters, digits and dashes.
func OpenObjects(store state.Store, holder string, log *logrus.Entry) *Objects {
	ctx, stop := context.WithCancel(context.Background())
	o := &Objects{store: store, holder: holder, log: log, stop: stop, done: make(chan struct{})}
	go o.write(ctx)
	return o
}

// Append takes leases that ended. It does not wait for the store.
func (o *Objects) Append(ended []*lease.Ended) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, ended...)
	if over := len(o.queue) - maxQueue; over > 0 {
		o.log.WithField("leases", over).Error("history is lost: its store has not been reached for too long")
		o.queue = o.queue[over:]
	}
}

// Resume takes the last lease of every resource. Of those that ended recently the ones are written that the store lacks.
func (o *Objects) Resume(last []*lease.Ended) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.resumed = last
}

func (o *Objects) write(ctx context.Context) {
	defer close(o.done)
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			o.flush(last)
			return
		case <-tick.C:
			o.flush(ctx)
		}
	}
}

// flush writes what has gathered. What could not be written is tried again with the next.
func (o *Objects) flush(ctx context.Context) {
	if err := o.compare(ctx); err != nil {
		o.log.WithError(err).Error("history not compared with the pool; it is tried again")
	}
	o.mu.Lock()
	o.pack()
	waiting := slices.Clone(o.objects)
	o.mu.Unlock()
	for _, one := range waiting {
		if _, err := o.store.Put(ctx, one.key, one.content, state.Absent); err != nil && !errors.Is(err, state.ErrConflict) {
			o.log.WithError(err).Error("history not written; it is tried again")
			return
		}
		o.mu.Lock()
		o.objects = o.objects[1:]
		o.mu.Unlock()
	}
}

// compare finds what a process that died did not write.
func (o *Objects) compare(ctx context.Context) error {
	o.mu.Lock()
	last := o.resumed
	o.mu.Unlock()
	if len(last) == 0 {
		return nil
	}
	known := map[mark]bool{}
	since := time.Now().Add(-recently)
	if err := o.each(ctx, lease.Query{Since: since}, func(e *lease.Ended) bool { known[markOf(e)] = true; return true }); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range last {
		if !known[markOf(e)] && e.Until.After(since) {
			o.queue = append(o.queue, e)
		}
	}
	o.resumed = nil
	return nil
}

// pack makes an object for each day of what has gathered.
func (o *Objects) pack() {
	days := map[string]*bytes.Buffer{}
	for _, e := range o.queue {
		day := e.Until.UTC().Format(time.DateOnly)
		if days[day] == nil {
			days[day] = &bytes.Buffer{}
		}
		_ = json.NewEncoder(days[day]).Encode(e) // neither a buffer nor a lease can fail
	}
	for _, day := range slices.Sorted(maps.Keys(days)) {
		o.n++
		key := fmt.Sprintf("history/%s/%s-%s-%d", day, time.Now().UTC().Format("20060102t150405.000000000"), o.holder, o.n)
		o.objects = append(o.objects, object{strings.ReplaceAll(key, ".", "-"), days[day].Bytes()})
	}
	o.queue = nil
	held := 0
	for i, one := range slices.Backward(o.objects) {
		if held += len(one.content); held > maxHeld {
			o.log.WithField("objects", i+1).Error("history is lost: its store has not been reached for too long")
			o.objects = slices.Clone(o.objects[i+1:])
			return
		}
	}
}

// Each visits leases that ended, the latest day first, until visit returns false. What is not written yet comes first.
func (o *Objects) Each(q lease.Query, visit func(*lease.Ended) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	seen := map[mark]bool{}
	once := func(e *lease.Ended) bool {
		if m := markOf(e); !seen[m] {
			seen[m] = true
			return visit(e)
		}
		return true
	}
	for _, e := range o.unwritten() {
		if q.Matches(e) && !once(e) {
			return nil
		}
	}
	return o.each(ctx, q, once)
}

// unwritten returns what is in no object yet, and what may be.
func (o *Objects) unwritten() []*lease.Ended {
	o.mu.Lock()
	all, objects := slices.Clone(o.queue), slices.Clone(o.objects)
	o.mu.Unlock() // who appends must not wait for what follows
	for _, one := range objects {
		for line := range bytes.Lines(one.content) {
			var e lease.Ended
			if json.Unmarshal(line, &e) == nil { // it was made here
				all = append(all, &e)
			}
		}
	}
	return all
}

func (o *Objects) each(ctx context.Context, q lease.Query, visit func(*lease.Ended) bool) error {
	keys, err := o.store.List(ctx, "history/")
	if err != nil {
		return fmt.Errorf("list the history: %w", err)
	}
	slices.Reverse(keys)
	keys = slices.DeleteFunc(keys, func(key string) bool { return !touches(q, dayOf(key)) })
	for some := range slices.Chunk(keys, atOnce) {
		contents := make([][]byte, len(some))
		errs := make([]error, len(some))
		pace.Each(some, atOnce, func(i int, key string) { contents[i], _, errs[i] = o.store.Get(ctx, key) })
		for i, key := range some {
			more, err := lines(contents[i], errs[i], q, visit)
			if err != nil {
				return fmt.Errorf("read %s: %w", key, err)
			}
			if !more {
				return nil
			}
		}
	}
	return nil
}

// lines visits the leases of an object, and tells whether more are wanted.
func lines(content []byte, err error, q lease.Query, visit func(*lease.Ended) bool) (more bool, _ error) {
	if err != nil {
		return false, err
	}
	for line := range bytes.Lines(content) {
		var e lease.Ended
		if err := json.Unmarshal(line, &e); err != nil {
			return false, err
		}
		if q.Matches(&e) && !visit(&e) {
			return false, nil
		}
	}
	return true, nil
}

func dayOf(key string) string {
	day, _, _ := strings.Cut(strings.TrimPrefix(key, "history/"), "/")
	return day
}

// Prune removes the days before a time.
func (o *Objects) Prune(before time.Time) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	keys, err := o.store.List(ctx, "history/")
	if err != nil {
		return err
	}
	for _, key := range keys {
		if dayOf(key) >= before.UTC().Format(time.DateOnly) {
			return nil
		}
		if err := o.store.Delete(ctx, key, state.Any); err != nil {
			return err
		}
	}
	return nil
}

// Close writes what is left.
func (o *Objects) Close() error {
	o.stop()
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.objects); n > 0 {
		return fmt.Errorf("%d objects did not reach the history", n)
	}
	return nil
}
