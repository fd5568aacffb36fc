// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leaselog keeps a pool on the disk of one machine.
//
// A directory holds a write-ahead log of records and a snapshot of all objects as they were at some sequence of it. Loading
// reads the snapshot and replays what came after. A snapshot is written beside the running pool when the log has grown to
// more than the pool, and replaces the one before only when it is whole and on disk; then the log before it is dropped. The
// lock of the log makes one process the only writer, so that nobody is ever deposed.
//
// The history of leases that ended is in files of its own, one a day (history.go).
package leaselog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/wal"
)

// Store is a directory that holds a pool. Load it once, then Commit from one goroutine.
type Store struct {
	dir string
	log *wal.Log
	say *logrus.Entry

	mu       sync.Mutex
	current  map[lease.Ref]lease.Record
	seq      wal.Seq // of the last record in current
	grown    int64   // bytes of log since the last snapshot began
	size     int64   // bytes of the last snapshot
	snapping bool
	group    sync.WaitGroup
}

// Options tune a store. The zero value is for production.
type Options struct {
	// Log are the options of the log; its segments hold 256 MiB by default, so that a whole pool fits into one batch.
	Log wal.Options
	// SnapshotBytes is how much log may gather before a snapshot is written: 16 MiB, or twice the last snapshot if that is more.
	SnapshotBytes int64
	// Say hears of snapshots that failed. Nothing is lost then, but the log grows.
	Say *logrus.Entry
}

// Open opens a directory, which is made where its parent exists. The error is wal.ErrLocked while another process has it.
func Open(dir string, opts Options) (*Store, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	if opts.Log.SegmentBytes == 0 {
		opts.Log.SegmentBytes = 256 << 20
	}
	log, err := wal.Open(filepath.Join(dir, "log"), opts.Log)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	if opts.Say == nil {
		opts.Say = logrus.NewEntry(logrus.StandardLogger())
	}
	s := &Store{dir: dir, log: log, say: opts.Say, current: map[lease.Ref]lease.Record{}, size: opts.SnapshotBytes / 2}
	if s.size == 0 {
		s.size = 8 << 20
	}
	s.tidy()
	return s, nil
}

// tidy removes what a process left that was killed while it wrote a snapshot. The log is ours by now.
func (s *Store) tidy() {
	left, _ := filepath.Glob(filepath.Join(s.dir, snapshotPattern)) // the pattern is right
	for _, name := range left {
		if err := os.Remove(name); err != nil {
			s.say.WithError(err).Warn("Unfinished snapshot not removed; it takes room and does no other harm")
		}
	}
}

// Close waits for a snapshot under way and lets go of the directory.
func (s *Store) Close() error {
	s.group.Wait()
	return s.log.Close()
}

