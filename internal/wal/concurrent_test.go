// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Everything at once, for the race detector and for order: a replay sees an
// unbroken run of records, each of them the one its number was given to.
func TestConcurrentUse(t *testing.T) { // W-2, W-3, W-10, W-11
	const writers, batches = 8, 200
	l := mustOpen(t, t.TempDir(), lazyWith(2000))
	var given sync.Map // Seq to record
	var writing, using sync.WaitGroup
	var stop atomic.Bool
	for w := range writers {
		writing.Go(func() {
			for b := range batches {
				text := fmt.Sprintf("%d.%d", w, b)
				last, err := l.Append([]byte(text), []byte(text))
				if err != nil {
					t.Error(err)
					return
				}
				given.Store(last-1, text)
				given.Store(last, text)
			}
		})
	}
	using.Go(func() {
		for !stop.Load() {
			if err := l.DropBefore(l.Next() - min(l.Next(), 300)); err != nil {
				t.Error(err)
			}
		}
	})
	for range 2 {
		using.Go(func() {
			for !stop.Load() {
				if _, err := replayRun(l, &given); err != nil && !errors.Is(err, ErrDropped) {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	using.Wait()
	if next, err := replayRun(l, &given); err != nil || next != 2*writers*batches+1 || l.First() == 1 {
		t.Fatalf("in the end: records to %d, want %d, from %d (%v)", next, 2*writers*batches, l.First(), err)
	}
}

// replayRun checks a replay and returns the sequence behind its last record.
func replayRun(l *Log, given *sync.Map) (next Seq, err error) {
	err = l.Replay(0, func(seq Seq, record []byte) error {
		if next != 0 && seq != next {
			return fmt.Errorf("record %d follows %d", seq, next-1)
		}
		next = seq + 1
		// A record may be durable before its Append has returned to tell us.
		if text, ok := given.Load(seq); ok && text != string(record) {
			return fmt.Errorf("record %d is %q, was given to %q", seq, record, text)
		}
		return nil
	})
	return next, err
}
