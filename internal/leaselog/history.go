// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
)

// History is the leases that ended: a file of JSON lines for each day (UTC) on which leases ended. Lines are appended and never
// changed. A line that a crash cut is dropped when the file is opened; the pool tells of the last lease of every resource
// at each start, so that what was cut, or not yet written, is written then.
type History struct {
	dir string
	log *logrus.Entry

	files   sync.RWMutex // held while leases move from the queue into a file
	mu      sync.Mutex
	queue   []*lease.Ended
	wake    chan struct{}
	closed  bool
	closing chan struct{} // closed with it
	done    chan struct{}
}

// mark tells leases apart, those too that another program granted.
type mark struct {
	resource string
	epoch    uint64
	until    int64
}

func markOf(e *lease.Ended) mark { return mark{e.Resource, e.Epoch, e.Until.UnixNano()} }

// OpenHistory opens a directory, which is made where its parent exists.
func OpenHistory(dir string, log *logrus.Entry) (*History, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open history: %w", err)
	}
	h := &History{dir: dir, log: log, wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{})}
	if err := h.mend(); err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	go h.write()
	return h, nil
}

// days returns the files, oldest first.
func (h *History) days() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(h.dir, "*.jsonl"))
	slices.Sort(files)
	return files, err
}

// mend cuts what a crash left of a last line.
func (h *History) mend() error {
	files, err := h.days()
	if err != nil || len(files) == 0 {
		return err
	}
	last := files[len(files)-1]
	content, err := os.ReadFile(last)
	if err != nil {
		return err
	}
	whole := strings.LastIndexByte(string(content), '\n') + 1
	if whole == len(content) {
		return nil
	}
	return os.Truncate(last, int64(whole))
}

// Append takes leases that ended. It does not wait for the disk; they are found in the files within a second.
func (h *History) Append(ended []*lease.Ended) {
	h.mu.Lock()
	h.queue = append(h.queue, ended...)
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Resume takes the last lease of every resource, and writes those that the files lack.
func (h *History) Resume(last []*lease.Ended) {
	known := map[mark]bool{}
	if err := h.Each(lease.Query{}, func(e *lease.Ended) bool { known[markOf(e)] = true; return true }); err != nil {
		h.log.WithError(err).Error("history not compared with the pool")
		return
	}
	h.Append(slices.DeleteFunc(slices.Clone(last), func(e *lease.Ended) bool { return known[markOf(e)] }))
}

// Close writes what is left.
func (h *History) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	close(h.closing)
	select {
	case h.wake <- struct{}{}:
	default:
	}
	<-h.done
	return nil
}

// gather is how long leases gather before they are written, so that a busy pool's log has the disk to itself.
const gather = time.Second

// write is the one writer.
func (h *History) write() {
	defer close(h.done)
	for range h.wake {
		if h.flush() {
			return
		}
		select {
		case <-h.closing:
		case <-time.After(gather):
		}
	}
}

// flush writes what has gathered, and tells whether it was the last time.
func (h *History) flush() bool {
	h.files.Lock()
	defer h.files.Unlock()
	h.mu.Lock()
	batch, closed := h.queue, h.closed
	h.queue = nil
	h.mu.Unlock()
	left, err := h.append(batch)
	if err != nil {
		h.log.WithError(err).WithField("leases", len(left)).Error("history not written; it is tried again")
		h.putBack(left)
	}
	return closed
}

// putBack keeps what could not be written for the next time, up to a bound.
func (h *History) putBack(left []*lease.Ended) {
	h.mu.Lock()
	h.queue = append(left, h.queue...)
	if over := len(h.queue) - maxQueue; over > 0 {
		h.queue = h.queue[over:]
	}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// append writes a batch and returns what of it is not written.
func (h *History) append(batch []*lease.Ended) ([]*lease.Ended, error) {
	for len(batch) > 0 {
		day := batch[0].Until.UTC().Format(time.DateOnly)
		n := slices.IndexFunc(batch, func(e *lease.Ended) bool { return e.Until.UTC().Format(time.DateOnly) != day })
		if n < 0 {
			n = len(batch)
		}
		if err := h.appendDay(day, batch[:n]); err != nil {
			return batch, err
		}
		batch = batch[n:]
	}
	return nil, nil
}

// appendDay writes all lines or none, as far as the disk lets it.
func (h *History) appendDay(day string, batch []*lease.Ended) error {
	var lines []byte
	for _, e := range batch {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	path := filepath.Join(h.dir, day+".jsonl")
	_, missing := os.Stat(path)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Write(lines); err != nil {
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil || missing == nil {
		return err
	}
	return syncDir(h.dir)
}

// Each visits leases that ended: those of the last second, then the latest day first and within a day in order, until visit
// returns false.
func (h *History) Each(q lease.Query, visit func(*lease.Ended) bool) error {
	h.files.RLock()
	defer h.files.RUnlock()
	h.mu.Lock()
	waiting := slices.Clone(h.queue)
	h.mu.Unlock()
	for _, e := range waiting {
		if q.Matches(e) && !visit(e) {
			return nil
		}
	}
	files, err := h.days()
	if err != nil {
		return err
	}
	for _, file := range slices.Backward(files) {
		day := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		if !touches(q, day) {
			continue
		}
		if on, err := h.eachLine(file, q, visit); err != nil || !on {
			return err
		}
	}
	return nil
}

// touches tells whether leases that ended on a day may be chosen.
func touches(q lease.Query, day string) bool {
	return (q.Since.IsZero() || day >= q.Since.UTC().Format(time.DateOnly)) && (q.Until.IsZero() || day <= q.Until.UTC().Format(time.DateOnly))
}

func (h *History) eachLine(file string, q lease.Query, visit func(*lease.Ended) bool) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return true, nil // what has no end yet is being written
		}
		if err != nil {
			return false, err
		}
		var e lease.Ended
		if err := json.Unmarshal(line, &e); err != nil {
			h.log.WithError(err).WithField("line", fmt.Sprintf("%s:%d", file, n)).Warn("a line of the history is damaged, and passed over")
			continue
		}
		if q.Matches(&e) && !visit(&e) {
			return false, nil
		}
	}
}

// Prune removes the days before a time.
func (h *History) Prune(before time.Time) error {
	files, err := h.days()
	if err != nil {
		return err
	}
	for _, file := range files {
		if strings.TrimSuffix(filepath.Base(file), ".jsonl") < before.UTC().Format(time.DateOnly) {
			if err := os.Remove(file); err != nil {
				return err
			}
		}
	}
	return nil
}
