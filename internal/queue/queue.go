// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package queue is the durable to-do list of a server: keys to be looked at, one
// worker a key at a time.
//
// An item is journaled before Put returns and stays until a handler has
// succeeded for its key, over any number of crashes. Items of one key that wait
// together are handed over together, so a burst about one pull request costs one
// look at it. An item whose ID was seen within Options.Remember is dropped. A
// failing key backs off alone, and becomes a dead letter in the end; an error
// that concerns the whole outside service (a rate limit) pauses every key.
//
// The queue knows nothing of webhooks or GitHub. Rules of
// docs/hook.md say the same for operators.
package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/wal"
)

// Item is one thing to do.
type Item struct {
	ID   string // a second item with this ID is dropped; "" is never dropped
	Key  string // what to look at; items of one key are handled in order, together
	Data []byte // valid JSON or nil; opaque to the queue
}

// Job is what a handler gets: a key and every item that waits for it. Items may
// be empty when the key was only woken.
type Job struct {
	Key     string
	Items   []Item
	Attempt int // 1 at the first try
}

// Handler does the work of a job. It must be idempotent: after a crash the same
// items come again. It is called concurrently for different keys, never for one.
// Returning nil settles all items of the job. An error with a method
// PauseUntil() time.Time stops every key until then and costs no attempt; one
// with RetryIn() time.Duration is tried again after that time.
type Handler func(context.Context, Job) error

// Options have usable zero values except Log.
type Options struct {
	Workers     int           // 8
	Remember    time.Duration // 24 h: how long an ID is known
	RememberMax int           // 1,000,000 IDs at the most
	MaxAttempts int           // 10: then the key is a dead letter
	Timeout     time.Duration // 2 min for one handler call
	Grace       time.Duration // 60 s for running handlers when Run ends
	Log         *logrus.Entry
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Remember, 24*time.Hour)
	set(&o.Timeout, 2*time.Minute)
	set(&o.Grace, time.Minute)
	if o.Workers == 0 {
		o.Workers = 8
	}
	if o.RememberMax == 0 {
		o.RememberMax = 1_000_000
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 10
	}
	return o
}

// Queue is safe for concurrent use.
type Queue struct {
	log  *wal.Log
	opts Options

	mu      sync.Mutex
	seen    map[string]wal.Seq       // IDs that are on disk
	putting map[string]chan struct{} // IDs on their way to the disk
	keys    map[string]*entry
	ready   []string // keys to work on, first come first served
	letters map[string]Letter
	marks   []mark
	paused  time.Time // no key is started before
	closed  bool
	wake    chan struct{} // holds one token while ready is not empty
	stats   Stats
	idlers  []chan struct{} // closed when keys is empty
}

// entry is one key with something to do.
type entry struct {
	items   []*pending
	woken   bool
	attempt int
	running bool
	waiting bool // in ready, or a timer will put it there
}

type pending struct {
	seq wal.Seq
	at  time.Time
	Item
}

// Letter is a key that was given up. A later success of the key removes it.
type Letter struct {
	Key      string    `json:"key"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	At       time.Time `json:"at"`

	seq wal.Seq
}

// grains is how finely IDs are forgotten: by ten minutes of a day.
const grains = 144

// mark remembers which sequence number was written when, to forget by age.
type mark struct {
	at  time.Time
	seq wal.Seq
}

// Open reads the journal. The queue owns log from here on; Close closes it.
func Open(log *wal.Log, opts Options) (*Queue, error) {
	q := &Queue{
		log: log, opts: opts.withDefaults(),
		seen: map[string]wal.Seq{}, putting: map[string]chan struct{}{},
		keys: map[string]*entry{}, letters: map[string]Letter{},
		wake: make(chan struct{}, 1),
	}
	if err := q.replay(); err != nil {
		return nil, err
	}
	for key := range q.keys {
		q.schedule(key, 0)
	}
	return q, nil
}

// Close closes the journal. Run must have returned.
func (q *Queue) Close() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	return q.log.Close()
}

// ErrClosed is returned by Put after Close.
var ErrClosed = errors.New("queue is closed")

// Put makes an item durable and schedules its key. fresh is false when the ID is
// known already; the known item is on disk then, too.
func (q *Queue) Put(ctx context.Context, item Item) (fresh bool, err error) {
	mine, others := q.claim(item.ID)
	for others != nil { // the same ID is being written: its fate is ours
		select {
		case <-others:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		mine, others = q.claim(item.ID)
	}
	if mine == nil {
		return false, nil
	}
	at := time.Now()
	seq, err := q.append(record{Op: opPut, ID: item.ID, Key: item.Key, Data: item.Data, At: at.Unix()})

	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.putting, item.ID)
	close(mine)
	if err != nil {
		return false, err
	}
	q.add(&pending{seq: seq, at: at, Item: item})
	q.schedule(item.Key, 0)
	return true, nil
}

// claim returns a channel to close when the caller shall write the ID, or the
// channel to wait for when another caller does, or neither when it is on disk.
func (q *Queue) claim(id string) (mine, others chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, known := q.seen[id]; known && id != "" {
		q.stats.Duplicates++
		return nil, nil
	}
	if c, busy := q.putting[id]; busy && id != "" {
		return nil, c
	}
	mine = make(chan struct{})
	if id != "" {
		q.putting[id] = mine
	}
	return mine, nil
}

// add puts a journaled item into memory. q.mu is held.
func (q *Queue) add(p *pending) {
	if p.ID != "" {
		q.seen[p.ID] = p.seq
	}
	if n := len(q.marks); n == 0 || p.at.Sub(q.marks[n-1].at) >= q.opts.Remember/grains {
		q.marks = append(q.marks, mark{p.at, p.seq})
	}
	e := q.entry(p.Key)
	e.items = append(e.items, p)
}

func (q *Queue) entry(key string) *entry {
	e := q.keys[key]
	if e == nil {
		e = &entry{}
		q.keys[key] = e
	}
	return e
}

// Idle waits until no key has anything to do, be it now or later.
func (q *Queue) Idle(ctx context.Context) error {
	q.mu.Lock()
	if len(q.keys) == 0 {
		q.mu.Unlock()
		return nil
	}
	idle := make(chan struct{})
	q.idlers = append(q.idlers, idle)
	q.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forget removes a key without anything to do. q.mu is held.
func (q *Queue) forget(key string) {
	delete(q.keys, key)
	if len(q.keys) > 0 {
		return
	}
	for _, idle := range q.idlers {
		close(idle)
	}
	q.idlers = nil
}

// Wake schedules a key without journaling anything: a reconcile pass finds the
// key again after a crash anyway.
func (q *Queue) Wake(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entry(key).woken = true
	q.schedule(key, 0)
}

// schedule makes a key ready after a delay, unless it is scheduled or running
// already; a running key is looked at again when its handler returns. q.mu is held.
func (q *Queue) schedule(key string, delay time.Duration) {
	e := q.keys[key]
	if e.waiting || e.running {
		return
	}
	e.waiting = true
	if delay <= 0 {
		q.push(key)
		return
	}
	time.AfterFunc(delay, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.push(key)
	})
}

// push appends to ready and leaves a token for a worker. q.mu is held.
func (q *Queue) push(key string) {
	q.ready = append(q.ready, key)
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// backoff doubles from one second to five minutes, with a fifth of jitter so
// that keys which failed together do not come back together.
func backoff(attempt int) time.Duration {
	d := min(time.Second<<min(attempt-1, 10), 5*time.Minute)
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}
