// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"fmt"
	"runtime"
)

// group is the batches that one write and one sync make durable together.
type group struct {
	buf     []byte // a frame whose header is still to be filled in
	first   Seq
	records uint32
	batches int
	done    chan struct{} // closed when err is final
	err     error
}

// fits says whether a batch of that many payload bytes may join. The first batch
// always may, whatever its size.
func (g *group) fits(payload, limit int) bool {
	return g.records == 0 || len(g.buf)+payload <= limit
}

// add appends a batch and returns the sequence of its last record.
func (g *group) add(records [][]byte) Seq {
	if len(g.buf) == 0 {
		g.buf = append(g.buf, make([]byte, frameHeaderSize)...)
	}
	for _, r := range records {
		g.buf = appendRecord(g.buf, r)
	}
	g.records += uint32(len(records))
	g.batches++
	return g.end() - 1
}

// end is the sequence behind the group's last record.
func (g *group) end() Seq { return g.first + Seq(g.records) }

// Append stores records as one batch and returns the sequence of the last one when
// all of them are on disk; their sequences are consecutive. After a crash either
// all of them are replayed or none. Callers that wait at the same time share one
// sync. The records may be reused when Append returns.
//
// An error means that nothing was acknowledged: ErrTooLarge and an empty batch
// leave the log as it was; after ErrFailed the batch may still, whole, be found
// when the log is opened anew.
func (l *Log) Append(records ...[]byte) (last Seq, err error) {
	size, err := l.measure(records)
	if err != nil {
		return 0, fmt.Errorf("append to wal %s: %w", l.dir, err)
	}
	g, last, err := l.enqueue(records, size)
	if err != nil {
		return 0, fmt.Errorf("append to wal %s: %w", l.dir, err)
	}
	<-g.done
	if g.err != nil {
		return 0, fmt.Errorf("append to wal %s: %w", l.dir, g.err)
	}
	return last, nil
}

// measure returns the payload bytes of a batch that is within the limits.
func (l *Log) measure(records [][]byte) (int, error) {
	if len(records) == 0 {
		return 0, fmt.Errorf("batch has no record")
	}
	limit := int(l.opts.SegmentBytes) - segmentHeaderSize - frameHeaderSize
	size := 0
	for i, r := range records {
		if len(r) > l.opts.MaxRecordBytes {
			return 0, fmt.Errorf("record %d of the batch has %d bytes, at most %d are taken: %w", i+1, len(r), l.opts.MaxRecordBytes, ErrTooLarge)
		}
		if size += lengthSize + len(r); size > limit {
			return 0, fmt.Errorf("batch of %d records has more than %d bytes: %w", len(records), limit, ErrTooLarge)
		}
	}
	return size, nil
}

// enqueue adds the batch to the pending group, and waits while that is full.
func (l *Log) enqueue(records [][]byte, size int) (*group, Seq, error) {
	limit := int(min(groupBytes, l.opts.SegmentBytes-segmentHeaderSize))
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && !l.pending.fits(size, limit) {
		l.room.Wait()
	}
	if l.closed {
		return nil, 0, ErrClosed
	}
	g := l.pending
	last := g.add(records)
	l.work.Signal()
	return g, last, nil
}

// commit is the one goroutine that writes. While it syncs a group the next one
// gathers, so the size of groups follows the load and needs no timer.
func (l *Log) commit() {
	defer close(l.stopped)
	var spare []byte
	for {
		g := l.take(spare)
		if g == nil {
			return
		}
		l.settle(g, l.write(g))
		spare = g.buf[:0]
		if cap(spare) > 2*groupBytes {
			spare = nil // a rare giant must not be kept for ever
		}
		if g.batches > 1 {
			// Let those just woken append again before the next group is taken;
			// without this groups alternate between one batch and all others.
			runtime.Gosched()
		}
	}
}

// take waits for a group and leaves an empty one, over the spare buffer, in its
// place. It returns nil when the log is closed and nothing is left to write.
func (l *Log) take(spare []byte) *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending.records == 0 {
		if l.closed {
			return nil
		}
		l.work.Wait()
	}
	g := l.pending
	l.pending = &group{buf: spare, first: g.end(), done: make(chan struct{})}
	l.room.Broadcast()
	return g
}

// write makes g durable, or answers the first failure for ever after it.
func (l *Log) write(g *group) error {
	if l.failed != nil {
		return l.failed
	}
	if l.active.size+int64(len(g.buf)) > l.opts.SegmentBytes {
		if err := l.rotate(g.first); err != nil {
			return fmt.Errorf("%w: start segment %s: %w", ErrFailed, segmentPath(l.dir, g.first), err)
		}
	}
	sealFrame(g.buf, l.active.salt, g.first, g.records)
	if err := l.active.write(g.buf); err != nil {
		return fmt.Errorf("%w: write segment %s at offset %d: %w", ErrFailed, l.active.path, l.active.size, err)
	}
	l.active.size += int64(len(g.buf))
	return nil
}

// rotate starts the segment that begins with first. The old one needs no sync: all
// in it has been acknowledged.
func (l *Log) rotate(first Seq) error {
	s, err := createSegment(l.dir, first, l.opts)
	if err != nil {
		return err
	}
	old := l.active
	l.active = s
	l.mu.Lock()
	l.segments, l.size = append(l.segments, first), s.size
	l.mu.Unlock()
	return old.file.Close()
}

// settle publishes the outcome of g, then wakes those who wait for it.
func (l *Log) settle(g *group, err error) {
	if err == nil {
		l.mu.Lock()
		l.next, l.size = g.end(), l.active.size
		l.mu.Unlock()
	}
	l.failed, g.err = err, err
	close(g.done)
}
