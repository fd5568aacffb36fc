// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
)

const (
	smallBlob = 1 << 20 // bytes of the largest blob that is kept in memory
	chunk     = 128 << 10
	// maxSpooled bounds the blobs in the spool: what is known of each is in memory, and they may have a byte each.
	maxSpooled = 10_000
)

// spool keeps blobs between the one read from the source and the many writes. What is in it
// stays until the room is needed: another image may have the same layer. Then that goes
// first which nobody is known to need, then what nobody reads at the moment, which is read
// from the source again if it has to be. What is known of a blob, its failures too, lasts as
// long as somebody needs it.
type spool struct {
	from      Source
	dir       string
	max       int64 // bytes
	maxMemory int64
	downloads *places
	outages   *outages

	mu         sync.Mutex
	blobs      map[sized]*blob
	order      []*blob // those that have room, oldest first
	used       int64
	usedMemory int64
	freed      chan struct{} // closed when there may be room
	read       int64         // bytes from sources

	filling sync.WaitGroup
	ctx     context.Context // of the copy: a fill outlives who asked for it first
}

// sized tells blobs apart. The size belongs to it: an image that says a wrong one spoils nobody else's blob.
type sized struct {
	digest string
	size   int64
}

func (d descriptor) sized() sized { return sized{d.Digest, d.Size} }

// file is the name that a blob has in the spool's folder.
func (d sized) file() string { return fmt.Sprintf("%s-%d", d.digest[len("sha256:"):], d.size) }

// blob is one blob of this copy. The spool's lock guards it.
type blob struct {
	descriptor
	users   int              // targets that may still need it
	readers int              // at the moment
	fill    *fill            // nil while it is not in the spool
	failed  map[string]error // by the sources that it could not be read from
	at      map[string]*place
}

// fill is a blob in the spool, whole or on its way. One that failed stays with who reads it,
// and nowhere else.
type fill struct {
	source string
	size   int64
	memory []byte // or
	file   string

	mu      sync.Mutex
	written int64
	proven  bool  // all of it is there and has the digest
	err     error // for good
	more    chan struct{}
}

func newSpool(ctx context.Context, from Source, dir string, opts Options) *spool {
	return &spool{
		ctx: ctx, from: from, dir: dir, max: opts.Spool, maxMemory: opts.Memory,
		downloads: newPlaces(opts.Downloads), outages: newOutages(opts.GiveUp),
		blobs: map[sized]*blob{}, freed: make(chan struct{}),
	}
}

// need announces that a target may need blobs, and returns them.
func (s *spool) need(all []descriptor, targets int) []*blob {
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs := make([]*blob, len(all))
	for i, d := range all {
		b := s.blobs[d.sized()]
		if b == nil {
			b = &blob{descriptor: d}
			s.blobs[d.sized()] = b
		}
		b.users += targets
		blobs[i] = b
	}
	return blobs
}

// done takes an announcement back.
func (s *spool) done(blobs []*blob, targets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blobs {
		b.users -= targets
		s.forget(b)
	}
}

// forget drops what is known of a blob that nobody needs and that is not kept.
func (s *spool) forget(b *blob) {
	if b.users <= 0 && b.readers == 0 && b.fill == nil {
		delete(s.blobs, b.sized())
	}
}

// open returns the bytes of a blob from the start. They come as they are read from the
// source, by whoever is first to ask; the last of them come when all are proven to be right.
// A source that failed is not asked for this blob again, but another may be.
func (s *spool) open(ctx context.Context, source string, b *blob) io.ReadCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := b.fill
	switch err := b.failed[source]; {
	case f != nil:
	case err != nil:
		f = &fill{source: source, err: err}
	default:
		f = &fill{source: source, size: b.Size, more: make(chan struct{})}
		b.fill = f
		s.filling.Go(func() { s.end(b, f, s.run(b, f)) })
	}
	b.readers++
	return &follower{ctx: ctx, s: s, b: b, f: f}
}

// run reads a blob from its source. It takes a place first: so what has room is on its way.
func (s *spool) run(b *blob, f *fill) error {
	group := groupOf(f.source)
	return s.downloads.do(s.ctx, group, func() error {
		if err := s.reserve(b, f); err != nil {
			return err
		}
		return s.outages.ask(group, func() error { return s.download(b, f) })
	})
}

// end is called when a blob was read, or could not be. Its readers know of a failure after the spool does: who asks again then
// asks another source. Either way there may be room now.
func (s *spool) end(b *blob, f *fill, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.drop(b)
		if b.failed == nil {
			b.failed = map[string]error{}
		}
		b.failed[f.source] = err
		s.forget(b)
	}
	f.finish(err)
	s.tell()
}

// drop takes a blob out of the spool.
func (s *spool) drop(b *blob) {
	if i := slices.Index(s.order, b); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
		s.give(b.fill)
	}
	b.fill = nil
}

