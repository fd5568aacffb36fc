// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/finding"
)

// Options of a run.
type Options struct {
	Parallel int // units read at once; 16
	// Release are hashes that earlier runs printed when a brake held.
	Release []string
	// Journal takes the readings as they come and has those of an interrupted run.
	// Nil: nothing is kept.
	Journal Journal
	// Progress is told after every unit. Calls do not overlap.
	Progress func(Progress)
}

const defaultParallel = 16

// maxUnits bounds what a declared tree can ask for.
const maxUnits = 500_000

// Journal keeps readings over the death of a machine.
type Journal interface {
	// Readings returns what was kept of a part.
	Readings(part string) map[string]Reading
	// Record keeps a reading, at the latest when the journal is closed.
	Record(part, unit string, r Reading)
}

// Progress is how far a part is.
type Progress struct {
	Part                     string
	Done, Units, Gaps, Known int // Known of Done were in the journal
}

// Outcome is the result of one part.
type Outcome struct {
	Findings []finding.Finding // sorted
	Coverage finding.Coverage
	Held     *Held // nil: no brake holds
	Notes    []string
}

// Run reads the units of a collector and compares. When ctx ends it stops reading and
// compares what it has; the rest is a gap. The error is that of a collector whose units
// are unknown or that cannot compare: then nothing can be said.
func Run(ctx context.Context, c Collector, opts Options) (Outcome, error) {
	units, err := c.Units(ctx)
	if err != nil {
		return Outcome{}, fmt.Errorf("audit %s: list what to read: %w", c.Name(), err)
	}
	if err := checkUnits(units); err != nil {
		return Outcome{}, fmt.Errorf("audit %s: %w", c.Name(), err)
	}
	r := newReader(c, units, opts)
	r.read(ctx)
	compared, err := c.Compare(r.readings)
	if err != nil {
		return Outcome{}, fmt.Errorf("audit %s: compare: %w", c.Name(), err)
	}
	found, held, err := brake(c.Name(), compared, opts)
	if err != nil {
		return Outcome{}, fmt.Errorf("audit %s: %w", c.Name(), err)
	}
	finding.Sort(found)
	out := Outcome{Findings: found, Coverage: r.coverage(), Held: held, Notes: compared.Notes}
	if held != nil { // what is held back is not known to anybody who reads the report
		out.Coverage.Gaps = append(out.Coverage.Gaps, held.gap(c.Name()))
	}
	return out, nil
}

func checkUnits(units []string) error {
	if len(units) > maxUnits {
		return fmt.Errorf("%d units to read are more than %d", len(units), maxUnits)
	}
	seen := make(map[string]bool, len(units))
	for _, u := range units {
		if u == "" || seen[u] {
			return fmt.Errorf("unit %q is empty or stands twice", u)
		}
		seen[u] = true
	}
	return nil
}

// reader reads the units of one part.
type reader struct {
	collector Collector
	units     []string
	opts      Options

	mu       sync.Mutex
	readings map[string]Reading
	failed   map[string]finding.Gap
	known    int
	gaps     int // of the readings
}

func newReader(c Collector, units []string, opts Options) *reader {
	if opts.Parallel <= 0 {
		opts.Parallel = defaultParallel
	}
	return &reader{collector: c, units: units, opts: opts, readings: map[string]Reading{}, failed: map[string]finding.Gap{}}
}

// read fills readings and failed. What the journal has whole is not read again; what it
// has with gaps is (AU-4).
func (r *reader) read(ctx context.Context) {
	todo := r.units
	if r.opts.Journal != nil {
		kept := r.opts.Journal.Readings(r.collector.Name())
		todo = slices.DeleteFunc(slices.Clone(r.units), func(u string) bool {
			reading, ok := kept[u]
			if ok = ok && len(reading.Gaps) == 0; ok {
				r.readings[u] = reading
				r.known++
			}
			return ok
		})
		r.tell()
	}
	next := make(chan string)
	var workers sync.WaitGroup
	for range min(r.opts.Parallel, len(todo)) {
		workers.Go(func() {
			for unit := range next {
				r.one(ctx, unit)
			}
		})
	}
feed:
	for _, unit := range todo {
		select {
		case next <- unit:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
}

func (r *reader) one(ctx context.Context, unit string) {
	reading, err := r.collector.Read(ctx, unit)
	if err != nil && ctx.Err() != nil {
		return // interrupted: it counts as never begun
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failed[unit] = GapOf(unit, err)
	} else {
		r.readings[unit] = reading
		r.gaps += len(reading.Gaps)
		if r.opts.Journal != nil {
			r.opts.Journal.Record(r.collector.Name(), unit, reading)
		}
	}
	r.tell()
}

func (r *reader) tell() {
	if r.opts.Progress == nil {
		return
	}
	r.opts.Progress(Progress{
		Part: r.collector.Name(), Units: len(r.units), Done: len(r.readings) + len(r.failed), Known: r.known, Gaps: len(r.failed) + r.gaps,
	})
}

// coverage names every unit that was not read whole, in the order of the units.
func (r *reader) coverage() finding.Coverage {
	c := finding.Coverage{Part: r.collector.Name(), Units: len(r.units)}
	interrupted := 0
	for _, u := range r.units {
		reading, ok := r.readings[u]
		gap, failed := r.failed[u]
		switch {
		case ok:
			c.Objects += reading.Objects
			c.Gaps = append(c.Gaps, reading.Gaps...)
			if len(reading.Gaps) == 0 {
				c.Read++
			}
		case failed:
			c.Gaps = append(c.Gaps, gap)
		default:
			interrupted++
		}
	}
	if interrupted > 0 {
		c.Gaps = append(c.Gaps, finding.Gap{
			Scope: fmt.Sprintf("%d of %d units", interrupted, c.Units), Reason: finding.Interrupted,
			Detail: "the run was ended before they were read; --resume goes on",
		})
	}
	return c
}

// ErrIncomplete says that a part was not read whole.
var ErrIncomplete = errors.New("not everything could be read")
