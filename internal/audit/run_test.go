// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// shelf is a collector of declared books: a unit is a shelf, and a book that a shelf
// was read without is absent.
type shelf struct {
	declared map[string][]string // unit -> books
	there    map[string][]string
	broken   map[string]error
	gaps     map[string]finding.Gap
	block    chan struct{} // reads wait here, if set

	mu   sync.Mutex
	read []string
}

func (s *shelf) Name() string { return "books" }

func (s *shelf) Units(context.Context) ([]string, error) {
	var units []string
	for u := range s.declared {
		units = append(units, u)
	}
	slices.Sort(units)
	return units, nil
}

func (s *shelf) Read(ctx context.Context, unit string) (Reading, error) {
	s.mu.Lock()
	s.read = append(s.read, unit)
	s.mu.Unlock()
	if s.block != nil {
		select {
		case <-s.block:
		case <-ctx.Done():
			return Reading{}, ctx.Err()
		}
	}
	if err := s.broken[unit]; err != nil {
		return Reading{}, err
	}
	raw, err := json.Marshal(s.there[unit])
	r := Reading{Data: raw, Objects: len(s.there[unit])}
	if gap, ok := s.gaps[unit]; ok {
		r.Gaps = []finding.Gap{gap}
	}
	return r, err
}

func (s *shelf) Compare(readings map[string]Reading) (Comparison, error) {
	var c Comparison
	for unit, r := range readings {
		var there []string
		if err := json.Unmarshal(r.Data, &there); err != nil {
			return c, err
		}
		for _, book := range s.declared[unit] {
			c.Declared++
			if !slices.Contains(there, book) && len(r.Gaps) == 0 {
				c.Absent = append(c.Absent, finding.Finding{Rule: "GONE", Object: book, File: unit})
			}
		}
		for _, book := range there {
			if !slices.Contains(s.declared[unit], book) {
				c.Found = append(c.Found, finding.Finding{Rule: "NEW", Object: book})
			}
		}
	}
	return c, nil
}

func (s *shelf) run(t *testing.T, opts Options) Outcome {
	t.Helper()
	out, err := Run(t.Context(), s, opts)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func objects(all []finding.Finding) string {
	var names []string
	for _, f := range all {
		names = append(names, f.Rule+" "+f.Object)
	}
	return strings.Join(names, ", ")
}

// AU-1, AU-2: a unit that was not read, or has a gap, loses nothing.
func TestGapsAreNotAbsences(t *testing.T) {
	s := &shelf{
		declared: map[string][]string{"a": {"a1", "a2"}, "b": {"b1"}, "c": {"c1"}, "d": {"d1"}},
		there:    map[string][]string{"a": {"a1", "a3"}},
		broken:   map[string]error{"b": Fail(finding.Denied, "no"), "c": errors.New("wire cut")},
		gaps:     map[string]finding.Gap{"d": {Scope: "half of d", Reason: finding.Throttled}},
	}
	out := s.run(t, Options{Parallel: 2})
	if got := objects(out.Findings); got != "NEW a3, GONE a2" {
		t.Errorf("findings %s", got)
	}
	want := finding.Coverage{Part: "books", Units: 4, Read: 1, Objects: 2, Gaps: []finding.Gap{
		{Scope: "b", Reason: finding.Denied, Detail: "no"},
		{Scope: "c", Reason: finding.Unavailable, Detail: "wire cut"},
		{Scope: "half of d", Reason: finding.Throttled},
	}}
	if !reflect.DeepEqual(out.Coverage, want) || out.Coverage.Complete() {
		t.Errorf("coverage %+v", out.Coverage)
	}
}

// AU-3: when the run is told to end, what was read is compared and the rest is a gap.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{declared: map[string][]string{"a": {"a1"}, "b": {"b1"}, "c": {"c1"}}, block: make(chan struct{}, 1)}
		s.block <- struct{}{} // one read gets through
		ctx, cancel := context.WithCancel(t.Context())
		var out Outcome
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			out, err = Run(ctx, s, Options{Parallel: 1})
		}()
		synctest.Wait()
		cancel()
		<-done
		if err != nil || objects(out.Findings) != "GONE a1" {
			t.Errorf("findings %s, %v", objects(out.Findings), err)
		}
		if g := out.Coverage.Gaps; len(g) != 1 || g[0].Reason != finding.Interrupted || g[0].Scope != "2 of 3 units" {
			t.Errorf("gaps %v", g)
		}
	})
}

func library(books int) *shelf {
	s := &shelf{declared: map[string][]string{}, there: map[string][]string{}}
	for i := range books {
		unit := fmt.Sprintf("unit%d", i%3)
		s.declared[unit] = append(s.declared[unit], fmt.Sprintf("book%03d", i))
	}
	for unit, all := range s.declared {
		s.there[unit] = slices.Clone(all)
	}
	return s
}

