// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// CorruptError says that a segment holds something that no crash of this package
// leaves behind. The file is as it was found.
type CorruptError struct {
	File   string // path of the segment
	Offset int64  // byte offset of the damaged header or frame
	Reason string

	tear bool // an interrupted write could look like this, were it the last
}

// Error names file and offset, as an operator needs them to cut by hand.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("wal segment %s: damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}

// frame is one verified frame; payload is valid until the next one is read.
type frame struct {
	first   Seq
	records uint32
	payload []byte
}

// reader walks one segment forward. It returns no byte whose checksum it has not
// verified, and its buffer never outgrows the segment.
type reader struct {
	src  io.ReaderAt
	in   *bufio.Reader
	name string
	salt salt
	off  int64 // of the next frame
	end  int64 // where the segment, or its durable part, ends
	next Seq   // sequence the next frame must begin with
	buf  []byte
}

// newReader verifies the header of the segment that should begin with first and
// lies in the bytes 0 to end of src.
func newReader(src io.ReaderAt, name string, first Seq, end int64) (*reader, error) {
	r := &reader{src: src, name: name, end: end, next: first}
	r.in = bufio.NewReaderSize(io.NewSectionReader(src, 0, end), 1<<16)
	if end < segmentHeaderSize {
		return nil, r.corrupt("segment has %d bytes, its header alone %d", end, segmentHeaderSize)
	}
	var head [segmentHeaderSize]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, r.failed(err)
	}
	h, err := parseSegmentHeader(head[:])
	if err != nil {
		return nil, r.corrupt("%v", err)
	}
	if h.first != first {
		return nil, r.corrupt("segment begins with sequence %d, its place is %d", h.first, first)
	}
	r.salt, r.off = h.salt, segmentHeaderSize
	return r, nil
}

// frame returns the next frame, io.EOF at the end, a *CorruptError for a bad frame
// or an I/O error. After an error the reader stays where the frame began.
func (r *reader) frame() (frame, error) {
	left := r.end - r.off
	if left == 0 {
		return frame{}, io.EOF
	}
	if left < frameHeaderSize {
		return frame{}, r.torn("%d bytes are too few for a frame", left)
	}
	var head [frameHeaderSize]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return frame{}, r.failed(err)
	}
	h, ok := parseFrameHeader(head[:], r.salt)
	if !ok {
		return frame{}, r.torn("frame header checksum does not match")
	}
	if int64(h.length) > left-frameHeaderSize {
		return frame{}, r.torn("frame of %d bytes runs past the end", h.length)
	}
	if err := r.readPayload(h); err != nil {
		return frame{}, err
	}
	r.off += frameHeaderSize + int64(h.length)
	r.next = h.first + Seq(h.records)
	return frame{first: h.first, records: h.records, payload: r.buf}, nil
}

// readPayload fills buf with the payload of h. Behind a checksum that holds, a
// wrong sequence or length is no torn write.
func (r *reader) readPayload(h frameHeader) error {
	if uint32(cap(r.buf)) < h.length {
		r.buf = make([]byte, h.length)
	}
	r.buf = r.buf[:h.length]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return r.failed(err)
	}
	if !h.matches(r.buf) {
		return r.torn("frame checksum does not match")
	}
	if h.first != r.next {
		return r.corrupt("frame begins with sequence %d, want %d", h.first, r.next)
	}
	if h.records == 0 || h.first+Seq(h.records) < h.first || !wellFormed(r.buf, h.records) {
		return r.corrupt("frame does not hold the %d records it announces", h.records)
	}
	return nil
}

// laterFrame looks behind a bad frame at r.off for the header of a frame that was
// written after it. A header is proof enough: whoever wrote it had synced all
// before it.
func (r *reader) laterFrame() (off int64, found bool, err error) {
	window := make([]byte, min(1<<16, r.end-r.off))
	for at := r.off + 1; r.end-at >= frameHeaderSize; {
		w := window[:min(int64(len(window)), r.end-at)]
		if _, err := r.src.ReadAt(w, at); err != nil {
			return 0, false, r.failed(err)
		}
		if i := r.headerIn(w); i >= 0 {
			return at + int64(i), true, nil
		}
		// The last bytes are looked at again: a header may straddle two windows.
		at += int64(len(w)) - frameHeaderSize + 1
	}
	return 0, false, nil
}

// headerIn is the index in b of the first header of a later frame, or -1.
func (r *reader) headerIn(b []byte) int {
	for i := 0; ; i++ {
		hit := bytes.Index(b[i:], []byte(frameMagic))
		if hit < 0 {
			return -1
		}
		i += hit
		if h, ok := parseFrameHeader(b[i:], r.salt); ok && h.first > r.next {
			return i
		}
	}
}

func (r *reader) corrupt(format string, args ...any) error {
	return &CorruptError{File: r.name, Offset: r.off, Reason: fmt.Sprintf(format, args...)}
}

func (r *reader) torn(format string, args ...any) error {
	return &CorruptError{File: r.name, Offset: r.off, Reason: fmt.Sprintf(format, args...), tear: true}
}

// failed wraps what the disk could not read; it must never pass for a torn frame,
// which would be cut, nor for the end of the segment, where a file is shorter than
// it was.
func (r *reader) failed(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read wal segment %s at offset %d: %w", r.name, r.off, err)
}
