// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// fault is what a disk does wrong, once.
type fault struct {
	name string
	op   string // write, sync or name: the sync of a directory
	part int    // of 4: how much of the write is done all the same
	err  error  // nil: a short write that is not admitted
	want error  // what Append has to report
}

var faults = []fault{
	{"write error", "write", 0, syscall.EIO, syscall.EIO},
	{"partial write error", "write", 2, syscall.EIO, syscall.EIO},
	{"whole write error", "write", 4, syscall.EIO, syscall.EIO},
	{"disk full", "write", 3, syscall.ENOSPC, syscall.ENOSPC},
	{"short write", "write", 1, nil, io.ErrShortWrite},
	{"sync error", "sync", 0, syscall.EIO, syscall.EIO},
	{"directory sync error", "name", 0, syscall.EIO, syscall.EIO},
}

// faultyDisk numbers all it is asked for, from 0, and fails at one of them.
type faultyDisk struct {
	t      *testing.T
	fault  fault
	at     int // -1 for never
	ops    []string
	broken bool
}

func (d *faultyDisk) options(segmentBytes int64) Options {
	return Options{
		SegmentBytes: segmentBytes,
		Sink:         func(f *os.File) Sink { return &faultySink{f, d} },
		syncDir:      func(string) error { return d.sync("name") },
	}
}

// hit reports whether this operation is the one to fail.
func (d *faultyDisk) hit(op string) bool {
	if d.broken {
		d.t.Error("the disk was used again after it had failed")
	}
	d.broken = len(d.ops) == d.at
	d.ops = append(d.ops, op)
	return d.broken
}

func (d *faultyDisk) sync(op string) error {
	if d.hit(op) {
		return d.fault.err
	}
	return nil
}

type faultySink struct {
	file *os.File
	disk *faultyDisk
}

func (s *faultySink) Write(p []byte) (int, error) {
	if !s.disk.hit("write") {
		return s.file.Write(p)
	}
	n, err := s.file.Write(p[:len(p)*s.disk.fault.part/4])
	return n, errors.Join(err, s.disk.fault.err)
}

func (s *faultySink) Sync() error {
	return s.disk.sync("sync")
}

// workload appends batches until one fails and returns those acknowledged and
// the one that failed.
func workload(t *testing.T, l *Log) (acknowledged, failed []string, cause error) {
	t.Helper()
	next := l.Next()
	for i := range 12 {
		b := []string{fmt.Sprintf("batch %d", i), strings.Repeat("x", i*7)}
		var marked []string
		for _, r := range b {
			marked = append(marked, fmt.Sprintf("%d:%s", next+Seq(len(marked)), r))
		}
		if _, err := l.Append(batch(b...)...); err != nil {
			return acknowledged, marked, err
		}
		next += 2
		acknowledged = append(acknowledged, marked...)
	}
	return acknowledged, nil, nil
}

// Every write and every sync of a run fails once in every way.
func TestFaults(t *testing.T) { // W-1, W-2, W-5, W-6
	const segmentBytes = 300
	clean := &faultyDisk{t: t, at: -1}
	l := mustOpen(t, t.TempDir(), clean.options(segmentBytes))
	if _, _, err := workload(t, l); err != nil {
		t.Fatal(err)
	}
	if len(l.segments) < 3 {
		t.Fatalf("the workload fills %d segments, want some", len(l.segments))
	}
	for _, f := range faults {
		for at, op := range clean.ops {
			if op != f.op {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", f.name, at), func(t *testing.T) {
				testFault(t, &faultyDisk{t: t, fault: f, at: at}, segmentBytes)
			})
		}
	}
}

