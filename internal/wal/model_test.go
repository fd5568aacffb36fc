// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// modelSegment is a segment as far as the rules foresee it.
type modelSegment struct {
	first  Seq
	frames []modelFrame
}

type modelFrame struct {
	size    int64
	records []string
}

func (s modelSegment) size() int64 {
	n := int64(segmentHeaderSize)
	for _, f := range s.frames {
		n += f.size
	}
	return n
}

func (s modelSegment) next() Seq {
	n := s.first
	for _, f := range s.frames {
		n += Seq(len(f.records))
	}
	return n
}

// model is a log whose batches come one at a time.
type model struct {
	limit    int64
	segments []modelSegment
}

func (m *model) last() *modelSegment { return &m.segments[len(m.segments)-1] }

func (m *model) append(records []string) {
	f := modelFrame{size: frameHeaderSize, records: records}
	for _, r := range records {
		f.size += int64(lengthSize + len(r))
	}
	if m.last().size()+f.size > m.limit {
		m.segments = append(m.segments, modelSegment{first: m.last().next()})
	}
	m.last().frames = append(m.last().frames, f)
}

func (m *model) dropBefore(seq Seq) {
	for len(m.segments) > 1 && m.segments[1].first <= seq {
		m.segments = m.segments[1:]
	}
}

// truncate cuts the last segment to size bytes, at least its header.
func (m *model) truncate(size int64) {
	s := m.last()
	for s.size() > size {
		s.frames = s.frames[:len(s.frames)-1]
	}
}

func (m *model) records(from Seq) (want []string) {
	seq := m.segments[0].first
	for _, s := range m.segments {
		for _, f := range s.frames {
			for _, r := range f.records {
				if seq >= from {
					want = append(want, fmt.Sprintf("%d:%s", seq, r))
				}
				seq++
			}
		}
	}
	return want
}

// trial drives a log and its model through the same random operations.
type trial struct {
	t    *testing.T
	rng  *rand.Rand
	dir  string
	opts Options
	log  *Log
	model
}

// trialOps is the table of operations, the frequent ones first.
var trialOps = []struct {
	name   string
	weight int
	do     func(*trial)
}{
	{"append", 12, (*trial).appendBatch},
	{"refused append", 1, (*trial).appendTooLarge},
	{"replay", 2, (*trial).replay},
	{"drop", 2, (*trial).drop},
	{"reopen", 1, (*trial).reopen},
	{"truncate", 1, (*trial).cut},
}

func (x *trial) appendBatch() {
	records := make([]string, 1+x.rng.IntN(4))
	for i := range records {
		records[i] = strings.Repeat(string(rune('a'+x.rng.IntN(26))), x.rng.IntN(40))
	}
	x.model.append(records)
	if got, want := mustAppend(x.t, x.log, records...), x.last().next()-1; got != want {
		x.t.Fatalf("append returned %d, want %d", got, want)
	}
}

func (x *trial) appendTooLarge() {
	if _, err := x.log.Append(make([]byte, x.limit)); err == nil {
		x.t.Fatal("a record as large as a segment was accepted")
	}
}

func (x *trial) replay() {
	first := x.segments[0].first
	from := first + Seq(x.rng.Uint64N(uint64(x.last().next()-first+1)))
	wantRecords(x.t, x.log, from, x.records(from)...)
}

func (x *trial) drop() {
	seq := Seq(x.rng.Uint64N(uint64(x.last().next() + 3)))
	x.dropBefore(seq)
	if err := x.log.DropBefore(seq); err != nil {
		x.t.Fatal(err)
	}
}

func (x *trial) reopen() {
	mustClose(x.t, x.log)
	x.log = mustOpen(x.t, x.dir, x.opts)
}

func (x *trial) cut() {
	mustClose(x.t, x.log)
	size := segmentHeaderSize + x.rng.Int64N(x.last().size()-segmentHeaderSize+1)
	if err := os.Truncate(segmentPath(x.dir, x.last().first), size); err != nil {
		x.t.Fatal(err)
	}
	x.truncate(size)
	x.log = mustOpen(x.t, x.dir, x.opts)
}

// check compares bounds and files with the model, after every operation.
func (x *trial) check() {
	x.t.Helper()
	if x.log.First() != x.segments[0].first || x.log.Next() != x.last().next() {
		x.t.Fatalf("First %d, Next %d, want %d and %d", x.log.First(), x.log.Next(), x.segments[0].first, x.last().next())
	}
	files := segmentFiles(x.t, x.dir)
	var want []string
	for _, s := range x.segments {
		want = append(want, fmt.Sprintf("%020d.wal", s.first))
		info, err := os.Stat(segmentPath(x.dir, s.first))
		if err != nil || info.Size() != s.size() || info.Size() > x.limit {
			x.t.Fatalf("segment %d: %v, size %d, want %d of at most %d", s.first, err, info.Size(), s.size(), x.limit)
		}
	}
	if !slices.Equal(files, want) {
		x.t.Fatalf("files %v, want %v", files, want)
	}
}

func (x *trial) step() {
	total := 0
	for _, op := range trialOps {
		total += op.weight
	}
	n := x.rng.IntN(total)
	for _, op := range trialOps {
		if n -= op.weight; n < 0 {
			op.do(x)
			x.check()
			return
		}
	}
}

func TestModel(t *testing.T) { // W-2, W-4, W-6, W-7, W-10, W-11
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			limit := 250 + rng.Int64N(2000)
			x := &trial{t: t, rng: rng, dir: t.TempDir(), opts: lazyWith(limit)}
			x.model = model{limit: limit, segments: []modelSegment{{first: 1}}}
			x.log = mustOpen(t, x.dir, x.opts)
			for range 120 {
				x.step()
			}
			wantRecords(t, x.log, 0, x.records(0)...)
		})
	}
}
