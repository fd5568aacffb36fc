// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".wal"
	tempSuffix    = ".wal.tmp"
)

// Sink is the writing side of one segment file. The log calls it from one
// goroutine at a time and never again after an error.
type Sink interface {
	// Write writes p where the file stands. Fewer than len(p) bytes are a failure.
	Write(p []byte) (n int, err error)
	// Sync returns when all that was written is on disk.
	Sync() error
}

// diskSink is the Sink of production.
type diskSink struct{ *os.File }

// Sync is fdatasync where there is one: the times in the inode may wait.
func (s diskSink) Sync() error { return datasync(s.File) }

// segment is the open last segment of a log, positioned at its end.
type segment struct {
	file *os.File
	sink Sink
	path string
	salt salt
	size int64
}

func segmentPath(dir string, first Seq) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", uint64(first), segmentSuffix))
}

// listSegments returns the first sequences of the segments in dir, ascending, and
// removes what a crash left of a segment that never got its name. Other names are
// left alone: the root of a volume has some of its own.
func listSegments(dir string) ([]Seq, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var firsts []Seq
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		if strings.HasSuffix(name, tempSuffix) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
		}
		if !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(name, segmentSuffix), 10, 64)
		if err != nil || n == 0 || segmentPath(dir, Seq(n)) != path {
			return nil, fmt.Errorf("segment %s: the name is not a sequence of 20 digits; move the file away", path)
		}
		firsts = append(firsts, Seq(n))
	}
	slices.Sort(firsts)
	return firsts, nil
}

// createSegment makes an empty segment durable: its header is on disk before it
// gets its name, and the name is on disk when it returns.
func createSegment(dir string, first Seq, opts Options) (*segment, error) {
	s := &segment{path: segmentPath(dir, first), size: segmentHeaderSize}
	rand.Read(s.salt[:])
	temp := strings.TrimSuffix(s.path, segmentSuffix) + tempSuffix
	var err error
	if s.file, err = os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	s.sink = opts.Sink(s.file)
	err = s.write(segmentHeader{first: first, salt: s.salt}.encode())
	if err == nil {
		err = os.Rename(temp, s.path)
	}
	if err == nil {
		err = opts.syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

// openSegment opens the last segment for appending, cuts a torn tail and makes
// sure that what is left is on disk. It returns the sequence that comes next.
func openSegment(dir string, first Seq, open func(*os.File) Sink) (*segment, Seq, error) {
	s := &segment{path: segmentPath(dir, first)}
	var err error
	if s.file, err = os.OpenFile(s.path, os.O_RDWR, 0); err != nil {
		return nil, 0, err
	}
	s.sink = open(s.file)
	next, err := s.recover(first)
	if err != nil {
		return nil, 0, errors.Join(err, s.file.Close())
	}
	return s, next, nil
}

func (s *segment) recover(first Seq) (Seq, error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, err
	}
	r, err := newReader(s.file, s.path, first, info.Size())
	if err != nil {
		return 0, err
	}
	last, err := findTail(r)
	if err != nil {
		return 0, err
	}
	s.salt, s.size = r.salt, r.off
	if err := s.harden(last, info.Size()); err != nil {
		return 0, fmt.Errorf("recover wal segment %s: %w", s.path, err)
	}
	return r.next, nil
}

// findTail moves r behind the last good frame and returns that frame's offset. A
// bad frame with a later one behind it is an error (see the package comment).
func findTail(r *reader) (last int64, err error) {
	last = r.off
	for {
		at := r.off
		_, err := r.frame()
		if err == nil {
			last = at
			continue
		}
		if errors.Is(err, io.EOF) {
			return last, nil
		}
		bad, ok := errors.AsType[*CorruptError](err)
		if !ok || !bad.tear {
			return 0, err
		}
		later, found, err := r.laterFrame()
		if err != nil {
			return 0, err
		}
		if found {
			bad.Reason += fmt.Sprintf(", and a later frame stands at offset %d", later)
			return 0, bad
		}
		return last, nil
	}
}

// harden cuts what is behind s.size and writes the last frame over itself, so that
// the sync has dirty pages to write even where an earlier one failed on them.
func (s *segment) harden(last, size int64) error {
	if size > s.size {
		if err := s.file.Truncate(s.size); err != nil {
			return err
		}
	}
	frame := make([]byte, s.size-last)
	if _, err := s.file.ReadAt(frame, last); err != nil {
		return err
	}
	if _, err := s.file.Seek(last, io.SeekStart); err != nil {
		return err
	}
	return s.write(frame)
}

// write appends p and syncs. The size is the caller's to count.
func (s *segment) write(p []byte) error {
	n, err := s.sink.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return err
	}
	return s.sink.Sync()
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