func testFault(t *testing.T, disk *faultyDisk, segmentBytes int64) {
	dir := t.TempDir()
	l, err := Open(dir, disk.options(segmentBytes))
	var acknowledged, failed []string
	if err == nil {
		acknowledged, failed, err = workload(t, l)
		wantPoisoned(t, l, err)
		mustClose(t, l)
	}
	if !disk.broken || !errors.Is(err, disk.fault.want) {
		t.Fatalf("got %v, want %v", err, disk.fault.want)
	}
	l = mustOpen(t, dir, lazyWith(segmentBytes))
	got, err := read(l, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, acknowledged) && !slices.Equal(got, slices.Concat(acknowledged, failed)) {
		t.Fatalf("recovered %q, want %q and at most, whole, %q", got, acknowledged, failed)
	}
	if last := mustAppend(t, l, "again"); last != Seq(len(got)+1) {
		t.Fatalf("the next record got %d", last)
	}
}

// wantPoisoned expects that nothing is accepted after the first failure, and that
// what was acknowledged can still be read.
func wantPoisoned(t *testing.T, l *Log, first error) {
	t.Helper()
	next := l.Next()
	for range 2 {
		_, err := l.Append([]byte("late"))
		if !errors.Is(err, ErrFailed) || err.Error() != first.Error() {
			t.Fatalf("after %v: got %v, want the same", first, err)
		}
	}
	if got, err := read(l, 0); err != nil || l.Next() != next || len(got) != int(next-1) {
		t.Fatalf("replay of a failed log: %d records and %v, want %d and Next as before", len(got), err, next-1)
	}
}

// A directory that cannot take a new segment ends the log like a failed write.
func TestRotationFault(t *testing.T) { // W-5
	dir := t.TempDir()
	l := mustOpen(t, dir, lazyWith(70))
	mustAppend(t, l, "a")
	temp := strings.TrimSuffix(segmentPath(dir, 2), segmentSuffix) + tempSuffix
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	_, first := l.Append([]byte("b"))
	if err := os.Remove(temp); err != nil {
		t.Fatal(err)
	}
	_, second := l.Append([]byte("c"))
	if !errors.Is(first, ErrFailed) || !errors.Is(first, syscall.EISDIR) || second == nil || second.Error() != first.Error() {
		t.Fatalf("got %v, then %v", first, second)
	}
}

// gatedSink holds every sync until the gate lets it through with an outcome.
type gatedSink struct {
	*os.File
	gate chan error
}

func (s gatedSink) Sync() error { return <-s.gate }

// gated opens a log, inside a synctest bubble, whose syncs wait for the gate.
func gated(t *testing.T, opts Options) (*Log, chan error) {
	dir := t.TempDir()
	mustClose(t, mustOpen(t, dir, lazy)) // so that Open below syncs once
	gate := make(chan error, 1)
	gate <- nil
	opts.Sink = func(f *os.File) Sink { return gatedSink{f, gate} }
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return l, gate
}

// outcomes counts what a crowd of concurrent appends came to.
type outcomes struct {
	sync.Mutex
	stored []Seq
	failed []error
}

func (o *outcomes) start(l *Log, callers int, records ...string) {
	for range callers {
		go func() {
			last, err := l.Append(batch(records...)...)
			o.Lock()
			defer o.Unlock()
			if err != nil {
				o.failed = append(o.failed, err)
				return
			}
			o.stored = append(o.stored, last)
		}()
	}
}

func (o *outcomes) want(t *testing.T, stored, failed int) {
	t.Helper()
	synctest.Wait()
	o.Lock()
	defer o.Unlock()
	if len(o.stored) != stored || len(o.failed) != failed {
		t.Fatalf("%d appends returned and %d failed, want %d and %d", len(o.stored), len(o.failed), stored, failed)
	}
}

