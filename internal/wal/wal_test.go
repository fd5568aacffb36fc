// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lazySink leaves writing to the kernel: enough for tests that end no process.
type lazySink struct{ *os.File }

func (lazySink) Sync() error { return nil }

var lazy = Options{Sink: func(f *os.File) Sink { return lazySink{f} }}

// lazyWith is lazy with small segments.
func lazyWith(segmentBytes int64) Options {
	o := lazy
	o.SegmentBytes = segmentBytes
	return o
}

func mustOpen(t testing.TB, dir string, opts Options) *Log {
	t.Helper()
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// batch makes records of strings.
func batch(records ...string) [][]byte {
	b := make([][]byte, len(records))
	for i, r := range records {
		b[i] = []byte(r)
	}
	return b
}

func mustAppend(t testing.TB, l *Log, records ...string) Seq {
	t.Helper()
	last, err := l.Append(batch(records...)...)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// read returns what a replay visits as "seq:record", and its error.
func read(l *Log, from Seq) (got []string, err error) {
	err = l.Replay(from, func(seq Seq, record []byte) error {
		got = append(got, fmt.Sprintf("%d:%s", seq, record))
		return nil
	})
	return got, err
}

func wantRecords(t testing.TB, l *Log, from Seq, want ...string) {
	t.Helper()
	got, err := read(l, from)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("replay from %d: got %q, want %q", from, got, want)
	}
}

// segmentFiles returns the names of the segments in dir.
func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

func TestAppendReplayReopen(t *testing.T) { // W-2, W-6
	dir := filepath.Join(t.TempDir(), "log")
	l := mustOpen(t, dir, Options{})
	if l.First() != 1 || l.Next() != 1 {
		t.Fatalf("empty log: First %d, Next %d", l.First(), l.Next())
	}
	for i, b := range [][]string{{"a"}, {"b", "", "c"}, {strings.Repeat("d", 70000)}} {
		if got, want := mustAppend(t, l, b...), []Seq{1, 4, 5}[i]; got != want {
			t.Fatalf("batch %d: last %d, want %d", i, got, want)
		}
	}
	want := []string{"1:a", "2:b", "3:", "4:c", "5:" + strings.Repeat("d", 70000)}
	wantRecords(t, l, 0, want...)
	mustClose(t, l)

	l = mustOpen(t, dir, Options{})
	wantRecords(t, l, 0, want...)
	if got := mustAppend(t, l, "e"); got != 6 {
		t.Fatalf("after reopening: last %d, want 6", got)
	}
	wantRecords(t, l, 5, want[4], "6:e")
}

func TestAppendLimits(t *testing.T) { // W-4
	const segmentBytes = 256
	room := strings.Repeat("x", segmentBytes-overhead)
	tests := []struct {
		name    string
		opts    Options
		records []string
		want    error // nil: accepted
		says    string
	}{
		{"empty batch", Options{}, nil, errors.ErrUnsupported, "no record"},
		{"empty record", Options{}, []string{""}, nil, ""},
		{"record at the limit", Options{MaxRecordBytes: 3}, []string{"abc", "def"}, nil, ""},
		{"record over the limit", Options{MaxRecordBytes: 3}, []string{"abc", "defg"}, ErrTooLarge, "record 2 of the batch has 4 bytes, at most 3"},
		{"record fills a segment", Options{}, []string{room}, nil, ""},
		{"batch over a segment", Options{}, []string{room, ""}, ErrTooLarge, "batch of 2 records has more than 200 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.SegmentBytes, tt.opts.Sink = segmentBytes, lazy.Sink
			l := mustOpen(t, t.TempDir(), tt.opts)
			_, err := l.Append(batch(tt.records...)...)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("got error %v", err)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.says) || errors.Is(tt.want, ErrTooLarge) && !errors.Is(err, ErrTooLarge)) {
				t.Fatalf("got error %v, want %q and %v", err, tt.says, tt.want)
			}
			next := l.Next()
			if last := mustAppend(t, l, "ok"); last != next {
				t.Fatalf("the log moved on: got %d, want %d", last, next)
			}
		})
	}
}