// reserve waits for room, and takes it.
func (s *spool) reserve(b *blob, f *fill) error {
	if b.Size > s.max {
		return audit.Fail(finding.TooLarge, "blob %s of %d bytes is larger than the spool of %d: give it more", b.Digest, b.Size, s.max)
	}
	for {
		s.mu.Lock()
		if s.room(b.Size) {
			s.used += b.Size
			if b.Size <= smallBlob && s.usedMemory+b.Size <= s.maxMemory {
				s.usedMemory += b.Size
				f.memory = make([]byte, b.Size)
			} else {
				f.file = filepath.Join(s.dir, b.sized().file())
			}
			s.order = append(s.order, b)
			s.mu.Unlock()
			return nil
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// room makes room for size bytes if it can: first of what nobody is known to need.
func (s *spool) room(size int64) bool {
	for _, spare := range []func(*blob) bool{
		func(b *blob) bool { return b.users <= 0 && b.readers == 0 },
		func(b *blob) bool { return b.readers == 0 },
	} {
		for i := 0; i < len(s.order) && !s.fits(size); {
			if b := s.order[i]; spare(b) && b.fill.whole() {
				s.drop(b)
				s.forget(b)
				continue
			}
			i++
		}
	}
	return s.fits(size)
}

func (s *spool) fits(size int64) bool { return s.used+size <= s.max && len(s.order) < maxSpooled }

// give takes back the room of a fill.
func (s *spool) give(f *fill) {
	s.used -= f.size
	if f.memory != nil {
		s.usedMemory -= f.size
	}
	if f.file != "" {
		_ = os.Remove(f.file) // at the end the whole folder goes
	}
}

// tell wakes those who wait for room.
func (s *spool) tell() {
	close(s.freed)
	s.freed = make(chan struct{})
}

// download reads a blob from its source into a fill, and proves it.
func (s *spool) download(b *blob, f *fill) error {
	body, err := s.from.Blob(s.ctx, f.source, b.Digest, b.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	to := io.Writer(discard{})
	if f.file != "" {
		file, err := os.OpenFile(f.file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("spool: %w", err)
		}
		defer file.Close()
		to = file
	}
	return s.pour(f, b, body, to)
}

// discard stands for memory, into which is read directly.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (s *spool) pour(f *fill, b *blob, body io.Reader, to io.Writer) error {
	sum, at, buffer := sha256.New(), int64(0), []byte(nil)
	if f.file != "" {
		buffer = make([]byte, chunk)
	}
	for {
		into := buffer
		if f.file == "" {
			into = f.memory[at:]
			if len(into) == 0 {
				into = make([]byte, 1) // to see the end, or that there is none
			}
		}
		n, err := body.Read(into)
		if at+int64(n) > b.Size {
			return audit.Fail(finding.TooLarge, "blob %s has more than the %d bytes that its manifest says", b.Digest, b.Size)
		}
		if _, err := to.Write(into[:n]); err != nil {
			return fmt.Errorf("spool: %w: give it another folder or less room", err)
		}
		_, _ = sum.Write(into[:n]) // never fails
		at += int64(n)
		f.grow(at)
		s.count(n)
		if err == io.EOF { //nolint:errorlint // a connection that broke wraps it
			break
		}
		if err != nil {
			return err
		}
	}
	if at != b.Size {
		return audit.Fail(finding.Malformed, "blob %s has %d bytes, its manifest says %d", b.Digest, at, b.Size)
	}
	if "sha256:"+hex.EncodeToString(sum.Sum(nil)) != b.Digest {
		return audit.Fail(finding.Malformed, "blob %s: the bytes have another digest", b.Digest)
	}
	return nil
}

func (s *spool) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read += int64(n)
}

// total is how many bytes were read from sources.
func (s *spool) total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

func (f *fill) grow(written int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written = written
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fill) finish(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proven, f.err = err == nil, err
	close(f.more)
	f.more = make(chan struct{})
}

func (f *fill) whole() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.proven
}

// until waits for bytes beyond at, and returns how far one may read. The last byte is held
// back until all are proven: what is sent on can then be taken for whole by nobody.
func (f *fill) until(ctx context.Context, at int64) (int64, error) {
	for {
		f.mu.Lock()
		to, proven, err, more := f.written, f.proven, f.err, f.more
		f.mu.Unlock()
		if !proven {
			to = min(to, f.size-1)
		}
		switch {
		case err != nil:
			return 0, errSource{err, f.source}
		case at < to || proven:
			return to, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, errSource{error: ctx.Err()}
		}
	}
}

// follower reads behind the writer. It may be closed while it is read: transports do.
type follower struct {
	ctx context.Context
	s   *spool
	b   *blob
	f   *fill
	at  int64

	mu   sync.Mutex
	file *os.File
	shut bool
}

func (r *follower) Read(p []byte) (int, error) {
	to, err := r.f.until(r.ctx, r.at)
	if err != nil {
		return 0, err
	}
	if r.at >= to {
		return 0, io.EOF
	}
	n, err := r.copy(p[:min(int64(len(p)), to-r.at)])
	r.at += int64(n)
	return n, err
}

// copy fills p with bytes that are there.
func (r *follower) copy(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.shut:
		return 0, errSource{error: os.ErrClosed}
	case r.f.file == "":
		return copy(p, r.f.memory[r.at:]), nil
	case r.file == nil:
		file, err := os.Open(r.f.file)
		if err != nil {
			return 0, errSource{error: fmt.Errorf("spool: %w", err)}
		}
		r.file = file
	}
	n, err := r.file.ReadAt(p, r.at)
	if n < len(p) {
		return n, errSource{error: fmt.Errorf("spool: %w", err)}
	}
	return n, nil
}

func (r *follower) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return nil
	}
	r.shut = true
	r.s.left(r.b)
	if r.file != nil {
		return r.file.Close()
	}
	return nil
}

// left takes note that one reader of a blob is gone.
func (s *spool) left(b *blob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.readers--; b.readers == 0 {
		s.forget(b)
		s.tell()
	}
}