func TestGroupCommit(t *testing.T) { // W-1, W-3
	synctest.Test(t, func(t *testing.T) {
		l, gate := gated(t, Options{})
		var first, crowd outcomes
		first.start(l, 1, "leader")
		first.want(t, 0, 0) // written, but its sync has not returned
		crowd.start(l, 50, "a", "b")
		crowd.want(t, 0, 0)
		if l.Next() != 1 {
			t.Fatalf("Next is %d before any sync", l.Next())
		}
		gate <- nil
		first.want(t, 1, 0)
		crowd.want(t, 0, 0)
		if got, err := read(l, 0); err != nil || !slices.Equal(got, []string{"1:leader"}) {
			t.Fatalf("replay shows %q (%v), want what is durable", got, err)
		}
		gate <- nil // one sync for all fifty
		crowd.want(t, 50, 0)
		slices.Sort(crowd.stored)
		for i, last := range crowd.stored {
			if last != Seq(3+2*i) {
				t.Fatalf("sequences %v, want 3, 5, 7 ...", crowd.stored)
			}
		}
		mustClose(t, l)
	})
}

// A failed sync fails all who shared it and all who came meanwhile.
func TestSharedSyncFails(t *testing.T) { // W-5
	synctest.Test(t, func(t *testing.T) {
		l, gate := gated(t, Options{SegmentBytes: 300}) // three of the batches below to a group
		var o outcomes
		o.start(l, 1, "first")
		o.want(t, 0, 0)
		o.start(l, 20, strings.Repeat("x", 60)) // most of them wait for room
		o.want(t, 0, 0)
		gate <- nil
		o.want(t, 1, 0)
		gate <- syscall.EIO
		o.want(t, 1, 20)
		for _, err := range o.failed {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) || err.Error() != o.failed[0].Error() {
				t.Fatalf("got %v, want the first cause for all", err)
			}
		}
		mustClose(t, l)
	})
}

// Close stores what has been taken in, refuses what waits for room, and no group
// is larger than its bound.
func TestCloseWhileAppending(t *testing.T) { // W-3, W-5
	synctest.Test(t, func(t *testing.T) {
		l, gate := gated(t, Options{SegmentBytes: 300})
		var o outcomes
		o.start(l, 1, "first")
		o.want(t, 0, 0)
		o.start(l, 20, strings.Repeat("x", 60))
		o.want(t, 0, 0)
		closed := make(chan error)
		go func() { closed <- l.Close() }()
		o.want(t, 0, 17) // 272 bytes of a segment take a frame with three such batches
		for range 3 {    // the first batch, a new segment, the second group
			gate <- nil
		}
		o.want(t, 4, 17)
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
		for _, err := range o.failed {
			if !errors.Is(err, ErrClosed) {
				t.Fatalf("got %v, want ErrClosed", err)
			}
		}
	})
}

// recordingSink notes what is written and when it is synced.
type recordingSink struct {
	*os.File
	calls *[]string
}

func (s recordingSink) Write(p []byte) (int, error) {
	*s.calls = append(*s.calls, string(p))
	return s.File.Write(p)
}

func (s recordingSink) Sync() error {
	*s.calls = append(*s.calls, "sync")
	return nil
}

// After a failed sync the last frame may live in the page cache only, on pages
// that count as clean. Open writes it again before anybody acts on it.
func TestOpenHardensTheLastFrame(t *testing.T) { // W-6
	c := newCrashed(t)
	for n := range len(c.batches) + 1 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			writeSegment(t, dir, 1, append(slices.Clone(c.segment[:c.starts[n]]), "torn"...))
			var calls []string
			l := mustOpen(t, dir, Options{
				Sink:    func(f *os.File) Sink { return recordingSink{f, &calls} },
				syncDir: func(string) error { calls = append(calls, "names"); return nil },
			})
			from := c.starts[max(n-1, 0)]
			want := []string{"names", string(c.segment[from:c.starts[n]]), "sync"}
			if !slices.Equal(calls, want) {
				t.Fatalf("Open wrote %q, want %q", calls, want)
			}
			mustClose(t, l)
			after, err := os.ReadFile(filepath.Join(dir, filepath.Base(segmentPath(dir, 1))))
			if err != nil || !bytes.Equal(after, c.segment[:c.starts[n]]) {
				t.Fatalf("segment is %q (%v)", after, err)
			}
		})
	}
}
