// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/sweep"
)

// The rules of a report.
const (
	ruleRefused = "JANITOR-1" // an account that was not touched
	ruleLeft    = "JANITOR-2" // an object that is still there
	ruleHeld    = "JANITOR-3" // a brake
	rulePlanned = "JANITOR-4" // an object that would be deleted
	ruleKept    = "JANITOR-5" // objects that stay
	ruleStopped = "JANITOR-6" // a sweep that was stopped
)

// maxShown bounds the objects of one account in a report; the rest is counted.
const maxShown = 200

// findings says of every account what is not as it should be.
func findings(results []Result) ([]finding.Finding, []finding.Coverage) {
	var all []finding.Finding
	var coverage []finding.Coverage
	for _, r := range results {
		if r.Err != nil {
			all = append(all, finding.Finding{Rule: ruleRefused, Severity: finding.Error, Object: r.Name, Message: r.Err.Error()})
		}
		if r.Kinds == 0 {
			continue
		}
		all = append(all, r.objects()...)
		all = append(all, r.kept()...)
		if r.Stopped != nil {
			all = append(all, finding.Finding{Rule: ruleStopped, Severity: finding.Error, Object: r.Name, Message: "the sweep was stopped: " + r.Stopped.Error()})
		}
		c := finding.Coverage{Part: r.Name, Units: r.Kinds, Read: r.Kinds - len(r.Unread), Objects: r.Objects}
		for _, u := range r.Unread {
			c.Gaps = append(c.Gaps, audit.GapOf(r.Name+" "+u.Kind, u.Err))
		}
		coverage = append(coverage, c)
	}
	return all, coverage
}

// before tells what a brake came too late for.
func (r Result) before() string {
	if len(r.Deleted) == 0 {
		return "nothing was deleted"
	}
	return fmt.Sprintf("%d were deleted before they were listed", len(r.Deleted))
}

// objects are those that are left, held, or would go.
func (r Result) objects() []finding.Finding {
	steps := r.Plan.Steps
	rule, severity, message := rulePlanned, finding.Info, "would be deleted"
	switch {
	case r.Held != nil:
		return []finding.Finding{{
			Rule: ruleHeld, Severity: finding.Error, Object: r.Name,
			Message: fmt.Sprintf("was never swept whole before and has %d objects to delete, more than %d: %s", len(steps), r.Held.Brake.Max, r.before()),
			Fix:     fmt.Sprintf("look at the plan without --confirm; if all of it may go, run the same again with --release %s", r.Hash),
		}}
	case r.Confirmed:
		rule, severity, message = ruleLeft, finding.Error, "is still there"
	}
	var all []finding.Finding
	for _, s := range steps[:min(len(steps), maxShown)] {
		text := message
		if err := r.Failed[s.Key]; err != nil {
			text += ": " + err.Error()
		}
		all = append(all, finding.Finding{Rule: rule, Severity: severity, Object: r.Name + " " + s.Change.String(), Message: text})
	}
	if n := len(steps) - maxShown; n > 0 {
		all = append(all, finding.Finding{Rule: rule, Severity: severity, Object: r.Name, Message: fmt.Sprintf("%d more objects: %s", n, message)})
	}
	return all
}

// kept counts what stays by kind and reason. What came with the account is no news.
func (r Result) kept() []finding.Finding {
	counts := map[[2]string]int{}
	for _, k := range r.Kept {
		if !k.Protected {
			counts[[2]string{k.Kind, k.Why}]++
		}
	}
	var all []finding.Finding
	keys := slices.Collect(maps.Keys(counts))
	slices.SortFunc(keys, func(a, b [2]string) int { return strings.Compare(a[0]+a[1], b[0]+b[1]) })
	for _, key := range keys {
		all = append(all, finding.Finding{
			Rule: ruleKept, Object: r.Name + " " + key[0], Field: key[1], Message: fmt.Sprintf("%d stay: %s", counts[key], key[1]),
		})
	}
	return all
}

// line is one account in one line.
func (r Result) line() string {
	name := r.Name
	if r.Type != "" {
		name = r.Type + " " + r.Name
	}
	did := fmt.Sprintf("%d deleted in %v", len(r.Deleted), r.Took.Round(time.Second/10))
	switch {
	case r.Free():
		return name + ": clean, " + did
	case !r.Confirmed && r.Err == nil:
		return fmt.Sprintf("%s: %d of %d objects would be deleted", name, len(r.Plan.Steps), r.Objects)
	}
	return fmt.Sprintf("%s: not clean, %s: %s", name, did, r.Reason())
}

// ending is the error by which a run ends: 1 beats 3 (SW-21).
func ending(results []Result) error {
	var refused, left int
	var problems []error
	for _, r := range results {
		switch {
		case r.Err != nil:
			refused++
			problems = append(problems, fmt.Errorf("%s: %w", r.Name, r.Err))
		case r.Confirmed && !r.Free(), len(r.Unread) > 0, r.Stopped != nil:
			left++
		}
	}
	if refused > 0 {
		return errors.Join(problems...)
	}
	if left > 0 {
		return &job.Exit{Code: job.Incomplete, Message: fmt.Sprintf("janitor: %d of %d accounts are not clean", left, len(results))}
	}
	return nil
}

// progress shows on a terminal how far each account is.
type progress struct {
	mu   sync.Mutex
	line *job.Line
	of   map[string]*[3]int // kinds, objects, deleted
}

// newProgress is nil where nobody looks.
func newProgress(out io.Writer) *progress {
	if !job.Terminal(out) {
		return nil
	}
	return &progress{line: job.NewLine(out), of: map[string]*[3]int{}}
}

func (p *progress) tell(t Target, e sweep.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.of[t.Name]
	if n == nil {
		n = &[3]int{}
		p.of[t.Name] = n
	}
	switch {
	case e.Deleted && e.Err == nil:
		n[2]++
	case !e.Deleted:
		n[0]++
		n[1] += e.Found
	}
	p.line.Tell(func() string {
		return fmt.Sprintf("janitor: %s: %d kinds read, %d objects seen, %d deleted", t.Name, n[0], n[1], n[2])
	})
}

// end leaves the last state standing.
func (p *progress) end() {
	if p != nil {
		p.line.Keep()
	}
}