func TestOptions(t *testing.T) { // W-4
	tests := []struct {
		name string
		opts Options
		says string // empty: accepted
	}{
		{"defaults", Options{}, ""},
		{"smallest", Options{SegmentBytes: 61, MaxRecordBytes: 1}, ""},
		{"no room for a record", Options{SegmentBytes: 60}, "SegmentBytes is 60, want 61 to 1073741824"},
		{"negative segment", Options{SegmentBytes: -1}, "SegmentBytes is -1"},
		{"giant segment", Options{SegmentBytes: 1<<30 + 1}, "SegmentBytes is 1073741825"},
		{"record over segment", Options{SegmentBytes: 100, MaxRecordBytes: 41}, "MaxRecordBytes is 41, want 1 to 40"},
		{"negative record", Options{MaxRecordBytes: -1}, "MaxRecordBytes is -1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "log")
			l, err := Open(dir, tt.opts)
			if tt.says == "" && err == nil {
				mustClose(t, l)
				return
			}
			if tt.says == "" || err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Fatal("a refused Open made the directory")
			}
		})
	}
}

func TestReplayBounds(t *testing.T) { // W-10
	l := mustOpen(t, t.TempDir(), lazyWith(100)) // two records of 6 bytes to a segment
	for i := 1; i <= 6; i++ {
		mustAppend(t, l, fmt.Sprintf("rec%03d", i))
	}
	if err := l.DropBefore(3); err != nil {
		t.Fatal(err)
	}
	first := l.First()
	tests := []struct {
		from    Seq
		visits  int
		dropped bool
		says    string
	}{
		{from: 0, visits: int(7 - first)},
		{from: first - 1, dropped: true, says: "records were dropped"},
		{from: first, visits: int(7 - first)},
		{from: 5, visits: 2},
		{from: 6, visits: 1},
		{from: 7},
		{from: 8, says: "the log ends before 7"},
	}
	for _, tt := range tests {
		got, err := read(l, tt.from)
		if len(got) != tt.visits || (err != nil) != (tt.says != "") || errors.Is(err, ErrDropped) != tt.dropped {
			t.Errorf("from %d: got %q and %v, want %d records", tt.from, got, err, tt.visits)
		}
		if err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("from %d: got %v, want %q", tt.from, err, tt.says)
		}
	}
}

func TestReplayStopsAtVisitError(t *testing.T) { // W-10
	l := mustOpen(t, t.TempDir(), lazy)
	mustAppend(t, l, "a", "b", "c")
	stop, visits := errors.New("stop"), 0
	err := l.Replay(0, func(seq Seq, _ []byte) error {
		visits++
		if seq == 2 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || visits != 2 {
		t.Fatalf("got %v after %d visits, want the visitor's own error after 2", err, visits)
	}
}

// A visitor may use the log it reads, and sees what was there when it began.
func TestReplayInVisit(t *testing.T) { // W-10
	l := mustOpen(t, t.TempDir(), lazyWith(70))
	for _, r := range []string{"a", "b", "c"} {
		mustAppend(t, l, r) // one record to a segment
	}
	var got []Seq
	err := l.Replay(0, func(seq Seq, _ []byte) error {
		got = append(got, seq)
		if seq == 1 {
			mustAppend(t, l, "d")
		}
		if seq == 2 {
			return l.DropBefore(4) // takes segment 3 away before it is read
		}
		return nil
	})
	if !errors.Is(err, ErrDropped) || !slices.Equal(got, []Seq{1, 2}) {
		t.Fatalf("got %v and %v, want records 1 and 2, then ErrDropped", got, err)
	}
	wantRecords(t, l, 0, "4:d")
}

func TestDropBefore(t *testing.T) { // W-11
	const perSegment, records = 2, 7
	for seq := Seq(0); seq <= records+2; seq++ {
		t.Run(fmt.Sprint(seq), func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, dir, lazyWith(segmentHeaderSize+perSegment*(frameHeaderSize+lengthSize+1)))
			for range records {
				mustAppend(t, l, "x")
			}
			if err := l.DropBefore(seq); err != nil {
				t.Fatal(err)
			}
			want := Seq(1) // the greatest segment start at or below seq, thus 1, 3, 5 or 7
			for want+perSegment <= min(seq, records) {
				want += perSegment
			}
			if l.First() != want {
				t.Fatalf("First is %d, want %d", l.First(), want)
			}
			if files := segmentFiles(t, dir); files[0] != filepath.Base(segmentPath(dir, want)) || len(files) != int(records-want)/perSegment+1 {
				t.Fatalf("segments left: %v", files)
			}
			mustClose(t, l)
			l = mustOpen(t, dir, lazy)
			if l.First() != want || l.Next() != records+1 {
				t.Fatalf("reopened: First %d, Next %d", l.First(), l.Next())
			}
		})
	}
}

