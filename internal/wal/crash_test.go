// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// crashed is a log of three batches, each in a frame of its own.
type crashed struct {
	segment []byte
	starts  []int64 // offset of every frame, then the end
	batches [][]string
}

func newCrashed(t *testing.T) crashed {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, dir, lazy)
	c := crashed{batches: [][]string{{"one"}, {"two", "", "three"}, {"four", "five"}}}
	for _, b := range c.batches {
		c.starts = append(c.starts, l.size)
		mustAppend(t, l, b...)
	}
	c.starts = append(c.starts, l.size)
	mustClose(t, l)
	var err error
	if c.segment, err = os.ReadFile(segmentPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	return c
}

// frameOf returns the index of the frame that holds offset, -1 for the header.
func (c crashed) frameOf(offset int64) int {
	n := -1
	for n+1 < len(c.starts)-1 && c.starts[n+1] <= offset {
		n++
	}
	return n
}

// records returns what the first n frames hold, as read returns it.
func (c crashed) records(n int) (want []string) {
	for _, b := range c.batches[:n] {
		for _, r := range b {
			want = append(want, fmt.Sprintf("%d:%s", len(want)+1, r))
		}
	}
	return want
}

func writeSegment(t *testing.T, dir string, first Seq, b []byte) {
	t.Helper()
	if err := os.WriteFile(segmentPath(dir, first), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantRecovered opens the segment and expects the first n frames, cut behind
// them and good for another append.
func (c crashed) wantRecovered(t *testing.T, segment []byte, n int) {
	t.Helper()
	dir := t.TempDir()
	writeSegment(t, dir, 1, segment)
	l := mustOpen(t, dir, lazy)
	want := c.records(n)
	wantRecords(t, l, 0, want...)
	if info, err := os.Stat(segmentPath(dir, 1)); err != nil || info.Size() != c.starts[n] {
		t.Fatalf("cut at %v (%v), want %d", info.Size(), err, c.starts[n])
	}
	mustAppend(t, l, "more")
	mustClose(t, l)
	wantRecords(t, mustOpen(t, dir, lazy), 0, append(want, fmt.Sprintf("%d:more", len(want)+1))...)
}

// wantCorrupt opens the segment and expects a refusal that names file and offset
// and leaves every byte alone.
func wantCorrupt(t *testing.T, segment []byte, offset int64) {
	t.Helper()
	dir := t.TempDir()
	writeSegment(t, dir, 1, segment)
	_, err := Open(dir, lazy)
	isCorrupt(t, err, segmentPath(dir, 1), offset)
	after, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil || string(after) != string(segment) {
		t.Fatalf("the damaged file was changed (%v)", err)
	}
}

func isCorrupt(t *testing.T, err error, file string, offset int64) {
	t.Helper()
	bad, ok := errors.AsType[*CorruptError](err)
	if !ok || bad.File != file || bad.Offset != offset {
		t.Fatalf("got %v, want damage of %s at offset %d", err, file, offset)
	}
	if text := err.Error(); !strings.Contains(text, file) || !strings.Contains(text, fmt.Sprintf("offset %d:", offset)) {
		t.Fatalf("%q does not name file and offset", text)
	}
}

func TestTruncatedAnywhere(t *testing.T) { // W-6, W-7, W-8
	c := newCrashed(t)
	for n := range len(c.segment) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if n < segmentHeaderSize {
				wantCorrupt(t, c.segment[:n], 0)
				return
			}
			c.wantRecovered(t, c.segment[:n], c.frameOf(int64(n)))
		})
	}
}

func TestGarbledAnywhere(t *testing.T) { // W-6, W-7, W-8
	c := newCrashed(t)
	for n := range int64(len(c.segment)) {
		for _, flip := range []byte{0x01, 0xff} {
			t.Run(fmt.Sprintf("%d/%x", n, flip), func(t *testing.T) {
				segment := slices.Clone(c.segment)
				segment[n] ^= flip
				switch i := c.frameOf(n); i {
				case -1:
					wantCorrupt(t, segment, 0)
				case len(c.batches) - 1:
					c.wantRecovered(t, segment, i)
				default:
					wantCorrupt(t, segment, c.starts[i])
				}
			})
		}
	}
}

// What follows the last frame is junk whatever it is, unless it is a frame.
func TestJunkBehindTheTail(t *testing.T) { // W-7
	c := newCrashed(t)
	foreign := newCrashed(t) // the same records under another salt
	later := foreign.segment[foreign.starts[2]:]
	for name, junk := range map[string][]byte{
		"one byte":                {0},
		"zeros":                   make([]byte, 200_000),
		"magic over and over":     []byte(strings.Repeat(frameMagic, 50_000)),
		"later frame, other salt": slices.Concat(make([]byte, 100), later),
		"earlier frame again":     slices.Concat(make([]byte, 100), c.segment[c.starts[1]:c.starts[2]]),
		"text":                    []byte(strings.Repeat("{\"action\":\"opened\"}", 10_000)),
	} {
		t.Run(name, func(t *testing.T) {
			c.wantRecovered(t, slices.Concat(c.segment, junk), len(c.batches))
		})
	}
}