// Load reads the snapshot and the log behind it.
func (s *Store) Load(context.Context) (lease.State, lease.Epoch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.readSnapshot(); err != nil {
		return nil, 0, fmt.Errorf("load pool: %w", err)
	}
	err := s.log.Replay(s.seq+1, func(seq wal.Seq, content []byte) error {
		var r lease.Record
		if err := json.Unmarshal(content, &r); err != nil {
			return fmt.Errorf("record %d of the log: %w", seq, err)
		}
		s.apply(r)
		s.seq = seq
		s.grown += int64(len(content))
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("load pool: %w", err)
	}
	state := make(lease.State, 0, len(s.current))
	for _, ref := range slices.SortedFunc(maps.Keys(s.current), lease.Ref.Compare) {
		state = append(state, s.current[ref])
	}
	return state, 1, nil
}

func (s *Store) apply(r lease.Record) {
	if r.Gone {
		delete(s.current, r.Ref())
	} else {
		s.current[r.Ref()] = r
	}
}

// Commit appends the records as one batch. A batch that is too large for the log is refused; after any other failure the log
// is done for, as package wal explains, and the store has to be opened anew.
func (s *Store) Commit(_ context.Context, _ lease.Epoch, records []lease.Record) error {
	batch := make([][]byte, len(records))
	var size int64
	for i, r := range records {
		content, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w: %w", r.Kind, r.Key, lease.ErrRefused, err)
		}
		batch[i] = content
		size += int64(len(content))
	}
	last, err := s.log.Append(batch...)
	switch {
	case errors.Is(err, wal.ErrTooLarge):
		return fmt.Errorf("commit: %w: %w", lease.ErrRefused, err)
	case err != nil:
		return fmt.Errorf("commit: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.apply(r)
	}
	s.seq = last
	s.grown += size
	s.maybeSnapshot()
	return nil
}

// maybeSnapshot begins a snapshot once the log has outgrown the pool.
func (s *Store) maybeSnapshot() {
	if s.snapping || s.grown < 2*s.size {
		return
	}
	s.snapping, s.grown = true, 0
	records := slices.Collect(maps.Values(s.current)) // values that nobody changes any more
	seq := s.seq
	s.group.Go(func() {
		size, err := s.writeSnapshot(records, seq)
		if err == nil {
			err = s.log.DropBefore(seq + 1)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.snapping = false
		if err != nil {
			s.say.WithError(err).Error("snapshot of the pool failed; the log goes on")
			return
		}
		s.size = max(s.size, size)
	})
}

// header is the first line of a snapshot, trailer the last.
type header struct {
	Version int     `json:"version"`
	Seq     wal.Seq `json:"seq"`
	Records int     `json:"records"`
}

type trailer struct {
	CRC32C uint32 `json:"crc32c"` // of all lines before
}

const (
	snapshotName    = "snapshot.jsonl"
	snapshotPattern = ".snapshot-*" // while it is written
	// maxLine bounds a line of a snapshot: user data of 10 MiB are refused before.
	maxLine = 32 << 20
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// writeSnapshot replaces the snapshot and returns its size.
func (s *Store) writeSnapshot(records []lease.Record, seq wal.Seq) (size int64, err error) {
	f, err := os.CreateTemp(s.dir, snapshotPattern)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	sum := crc32.New(castagnoli())
	w := bufio.NewWriterSize(f, 1<<20)
	out := json.NewEncoder(io.MultiWriter(w, sum))
	if err := out.Encode(header{1, seq, len(records)}); err != nil {
		return 0, err
	}
	for _, r := range records {
		if err := out.Encode(r); err != nil {
			return 0, err
		}
	}
	if err := json.NewEncoder(w).Encode(trailer{sum.Sum32()}); err != nil {
		return 0, err
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return 0, err
	}
	return size, publish(f, filepath.Join(s.dir, snapshotName))
}

// publish makes a file the file of a name: on disk first, then by that name, then the name on disk.
func publish(f *os.File, path string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSnapshot fills current. No snapshot is an empty pool; a damaged one is an error, because it was whole once.
func (s *Store) readSnapshot() error {
	f, err := os.Open(filepath.Join(s.dir, snapshotName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.readLines(f); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

func (s *Store) readLines(f io.Reader) error {
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	sum := crc32.New(castagnoli())
	var head header
	if err := line(lines, sum, &head); err != nil {
		return err
	}
	if head.Version != 1 {
		return fmt.Errorf("version %d is not known; a newer release wrote it", head.Version)
	}
	for range head.Records {
		var r lease.Record
		if err := line(lines, sum, &r); err != nil {
			return err
		}
		s.current[r.Ref()] = r
	}
	want := sum.Sum32()
	var end trailer
	if err := line(lines, sum, &end); err != nil {
		return err
	}
	if end.CRC32C != want {
		return errors.New("the checksum does not match: the file is damaged")
	}
	s.seq = head.Seq
	return nil
}

func line(lines *bufio.Scanner, sum io.Writer, into any) error {
	if !lines.Scan() {
		return errors.Join(errors.New("the file ends early"), lines.Err())
	}
	_, _ = sum.Write(append(bytes.Clone(lines.Bytes()), '\n')) // a hash never fails
	return json.Unmarshal(lines.Bytes(), into)
}
