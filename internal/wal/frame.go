// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	segmentMagic      = "SWAL"
	segmentVersion    = 1
	segmentHeaderSize = 28

	// No UTF-8 text has a byte F7, so the search behind a torn frame rarely has
	// to look twice at a payload of JSON.
	frameMagic      = "\xf7WF1"
	frameHeaderSize = 28

	lengthSize = 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// salt binds the frames of a segment to it.
type salt [8]byte

// segmentHeader is the decoded head of a segment file.
type segmentHeader struct {
	first Seq
	salt  salt
}

func (h segmentHeader) encode() []byte {
	b := make([]byte, 0, segmentHeaderSize)
	b = append(b, segmentMagic...)
	b = order.AppendUint32(b, segmentVersion)
	b = order.AppendUint64(b, uint64(h.first))
	b = append(b, h.salt[:]...)
	return order.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseSegmentHeader takes exactly segmentHeaderSize bytes.
func parseSegmentHeader(b []byte) (h segmentHeader, err error) {
	if string(b[:4]) != segmentMagic {
		return h, fmt.Errorf("no segment: magic is %q, want %q", b[:4], segmentMagic)
	}
	if v := order.Uint32(b[4:]); v != segmentVersion {
		return h, fmt.Errorf("segment version is %d, want %d", v, segmentVersion)
	}
	if crc32.Checksum(b[:24], castagnoli) != order.Uint32(b[24:]) {
		return h, fmt.Errorf("segment header checksum does not match")
	}
	h.first = Seq(order.Uint64(b[8:]))
	copy(h.salt[:], b[16:])
	return h, nil
}

// frameHeader is the decoded head of a frame. Its own checksum has been verified,
// so its length may be trusted; sum is still to be compared with the payload.
type frameHeader struct {
	length  uint32
	first   Seq
	records uint32
	sum     uint32
	seed    uint32 // checksum of salt and header, to be continued over the payload
}

// sealFrame fills in the header that the first frameHeaderSize bytes of frame
// have been left free for.
func sealFrame(frame []byte, s salt, first Seq, records uint32) {
	head, payload := frame[:frameHeaderSize], frame[frameHeaderSize:]
	copy(head, frameMagic)
	order.PutUint32(head[4:], uint32(len(payload)))
	order.PutUint64(head[8:], uint64(first))
	order.PutUint32(head[16:], records)
	sum := crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, head[:20])
	order.PutUint32(head[20:], sum)
	sum = crc32.Update(sum, castagnoli, head[20:24])
	order.PutUint32(head[24:], crc32.Update(sum, castagnoli, payload))
}

// parseFrameHeader reports false for anything that sealFrame did not write
// under the same salt.
func parseFrameHeader(b []byte, s salt) (h frameHeader, ok bool) {
	if len(b) < frameHeaderSize || string(b[:4]) != frameMagic {
		return h, false
	}
	sum := crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b[:20])
	if sum != order.Uint32(b[20:]) {
		return h, false
	}
	return frameHeader{
		length:  order.Uint32(b[4:]),
		first:   Seq(order.Uint64(b[8:])),
		records: order.Uint32(b[16:]),
		sum:     order.Uint32(b[24:]),
		seed:    crc32.Update(sum, castagnoli, b[20:24]),
	}, true
}

// matches reports whether payload is the one the header was sealed with.
func (h frameHeader) matches(payload []byte) bool {
	return crc32.Update(h.seed, castagnoli, payload) == h.sum
}

// appendRecord adds one record to a payload.
func appendRecord(payload, record []byte) []byte {
	payload = order.AppendUint32(payload, uint32(len(record)))
	return append(payload, record...)
}

// nextRecord splits the first record off a payload. It reports false where the
// lengths do not add up. The record shares the payload's memory but cannot grow
// into its neighbour.
func nextRecord(payload []byte) (record, rest []byte, ok bool) {
	if len(payload) < lengthSize {
		return nil, nil, false
	}
	n := uint64(order.Uint32(payload))
	payload = payload[lengthSize:]
	if n > uint64(len(payload)) {
		return nil, nil, false
	}
	return payload[:n:n], payload[n:], true
}

// wellFormed reports whether payload is exactly the given number of records.
func wellFormed(payload []byte, records uint32) bool {
	for ; records > 0; records-- {
		_, rest, ok := nextRecord(payload)
		if !ok {
			return false
		}
		payload = rest
	}
	return len(payload) == 0
}
