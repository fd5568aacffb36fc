// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Seq numbers records from 1 without gaps. Zero is no record.
type Seq uint64

// The errors that callers tell apart. All come wrapped.
var (
	ErrClosed   = errors.New("log is closed")
	ErrTooLarge = errors.New("too large for the log")
	// ErrFailed marks a log whose first write or sync failure ended its life: every
	// Append fails with that cause until the directory is opened anew.
	ErrFailed = errors.New("log has failed")
	// ErrDropped answers a Replay of records that DropBefore has removed.
	ErrDropped = errors.New("records were dropped")
)

const (
	defaultSegmentBytes   = 64 << 20
	defaultMaxRecordBytes = 32 << 20
	maxSegmentBytes       = 1 << 30 // keeps every length well inside 32 bits

	// groupBytes is how much one sync takes at most, a single larger batch apart.
	// It bounds memory (two groups are alive) and how long a caller waits.
	groupBytes = 4 << 20
)

// Options tune a log. Zero fields take the defaults; they may differ from one
// opening to the next.
type Options struct {
	// SegmentBytes is the size no segment file exceeds: 64 MiB by default, 1 GiB at
	// most. It bounds a batch, and what Open has to read.
	SegmentBytes int64
	// MaxRecordBytes bounds one record: 32 MiB by default, or what fits a segment.
	MaxRecordBytes int
	// Sink replaces how a segment file is written. It is for tests of what happens
	// when the disk fails; nil writes and syncs the file.
	Sink func(*os.File) Sink

	syncDir func(dir string) error // like Sink, for the names in a directory
}

// overhead is what a batch of one record takes besides the record.
const overhead = segmentHeaderSize + frameHeaderSize + lengthSize

func (o Options) complete() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes <= overhead || o.SegmentBytes > maxSegmentBytes {
		return o, fmt.Errorf("SegmentBytes is %d, want %d to %d", o.SegmentBytes, overhead+1, maxSegmentBytes)
	}
	room := int(o.SegmentBytes) - overhead
	if o.MaxRecordBytes == 0 {
		o.MaxRecordBytes = min(defaultMaxRecordBytes, room)
	}
	if o.MaxRecordBytes < 0 || o.MaxRecordBytes > room {
		return o, fmt.Errorf("MaxRecordBytes is %d, want 1 to %d, which fit a segment", o.MaxRecordBytes, room)
	}
	if o.Sink == nil {
		o.Sink = func(f *os.File) Sink { return diskSink{f} }
	}
	if o.syncDir == nil {
		o.syncDir = syncDir
	}
	return o, nil
}

// Log is an open log. Its methods may be called from any goroutine.
type Log struct {
	dir  string
	opts Options
	lock *os.File

	mu       sync.Mutex
	work     *sync.Cond // pending has a batch, or the log closes
	room     *sync.Cond // pending was taken, or the log closes
	pending  *group
	segments []Seq // first sequence of every segment, ascending; the last is active
	next     Seq   // one behind the last durable record
	size     int64 // durable bytes of the active segment
	closed   bool

	active  *segment      // the committer's alone once it runs
	failed  error         // the first failure; the committer's alone too
	stopped chan struct{} // closed by the committer when it ends
	drop    sync.Mutex    // one DropBefore at a time, so that files go in order
}

// Open opens the log in dir, and makes the directory if its parent exists. It
// reads the last segment only; the others are verified by Replay. It fails with
// ErrLocked while another opener has the log, and with a *CorruptError where the
// last segment is damaged.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	l := &Log{dir: dir, opts: opts, stopped: make(chan struct{})}
	l.work, l.room = sync.NewCond(&l.mu), sync.NewCond(&l.mu)
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open wal %s: %w", dir, err)
	}
	go l.commit()
	return l, nil
}

func (l *Log) open() (err error) {
	if err := l.makeDir(); err != nil {
		return err
	}
	if l.lock, err = lockDir(l.dir); err != nil {
		return err
	}
	if err := l.openLast(); err != nil {
		return errors.Join(err, l.lock.Close())
	}
	l.size = l.active.size
	l.pending = &group{first: l.next, done: make(chan struct{})}
	return nil
}

func (l *Log) makeDir() error {
	err := os.Mkdir(l.dir, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.opts.syncDir(filepath.Dir(l.dir))
}

func (l *Log) openLast() (err error) {
	if l.segments, err = listSegments(l.dir); err != nil {
		return err
	}
	if len(l.segments) == 0 {
		l.segments, l.next = []Seq{1}, 1
		l.active, err = createSegment(l.dir, 1, l.opts)
		return err
	}
	// A segment may have got its name just before a crash: make the name durable
	// before anything is acknowledged that only it leads to.
	if err := l.opts.syncDir(l.dir); err != nil {
		return err
	}
	l.active, l.next, err = openSegment(l.dir, l.segments[len(l.segments)-1], l.opts.Sink)
	return err
}

// First is the first sequence of the oldest segment, thus of the oldest record
// that Replay can visit; in an empty log it equals Next.
func (l *Log) First() Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segments[0]
}

// Next is one behind the last durable record.
func (l *Log) Next() Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Close waits for the appends under way, then releases the files and the lock. A
// second Close does nothing. What was acknowledged is durable without it.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.work.Signal()
	l.room.Broadcast()
	l.mu.Unlock()
	<-l.stopped
	if !first {
		return nil
	}
	if err := errors.Join(l.active.file.Close(), l.lock.Close()); err != nil {
		return fmt.Errorf("close wal %s: %w", l.dir, err)
	}
	return nil
}