// A later header is found wherever it stands, across the windows of the search too.
func TestLaterFrameIsFoundAtAnyDistance(t *testing.T) { // W-8
	c := newCrashed(t)
	last := c.segment[c.starts[2]:]
	gaps := []int{0, 1, 131_072, 200_001}
	for gap := 65_450; gap < 65_500; gap++ { // here the header straddles the first two windows
		gaps = append(gaps, gap)
	}
	for _, gap := range gaps {
		t.Run(fmt.Sprint(gap), func(t *testing.T) {
			wantCorrupt(t, slices.Concat(c.segment[:c.starts[2]-1], make([]byte, gap), last), c.starts[1])
			headOnly := last[:frameHeaderSize]
			wantCorrupt(t, slices.Concat(c.segment[:c.starts[2]-1], make([]byte, gap), headOnly), c.starts[1])
		})
	}
}

// Frames whose checksums hold but which do not belong where they stand were not
// left by a crash, in the last place either.
func TestWellSealedNonsense(t *testing.T) { // W-8
	c := newCrashed(t)
	h, err := parseSegmentHeader(c.segment[:segmentHeaderSize])
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		first   Seq
		records uint32
		payload string
	}{
		{"sequence too low", 6, 1, "\x01\x00\x00\x00x"},
		{"sequence too high", 8, 1, "\x01\x00\x00\x00x"},
		{"no records", 7, 0, ""},
		{"more records than bytes", 7, 2, "\x01\x00\x00\x00x"},
		{"bytes behind the records", 7, 1, "\x01\x00\x00\x00xy"},
		{"record longer than the frame", 7, 1, "\xff\xff\xff\xffx"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame := append(make([]byte, frameHeaderSize), tt.payload...)
			sealFrame(frame, h.salt, tt.first, tt.records)
			wantCorrupt(t, slices.Concat(c.segment, frame), int64(len(c.segment)))
		})
	}
}

// Sequences do not wrap around.
func TestSequenceOverflow(t *testing.T) { // W-8, W-13
	const last = ^Seq(0)
	head := segmentHeader{first: last}.encode()
	frame := appendRecord(appendRecord(make([]byte, frameHeaderSize), nil), nil)
	sealFrame(frame, salt{}, last, 2)
	dir := t.TempDir()
	writeSegment(t, dir, last, append(head, frame...))
	_, err := Open(dir, lazy)
	isCorrupt(t, err, segmentPath(dir, last), segmentHeaderSize)
}

// In a segment that is not the last nothing is torn: Open reads the last one only,
// Replay visits what precedes the damage and then fails.
func TestDamageInAnEarlierSegment(t *testing.T) { // W-8
	c := newCrashed(t)
	next := Seq(len(c.records(3)) + 1)
	last := segmentHeader{first: next}.encode()
	check := func(t *testing.T, segment []byte, offset int64) {
		dir := t.TempDir()
		writeSegment(t, dir, 1, segment)
		writeSegment(t, dir, next, last)
		l := mustOpen(t, dir, lazy)
		got, err := read(l, 0)
		isCorrupt(t, err, segmentPath(dir, 1), offset)
		if want := c.records(max(c.frameOf(offset), 0)); offset < int64(len(c.segment)) && !slices.Equal(got, want) {
			t.Fatalf("visited %q before the damage, want %q", got, want)
		}
	}
	for n := range int64(len(c.segment)) {
		at := int64(0)
		if i := c.frameOf(n); i >= 0 {
			at = c.starts[i]
		}
		t.Run(fmt.Sprintf("cut/%d", n), func(t *testing.T) { check(t, c.segment[:n], at) })
		t.Run(fmt.Sprintf("garbled/%d", n), func(t *testing.T) {
			segment := slices.Clone(c.segment)
			segment[n] ^= 0x10
			check(t, segment, at)
		})
	}
	t.Run("junk behind", func(t *testing.T) { check(t, append(slices.Clone(c.segment), 0), int64(len(c.segment))) })
}

