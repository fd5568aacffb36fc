// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/plan"
)

// Sweep is one account's cleaning. Look lists and decides; Clean deletes what a verdict chose and looks again. Who only
// looks deletes nothing: that is the whole of a dry run.
type Sweep struct {
	Table *Table
	Rules Rules
	// Marks are those of earlier sweeps; Look leaves the new ones here.
	Marks Marks
	// Now is the clock for ages; time.Now.
	Now func() time.Time
	// Parallel bounds lists, and deletes, at once; 32.
	Parallel int
	// Rounds bounds how often what a listing found is deleted; 6.
	Rounds int
	// Limit is how much may be deleted in all; 0 is no limit. What a later listing finds beyond it ends the sweep with ErrLimit.
	Limit int
	// Pause is the wait before what was in use is tried again, doubled each time; 2s.
	Pause time.Duration
	// ListLimit and DeleteLimit bound one call each; 10m and 45m (a cluster takes its time).
	ListLimit, DeleteLimit time.Duration
	// Gate is asked before every delete; its error stops the sweep. nil opens.
	Gate func(context.Context) error
	// Tell is called after every list and delete, one call at a time.
	Tell func(Event)

	tell sync.Mutex
}

// Event is one list or delete that has ended. Target has a Kind only where it was a list.
type Event struct {
	Target  Target
	Deleted bool // what ended is a delete
	Found   int  // objects of a list
	Err     error
}

const (
	defaultParallel    = 32
	defaultRounds      = 6
	defaultPause       = 2 * time.Second
	maxPause           = 30 * time.Second
	defaultListLimit   = 10 * time.Minute
	defaultDeleteLimit = 45 * time.Minute

	maxPasses = 4 // over what was in use, within one round
	maxIdle   = 2 // rounds in which nothing was deleted
)

// Outcome is how a sweep ended: with the last verdict, and what happened on the way.
type Outcome struct {
	Verdict
	Deleted []Target
	// Failed has the last error of each object that was to go, by its key in the plan.
	Failed map[string]error
	Rounds int
	// Stopped is why the sweep ended before it was through: a context, a gate.
	Stopped error
}

// Clean tells that the last listing read everything and left nothing to delete (SW-7).
func (o Outcome) Clean() bool {
	return o.Stopped == nil && len(o.Unread) == 0 && o.Plan.Empty()
}

// Reason says in one line why the account is not clean; "" if it is.
func (o Outcome) Reason() string {
	switch {
	case o.Clean():
		return ""
	case o.Stopped != nil:
		return "stopped: " + oneLine(o.Stopped)
	}
	reason := o.Verdict.Reason()
	for _, s := range o.Plan.Steps {
		if err := o.Failed[s.Key]; err != nil {
			return fmt.Sprintf("%s: %s", reason, oneLine(err))
		}
	}
	return reason
}

// Look lists every kind and decides. What could not be listed is in the verdict; the error is one of the table.
func (s *Sweep) Look(ctx context.Context) (Verdict, error) {
	survey := s.survey(ctx)
	now := time.Now()
	if s.Now != nil {
		now = s.Now()
	}
	s.Marks = s.Marks.Update(survey, now)
	return s.Table.Decide(survey, s.Rules, s.Marks, now)
}

func (s *Sweep) survey(ctx context.Context) Survey {
	found := make([]Found, len(s.Table.kinds))
	slots := make(chan struct{}, orDefault(s.Parallel, defaultParallel))
	s.Table.walk(within, func(i int) {
		kind := s.Table.kinds[i]
		found[i].Name = kind.Name
		absent := func(name string) bool {
			host := found[s.Table.index[name]]
			return host.Err == nil && len(host.Objects) == 0
		}
		if len(kind.Within) > 0 && !slices.ContainsFunc(kind.Within, func(name string) bool { return !absent(name) }) {
			found[i].Implied = true
			return
		}
		slots <- struct{}{}
		defer func() { <-slots }()
		found[i] = s.list(ctx, kind)
		s.event(Event{Target: Target{Kind: kind.Name}, Found: len(found[i].Objects), Err: found[i].Err})
	})
	return Survey{found}
}

// list asks one kind. An object without an id cannot be told from another, so the whole list is not believed.
func (s *Sweep) list(ctx context.Context, kind Kind) Found {
	ctx, cancel := context.WithTimeout(ctx, orDefault(s.ListLimit, defaultListLimit))
	defer cancel()
	f := Found{Name: kind.Name}
	if f.Err = ctx.Err(); f.Err != nil {
		return f
	}
	f.Objects, f.Err = kind.List(ctx)
	if errors.Is(f.Err, ErrDisabled) {
		f.Objects, f.Err, f.Disabled = nil, nil, true
	}
	if slices.ContainsFunc(f.Objects, func(o Object) bool { return o.ID == "" }) {
		f.Err = errors.New("the list has an object without an id")
	}
	if f.Err != nil {
		f.Objects = nil
		return f
	}
	f.Objects = slices.Clone(f.Objects)
	slices.SortFunc(f.Objects, compare)
	seen := map[string]bool{}
	f.Objects = slices.DeleteFunc(f.Objects, func(o Object) bool {
		twice := seen[o.ID]
		seen[o.ID] = true
		return twice
	})
	return f
}

