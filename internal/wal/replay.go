// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Replay visits the records from sequence from on, in order, up to those that were
// durable when it was called; from 0 begins with the oldest. The slice is valid
// during the visit only. An error of visit ends the replay and is returned as it
// is. Records already dropped answer ErrDropped, a from beyond Next is an error,
// and damage is a *CorruptError, after the records before it have been visited.
//
// Appends, drops and other replays may go on meanwhile, in visit too.
func (l *Log) Replay(from Seq, visit func(Seq, []byte) error) error {
	parts, err := l.parts(from)
	if err != nil {
		return fmt.Errorf("replay wal %s from %d: %w", l.dir, from, err)
	}
	for _, p := range parts {
		if err := l.replayPart(p, from, visit); err != nil {
			return err
		}
	}
	return nil
}

// part is a segment as far as it is to be replayed.
type part struct {
	first Seq
	end   Seq   // the sequence behind its last record
	size  int64 // where to stop reading; -1 stands for the whole file
}

// parts lists what holds the records from sequence from on.
func (l *Log) parts(from Seq) ([]part, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case from != 0 && from < l.segments[0]:
		return nil, fmt.Errorf("the oldest record is %d: %w", l.segments[0], ErrDropped)
	case from > l.next:
		return nil, fmt.Errorf("the log ends before %d: it lost its tail, or is not the log that was meant", l.next)
	}
	var parts []part
	for i, first := range l.segments {
		p := part{first: first, end: l.next, size: l.size}
		if i+1 < len(l.segments) {
			p.end, p.size = l.segments[i+1], -1
		}
		if p.end > from {
			parts = append(parts, p)
		}
	}
	return parts, nil
}

func (l *Log) replayPart(p part, from Seq, visit func(Seq, []byte) error) error {
	f, err := os.Open(segmentPath(l.dir, p.first))
	if errors.Is(err, os.ErrNotExist) && l.First() > p.first {
		return fmt.Errorf("replay wal %s from %d: %w meanwhile", l.dir, p.first, ErrDropped)
	}
	if err != nil {
		return fmt.Errorf("replay wal %s: %w", l.dir, err)
	}
	defer f.Close()
	if p.size < 0 {
		info, err := f.Stat()
		if err != nil {
			return fmt.Errorf("replay wal %s: %w", l.dir, err)
		}
		p.size = info.Size()
	}
	r, err := newReader(f, f.Name(), p.first, p.size)
	if err != nil {
		return err
	}
	return r.visit(from, p.end, visit)
}

// visit hands out the records from sequence from on and checks that the segment
// ends where the next one begins.
func (r *reader) visit(from, end Seq, visit func(Seq, []byte) error) error {
	for {
		f, err := r.frame()
		if errors.Is(err, io.EOF) && r.next != end {
			return r.corrupt("segment ends before sequence %d, want %d", r.next, end)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.visit(from, visit); err != nil {
			return err
		}
	}
}

func (f frame) visit(from Seq, visit func(Seq, []byte) error) error {
	record, rest := []byte(nil), f.payload
	for seq := f.first; seq < f.first+Seq(f.records); seq++ {
		record, rest, _ = nextRecord(rest)
		if seq < from {
			continue
		}
		if err := visit(seq, record); err != nil {
			return err
		}
	}
	return nil
}

// DropBefore removes the segments all of whose records are below seq, oldest
// first; the active one always stays. Each removal is durable before the next, so
// that a crash leaves no gap.
func (l *Log) DropBefore(seq Seq) error {
	l.drop.Lock()
	defer l.drop.Unlock()
	for {
		first, ok, err := l.oldestBelow(seq)
		if err == nil && ok {
			err = l.remove(first)
		}
		if err != nil {
			return fmt.Errorf("drop from wal %s before %d: %w", l.dir, seq, err)
		}
		if !ok {
			return nil
		}
	}
}

// oldestBelow is the oldest segment, if all its records are below seq.
func (l *Log) oldestBelow(seq Seq) (first Seq, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, false, ErrClosed
	}
	return l.segments[0], len(l.segments) > 1 && l.segments[1] <= seq, nil
}

// remove deletes the oldest segment. The list forgets it first, so that a replay
// which misses the file knows why, and takes it back when the removal fails: were
// a later segment removed alone, the log would have a gap.
func (l *Log) remove(first Seq) error {
	l.mu.Lock()
	l.segments = slices.Clone(l.segments[1:])
	l.mu.Unlock()
	if err := os.Remove(segmentPath(l.dir, first)); err != nil {
		l.mu.Lock()
		l.segments = slices.Insert(l.segments, 0, first)
		l.mu.Unlock()
		return err
	}
	return l.opts.syncDir(l.dir)
}
