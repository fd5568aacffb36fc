// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/steward/internal/wal"
)

// The operations a journal holds.
const (
	opPut  = "put"  // an item waits
	opDone = "done" // items Seqs of Key are settled; Key's dead letter is gone
	opDead = "dead" // items Seqs of Key are given up
)

// record is one journal entry, as JSON: an operator can read it with strings(1),
// and a field can be added without a new format.
type record struct {
	Op       string          `json:"op"`
	ID       string          `json:"id,omitempty"`
	Key      string          `json:"key"`
	Data     json.RawMessage `json:"data,omitempty"`
	At       int64           `json:"at,omitempty"` // Unix seconds
	Seqs     []wal.Seq       `json:"seqs,omitempty"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
}

// append journals records as one batch and returns the sequence number of the last.
func (q *Queue) append(records ...record) (wal.Seq, error) {
	raw := make([][]byte, len(records))
	for i, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return 0, fmt.Errorf("journal %s: %w", r.Key, err)
		}
		raw[i] = line
	}
	return q.log.Append(raw...)
}

func (q *Queue) replay() error {
	return q.log.Replay(q.log.First(), func(seq wal.Seq, raw []byte) error {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("replay journal record %d: %w", seq, err)
		}
		return q.apply(seq, r)
	})
}

// apply redoes one journaled operation at start.
func (q *Queue) apply(seq wal.Seq, r record) error {
	at := time.Unix(r.At, 0)
	switch r.Op {
	case opPut:
		q.settle(r.Key, r.Seqs) // a carried item replaces its older self
		q.add(&pending{seq: seq, at: at, Item: Item{ID: r.ID, Key: r.Key, Data: r.Data}})
	case opDone:
		q.settle(r.Key, r.Seqs)
		delete(q.letters, r.Key)
	case opDead:
		q.settle(r.Key, r.Seqs)
		q.letters[r.Key] = Letter{Key: r.Key, Error: r.Error, Attempts: r.Attempts, At: at, seq: seq}
	default:
		return fmt.Errorf("replay journal record %d: operation %q is of a newer version", seq, r.Op)
	}
	return nil
}

// settle removes items from memory by number, at start.
func (q *Queue) settle(key string, seqs []wal.Seq) {
	e := q.keys[key]
	if e == nil || len(seqs) == 0 {
		return
	}
	e.items = slices.DeleteFunc(e.items, func(p *pending) bool { return slices.Contains(seqs, p.seq) })
	if len(e.items) == 0 {
		q.forget(key)
	}
}

// Compact forgets what is older than Options.Remember and drops the segments
// nothing needs any more. Items and letters that are older and still open are
// written again first.
func (q *Queue) Compact(now time.Time) error {
	cut, carry := q.plan(now)
	if cut == 0 {
		return nil
	}
	for part := range slices.Chunk(carry, 1000) {
		if err := q.carry(part); err != nil {
			return fmt.Errorf("compact journal: %w", err)
		}
	}
	if err := q.log.DropBefore(cut); err != nil {
		return fmt.Errorf("compact journal: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, seq := range q.seen {
		if seq < cut {
			delete(q.seen, id)
		}
	}
	q.marks = slices.DeleteFunc(q.marks, func(m mark) bool { return m.seq < cut })
	return nil
}

// plan returns the first sequence number to keep, 0 for none to drop, and the
// open records below it. Items of a running job stay where they are: it is about
// to settle them.
func (q *Queue) plan(now time.Time) (cut wal.Seq, carry []carried) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cut = q.horizon(now)
	for _, e := range q.keys {
		if e.running && len(e.items) > 0 {
			cut = min(cut, e.items[0].seq)
		}
	}
	for _, e := range q.keys {
		for _, p := range e.items {
			if p.seq < cut {
				carry = append(carry, carried{item: p, record: p.record()})
			}
		}
	}
	for _, l := range q.letters {
		if l.seq < cut {
			carry = append(carry, carried{record: l.record()})
		}
	}
	return cut, carry
}

// horizon is where the journal may begin: at the mark behind the last bucket
// whose items are all old enough or, with too many IDs in memory, at the middle
// mark. That mark must have some age, because an item below it may be on disk
// and not yet in memory.
func (q *Queue) horizon(now time.Time) (cut wal.Seq) {
	grain := q.opts.Remember / grains
	crowded := len(q.seen) > q.opts.RememberMax
	for i := 1; i < len(q.marks) && now.Sub(q.marks[i].at) >= grain; i++ {
		old := now.Sub(q.marks[i-1].at) >= q.opts.Remember+grain
		if old || crowded && i <= len(q.marks)/2 {
			cut = q.marks[i].seq
		}
	}
	return cut
}

func (p *pending) record() record {
	return record{Op: opPut, ID: p.ID, Key: p.Key, Data: p.Data, At: p.at.Unix(), Seqs: []wal.Seq{p.seq}}
}

func (l Letter) record() record {
	return record{Op: opDead, Key: l.Key, Error: l.Error, Attempts: l.Attempts, At: l.At.Unix()}
}

// carried is an open record on its way to the head of the journal; item is nil
// for a letter.
type carried struct {
	item   *pending
	record record
}

// carry writes open records again and gives them their new numbers. A job that
// settles an item at the same moment may journal the old number: the item then
// comes once more after a restart, which handlers must stand anyway.
func (q *Queue) carry(part []carried) error {
	records := make([]record, len(part))
	for i, c := range part {
		records[i] = c.record
	}
	last, err := q.append(records...)
	if err != nil {
		return err
	}
	q.mu.Lock()
	var gone []record // letters of keys that succeeded meanwhile
	for i, c := range part {
		seq := last - wal.Seq(len(part)-1-i)
		if c.item != nil {
			c.item.seq = seq
			if c.item.ID != "" {
				q.seen[c.item.ID] = seq
			}
		} else if l, open := q.letters[c.record.Key]; open {
			l.seq = seq
			q.letters[c.record.Key] = l
		} else {
			gone = append(gone, record{Op: opDone, Key: c.record.Key})
		}
	}
	q.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	_, err = q.append(gone...)
	return err
}