func TestMissingSegment(t *testing.T) { // W-8
	dir := t.TempDir()
	l := mustOpen(t, dir, lazyWith(70))
	for _, r := range []string{"a", "b", "c"} {
		mustAppend(t, l, r)
	}
	mustClose(t, l)
	if err := os.Remove(segmentPath(dir, 2)); err != nil {
		t.Fatal(err)
	}
	got, err := read(mustOpen(t, dir, lazy), 0)
	isCorrupt(t, err, segmentPath(dir, 1), segmentHeaderSize+frameHeaderSize+lengthSize+1)
	if !slices.Equal(got, []string{"1:a"}) {
		t.Fatalf("visited %q", got)
	}
}

// A power cut keeps any sectors of the last write and loses the others. Whatever
// is kept, what was acknowledged comes back, and Open never calls it damage, not
// even when the lost record was made by someone who wants it to.
func TestPowerCut(t *testing.T) { // W-6, W-7, W-13
	const sector = 512
	dir := t.TempDir()
	l := mustOpen(t, dir, lazy)
	mustAppend(t, l, "kept", strings.Repeat("k", 1000))
	acknowledged := l.size
	mustAppend(t, l, strings.Repeat(forgedFrame(1000), 100), strings.Repeat("z", 3000))
	mustClose(t, l)
	whole, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := slices.Clone(whole[:acknowledged+rng.Int64N(int64(len(whole))-acknowledged+1)])
		for at := acknowledged; at < int64(len(disk)); at += sector - at%sector {
			if rng.IntN(3) == 0 {
				clear(disk[at:min(at+sector-at%sector, int64(len(disk)))])
			}
		}
		after := filepath.Join(t.TempDir(), "log")
		if err := os.Mkdir(after, 0o700); err != nil {
			t.Fatal(err)
		}
		writeSegment(t, after, 1, disk)
		l, err := Open(after, lazy)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want := Seq(3)
		if slices.Equal(disk, whole) {
			want = 5
		}
		if l.Next() != want {
			t.Fatalf("seed %d: Next is %d, want %d", seed, l.Next(), want)
		}
		mustClose(t, l)
	}
}

// forgedFrame is a frame for a salt of zeros: the best guess of a stranger.
func forgedFrame(first Seq) string {
	b := appendRecord(make([]byte, frameHeaderSize), []byte("forged"))
	sealFrame(b, salt{}, first, 1)
	return string(b)
}

// What cannot be read is an error of its own: were it taken for a torn frame, a
// loose cable would cut the log.
func TestReadErrorIsNoTornTail(t *testing.T) { // W-9
	c := newCrashed(t)
	for n := range int64(len(c.segment)) {
		src := brokenDisk{strings.NewReader(string(c.segment)), n}
		r, err := newReader(src, "name", 1, int64(len(c.segment)))
		if err == nil {
			_, err = findTail(r)
		}
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt || !errors.Is(err, errBrokenDisk) {
			t.Fatalf("unreadable from %d: got %v", n, err)
		}
	}
	// A payload larger than the read-ahead is read by itself.
	large := append(make([]byte, frameHeaderSize), make([]byte, 200_000)...)
	sealFrame(large, salt{}, 1, 1)
	large = append(segmentHeader{first: 1}.encode(), large...)
	r, err := newReader(brokenDisk{strings.NewReader(string(large)), 150_000}, "name", 1, int64(len(large)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.frame(); !errors.Is(err, errBrokenDisk) {
		t.Fatalf("unreadable in a large payload: got %v", err)
	}
	// The search behind a torn frame reads, too.
	segment := slices.Clone(c.segment)
	segment[c.starts[2]] ^= 1
	r, err = newReader(strings.NewReader(string(segment)), "name", 1, int64(len(segment)))
	if err != nil {
		t.Fatal(err)
	}
	r.src = brokenDisk{strings.NewReader(string(segment)), r.end - 1}
	if _, err := findTail(r); !errors.Is(err, errBrokenDisk) {
		t.Fatalf("unreadable behind a torn frame: got %v", err)
	}
}

// A file that has become shorter, even by whole frames, does not end well.
func TestShrunkSegmentIsNoEnd(t *testing.T) { // W-9
	c := newCrashed(t)
	for _, n := range c.starts[:len(c.starts)-1] {
		r, err := newReader(strings.NewReader(string(c.segment[:n])), "name", 1, int64(len(c.segment)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := findTail(r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("shrunk to %d bytes: got %v", n, err)
		}
	}
}

var errBrokenDisk = errors.New("input/output error")

// brokenDisk cannot be read at offset bad.
type brokenDisk struct {
	io.ReaderAt
	bad int64
}

func (d brokenDisk) ReadAt(p []byte, off int64) (int, error) {
	if off <= d.bad && d.bad < off+int64(len(p)) {
		n, _ := d.ReaderAt.ReadAt(p[:d.bad-off], off)
		return n, errBrokenDisk
	}
	return d.ReaderAt.ReadAt(p, off)
}