// AU-6: many absences are one finding, until somebody releases them.
func TestBrake(t *testing.T) {
	for name, c := range map[string]struct {
		books, lost int
		held        bool
	}{
		"few of few":       {10, 5, false},
		"more than a few":  {10, 6, true},
		"five percent":     {200, 10, false},
		"more than that":   {200, 11, true},
		"twenty of many":   {900, 20, false},
		"more than twenty": {900, 21, true},
	} {
		s := library(c.books)
		lost := 0
		for unit := range s.there {
			for lost < c.lost && len(s.there[unit]) > 0 {
				s.there[unit] = s.there[unit][1:]
				lost++
			}
		}
		s.there["unit9"] = []string{"other"}
		s.declared["unit9"] = nil
		out := s.run(t, Options{})
		if (out.Held != nil) != c.held {
			t.Errorf("%s: held %+v", name, out.Held)
			continue
		}
		if !c.held {
			if len(out.Findings) != c.lost+1 {
				t.Errorf("%s: %d findings", name, len(out.Findings))
			}
			continue
		}
		if got := objects(out.Findings); !strings.Contains(got, "NEW other") || !strings.Contains(got, RuleBrake+" books") || len(out.Findings) != 2 {
			t.Errorf("%s: findings %s", name, got)
		}
		if released := s.run(t, Options{Release: []string{"ffffffffffffffff", out.Held.Hash}}); released.Held != nil || len(released.Findings) != c.lost+1 {
			t.Errorf("%s: its hash releases %d findings, held %+v", name, len(released.Findings), released.Held)
		}
		for _, wrong := range []string{"", "0000000000000000", out.Held.Hash[:8]} {
			if s.run(t, Options{Release: []string{wrong}}).Held == nil {
				t.Errorf("%s: %q releases the brake", name, wrong)
			}
		}
		// One more loss is another hash.
		for unit, left := range s.there {
			if unit != "unit9" && len(left) > 0 {
				s.there[unit] = left[1:]
				break
			}
		}
		if s.run(t, Options{Release: []string{"ffffffffffffffff", out.Held.Hash}}).Held == nil {
			t.Errorf("%s: the hash of another loss releases the brake", name)
		}
	}
}

// kept is a Journal in memory.
type kept struct {
	mu  sync.Mutex
	all map[string]Reading
}

func (k *kept) Readings(string) map[string]Reading { return k.all }

func (k *kept) Record(_, unit string, r Reading) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all[unit] = r
}

// AU-4: what the journal has whole is not read again; gaps and failures are.
func TestResume(t *testing.T) {
	s := library(9)
	s.broken = map[string]error{"unit1": errors.New("down")}
	s.gaps = map[string]finding.Gap{"unit2": {Scope: "x"}}
	journal := &kept{all: map[string]Reading{}}
	s.run(t, Options{Journal: journal})
	s.broken, s.gaps, s.read = nil, nil, nil
	var last Progress
	out := s.run(t, Options{Journal: journal, Progress: func(p Progress) { last = p }})
	slices.Sort(s.read)
	if !slices.Equal(s.read, []string{"unit1", "unit2"}) {
		t.Errorf("read again: %v", s.read)
	}
	if !out.Coverage.Complete() || out.Coverage.Objects != 9 || last != (Progress{Part: "books", Done: 3, Units: 3, Known: 1}) {
		t.Errorf("coverage %+v, progress %+v", out.Coverage, last)
	}
}

type units struct {
	shelf
	list []string
	err  error
}

func (u *units) Units(context.Context) ([]string, error) { return u.list, u.err }

func TestUnitsHaveToBeKnown(t *testing.T) {
	for _, u := range []*units{{err: errors.New("unreadable")}, {list: []string{"a", "a"}}, {list: []string{""}}, {list: make([]string, maxUnits+1)}} {
		if _, err := Run(t.Context(), u, Options{}); err == nil {
			t.Errorf("%d units, error %v: accepted", len(u.list), u.err)
		}
	}
}

func TestGapOf(t *testing.T) {
	long := strings.Repeat("x", 9999)
	for _, c := range []struct {
		err    error
		reason finding.Reason
	}{
		{fmt.Errorf("around: %w", Fail(finding.TooLarge, "%s", long)), finding.TooLarge},
		{context.DeadlineExceeded, finding.TimedOut},
		{context.Canceled, finding.Interrupted},
		{errors.New(long), finding.Unavailable},
	} {
		if g := GapOf("s", c.err); g.Reason != c.reason || g.Scope != "s" || len(g.Detail) > detailLimit+3 {
			t.Errorf("%.40s: %s, %d bytes", c.err, g.Reason, len(g.Detail))
		}
	}
}

// AU-7.
func TestSeen(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }
	var raw []byte
	mark := func(n int, complete bool, objects ...string) map[string]time.Time {
		t.Helper()
		seen, err := ParseSeen(raw)
		if err != nil {
			t.Fatal(err)
		}
		var all []finding.Finding
		for _, o := range objects {
			all = append(all, finding.Finding{Rule: "R", Object: o})
		}
		seen.Mark("books", all, complete, day(n))
		seen.Mark("other", nil, true, day(n))
		if raw, err = seen.Encode(); err != nil {
			t.Fatal(err)
		}
		first := map[string]time.Time{}
		for _, f := range all {
			if first[f.Object] = f.FirstSeen; !f.LastSeen.Equal(day(n)) {
				t.Errorf("day %d: last seen %v", n, f.LastSeen)
			}
		}
		return first
	}
	mark(1, true, "a", "b")
	if got := mark(2, true, "a", "c"); !got["a"].Equal(day(1)) || !got["c"].Equal(day(2)) {
		t.Errorf("second run: %v", got)
	}
	mark(3, false, "c") // a was not looked at
	if got := mark(4, true, "a", "b"); !got["a"].Equal(day(1)) || !got["b"].Equal(day(4)) {
		t.Errorf("fourth run: %v", got)
	}
	for _, bad := range []string{"{", `{"schema":2}`} {
		if _, err := ParseSeen([]byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}
