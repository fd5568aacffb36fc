// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"testing"
)

// FuzzReplay reads arbitrary segments. Nothing panics, the buffer stays within the
// input, what is returned has checksums that hold and continues the sequence, and
// what recovery keeps reads cleanly ever after.
//
// With repair set the bytes are made a segment whose checksums hold, so that the
// fuzzer also gets behind them.
func FuzzReplay(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, data []byte, repair bool) {
		if repair {
			data = repaired(slices.Clone(data))
		}
		r, err := newReader(bytes.NewReader(data), "fuzz", 1, int64(len(data)))
		if err != nil {
			wantKnown(t, err)
			return
		}
		readAll(t, r, data)
		checkRecovery(t, data)
	})
}

// readAll checks every frame with a decoder of its own.
func readAll(t *testing.T, r *reader, data []byte) {
	for {
		at, next := r.off, r.next
		f, err := r.frame()
		if cap(r.buf) > len(data) {
			t.Fatalf("buffer of %d bytes for a segment of %d", cap(r.buf), len(data))
		}
		if err != nil {
			wantKnown(t, err)
			return
		}
		sealed := slices.Concat(data[16:24], data[at:at+24], f.payload)
		if crc32.Checksum(sealed, crc32.MakeTable(crc32.Castagnoli)) != order.Uint32(data[at+24:]) {
			t.Fatalf("frame at %d: the checksum does not hold", at)
		}
		if f.first != next || r.next <= next {
			t.Fatalf("frame at %d: sequences %d to %d, want %d and on", at, f.first, r.next, next)
		}
		var joined []byte
		err = f.visit(0, func(seq Seq, record []byte) error {
			joined = append(order.AppendUint32(joined, uint32(len(record))), record...)
			next++
			return nil
		})
		if err != nil || next != r.next || !bytes.Equal(joined, f.payload) || !bytes.Equal(joined, data[r.off-int64(len(joined)):r.off]) {
			t.Fatalf("frame at %d: records do not make up its payload (%v)", at, err)
		}
	}
}

// checkRecovery expects that a segment is refused, or kept up to an offset behind
// which recovery finds nothing more to cut.
func checkRecovery(t *testing.T, data []byte) {
	r, err := newReader(bytes.NewReader(data), "fuzz", 1, int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := findTail(r); err != nil {
		wantKnown(t, err)
		return
	}
	again, err := newReader(bytes.NewReader(data), "fuzz", 1, r.off)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := findTail(again); err != nil || again.off != r.off || again.next != r.next {
		t.Fatalf("kept %d bytes to %d, then %d to %d (%v)", r.off, r.next, again.off, again.next, err)
	}
	if err := again.visit(0, again.next, nil); err != nil {
		t.Fatal(err)
	}
}

func wantKnown(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*CorruptError](err); !ok && !errors.Is(err, io.EOF) {
		t.Fatalf("memory cannot fail to be read: %v", err)
	}
}

// repaired gives data a segment header and frames whose checksums hold. Lengths,
// sequences and counts remain the fuzzer's where they fit.
func repaired(data []byte) []byte {
	if len(data) < segmentHeaderSize {
		return data
	}
	h := segmentHeader{first: 1}
	copy(h.salt[:], data[16:])
	copy(data, h.encode())
	for rest := data[segmentHeaderSize:]; len(rest) >= frameHeaderSize; {
		n := frameHeaderSize + int(order.Uint32(rest[4:])%uint32(len(rest)-frameHeaderSize+1))
		sealFrame(rest[:n], h.salt, Seq(order.Uint64(rest[8:])), order.Uint32(rest[16:]))
		rest = rest[n:]
	}
	return data
}

func fuzzSeeds(f *testing.F) [][]byte {
	dir := f.TempDir()
	l := mustOpen(f, dir, lazy)
	mustAppend(f, l, "a")
	mustAppend(f, l, "b", "", "c")
	mustAppend(f, l, string(make([]byte, 300)))
	whole, err := os.ReadFile(segmentPath(dir, 1))
	if err != nil {
		f.Fatal(err)
	}
	garbled := slices.Clone(whole)
	garbled[segmentHeaderSize+frameHeaderSize] ^= 1
	return [][]byte{
		nil,
		whole[:segmentHeaderSize],
		whole,
		whole[:len(whole)-1],
		append(slices.Clone(whole), whole[segmentHeaderSize:]...),
		append(slices.Clone(whole), frameMagic...),
		garbled,
	}
}