func orDefault[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

func (s *Sweep) event(e Event) {
	if s.Tell != nil {
		s.tell.Lock()
		defer s.tell.Unlock()
		s.Tell(e)
	}
}

// ErrLimit is why a sweep ended that found more than it may delete.
var ErrLimit = errors.New("more than may be deleted")

// Clean deletes what a verdict of Look chose, looks again, and goes on until a listing has nothing to delete, until
// nothing moves any more, or for so many rounds (SW-6 to SW-9). The error is one of the table.
func (s *Sweep) Clean(ctx context.Context, v Verdict) (Outcome, error) {
	o := Outcome{Verdict: v, Failed: map[string]error{}}
	idle := 0
	for !o.Plan.Empty() && o.Rounds < orDefault(s.Rounds, defaultRounds) && idle < maxIdle {
		if n := o.planned(); s.Limit > 0 && n > s.Limit {
			o.Stopped = fmt.Errorf("%w: %d with those that are deleted", ErrLimit, n)
			return o, nil
		}
		if o.Rounds > 0 {
			if o.Stopped = s.pause(ctx, o.Rounds); o.Stopped != nil {
				return o, nil
			}
		}
		o.Rounds++
		before := len(o.Deleted)
		if o.Stopped = s.round(ctx, &o); o.Stopped != nil {
			return o, nil
		}
		idle++
		if len(o.Deleted) > before {
			idle = 0
		}
		next, err := s.Look(ctx)
		if err != nil {
			return o, err
		}
		o.Verdict = next
	}
	o.Stopped = context.Cause(ctx)
	return o, nil
}

// planned counts what is deleted or would be, each once: some take their time to go.
func (o *Outcome) planned() int {
	all := map[Target]bool{}
	for _, t := range o.Deleted {
		all[t] = true
	}
	for _, step := range o.Plan.Steps {
		all[step.Change] = true
	}
	return len(all)
}

// round deletes what the plan has. What was in use is tried again in further passes over the table.
func (s *Sweep) round(ctx context.Context, o *Outcome) error {
	steps := o.Plan.Steps
	for pass := range maxPasses {
		if pass > 0 {
			if err := s.pause(ctx, pass); err != nil {
				return err
			}
		}
		ended, err := s.pass(ctx, o.objects, steps)
		var again []plan.Step[Target]
		moved := false
		for _, step := range steps {
			result, tried := ended[step.Key]
			switch {
			case !tried:
			case result == nil:
				delete(o.Failed, step.Key)
				o.Deleted, moved = append(o.Deleted, step.Change), true
			default:
				o.Failed[step.Key] = result
				if errors.Is(result, ErrInUse) {
					again = append(again, step)
				}
			}
		}
		if err != nil {
			return err
		}
		if len(again) == 0 || pass > 0 && !moved {
			break
		}
		steps = again
	}
	return nil
}

// pass tries every step once, each kind as soon as those it comes after have been tried (SW-6), and returns how each
// delete ended that was begun. The error is why the others were not.
func (s *Sweep) pass(ctx context.Context, objects map[string]Object, steps []plan.Step[Target]) (map[string]error, error) {
	of := map[string][]plan.Step[Target]{}
	for _, step := range steps {
		of[step.Change.Kind] = append(of[step.Change.Kind], step)
	}
	slots := make(chan struct{}, orDefault(s.Parallel, defaultParallel))
	var mu sync.Mutex
	ended := map[string]error{}
	var stopped error
	s.Table.walk(after, func(i int) {
		kind := s.Table.kinds[i]
		var all sync.WaitGroup
		for _, step := range of[kind.Name] {
			slots <- struct{}{}
			all.Go(func() {
				defer func() { <-slots }()
				if err := s.open(ctx); err != nil {
					mu.Lock()
					stopped = err
					mu.Unlock()
					return
				}
				err := s.delete(ctx, kind, objects[step.Key])
				mu.Lock()
				ended[step.Key] = err
				mu.Unlock()
				s.event(Event{Target: step.Change, Deleted: true, Err: err})
			})
		}
		all.Wait()
	})
	return ended, stopped
}

// open tells whether another delete may begin.
func (s *Sweep) open(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if s.Gate == nil {
		return nil
	}
	return s.Gate(ctx)
}

func (s *Sweep) delete(ctx context.Context, kind Kind, o Object) error {
	ctx, cancel := context.WithTimeout(ctx, orDefault(s.DeleteLimit, defaultDeleteLimit))
	defer cancel()
	return kind.Delete(ctx, o)
}

// pause waits before the nth repetition.
func (s *Sweep) pause(ctx context.Context, n int) error {
	if pace.Sleep(ctx, min(orDefault(s.Pause, defaultPause)<<min(n-1, 10), maxPause)) != nil {
		return context.Cause(ctx)
	}
	return nil
}