// Were two removals made durable together, a power cut could keep the older file.
func TestDropBeforeSyncsEachRemoval(t *testing.T) { // W-11
	dir := t.TempDir()
	var left []int // segments at every sync of the directory
	opts := lazyWith(70)
	opts.syncDir = func(dir string) error {
		left = append(left, len(segmentFiles(t, dir)))
		return nil
	}
	l := mustOpen(t, dir, opts)
	for range 4 {
		mustAppend(t, l, "x")
	}
	if err := l.DropBefore(5); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 2, 3, 4, 3, 2, 1}; !slices.Equal(left, want) {
		t.Fatalf("segments at every sync: %v, want %v", left, want)
	}
}

// A segment that cannot be removed stays listed, with all that follow it.
func TestDropBeforeFails(t *testing.T) { // W-11
	dir := t.TempDir()
	l := mustOpen(t, dir, lazyWith(70))
	for range 4 {
		mustAppend(t, l, "x")
	}
	second := segmentPath(dir, 2)
	if err := os.Rename(second, second+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(second, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.DropBefore(4); err == nil || l.First() != 2 {
		t.Fatalf("got %v with First %d, want an error at segment 2", err, l.First())
	}
	if err := errors.Join(os.RemoveAll(second), os.Rename(second+".away", second)); err != nil {
		t.Fatal(err)
	}
	wantRecords(t, l, 0, "2:x", "3:x", "4:x")
}

func TestClose(t *testing.T) { // W-5, W-12
	l := mustOpen(t, t.TempDir(), lazy)
	mustClose(t, l)
	mustClose(t, l)
	_, appendErr := l.Append([]byte("x"))
	for name, err := range map[string]error{
		"Append":     appendErr,
		"Replay":     l.Replay(0, nil),
		"DropBefore": l.DropBefore(1),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", name, err)
		}
	}
}

// Records may hold what must not be read by others on the machine.
func TestModes(t *testing.T) { // W-14
	dir := filepath.Join(t.TempDir(), "log")
	mustOpen(t, dir, Options{})
	for path, want := range map[string]os.FileMode{dir: 0o700, segmentPath(dir, 1): 0o600, filepath.Join(dir, "LOCK"): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", path, got, want)
		}
	}
}

func TestOpenDirectory(t *testing.T) { // W-8, W-12
	tests := []struct {
		name string
		file string // made empty before Open
		says string // empty: opened
		gone bool
	}{
		{"stranger", "lost+found", "", false},
		{"segment without a name", "00000000000000000007.wal.tmp", "", true},
		{"short name", "7.wal", "not a sequence of 20 digits", false},
		{"sequence 0", "00000000000000000000.wal", "not a sequence", false},
		{"letters", "0000000000000000000a.wal", "not a sequence", false},
		{"empty segment", "00000000000000000007.wal", "damaged at offset 0: segment has 0 bytes", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, tt.file)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := Open(dir, lazy)
			if err == nil {
				mustClose(t, l)
			}
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			if _, err := os.Stat(path); os.IsNotExist(err) != tt.gone {
				t.Fatalf("stat afterwards: %v", err)
			}
		})
	}
}
