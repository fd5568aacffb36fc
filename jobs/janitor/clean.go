// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/plan"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/sweep"
)

// cleaner cleans accounts one at a time for each caller, several callers at once.
type cleaner struct {
	deps     Deps
	dir, rev string
	settings string // file in the repository
	reach    Reach
	// credentials are files by a pattern of account names, the first that matches.
	credentials []credential
	rules       sweep.Rules
	confirm     bool
	release     []string
	store       state.Store // nil: nothing is remembered
	pause       time.Duration
	atOnce      int // lists and deletes in one account; 0: as many as usual
	tell        func(Target, sweep.Event)
	now         func() time.Time

	mu     sync.Mutex
	last   *base
	looked time.Time // at the revision
}

type credential struct{ pattern, file string }

// Result is how the cleaning of one account ended.
type Result struct {
	Target
	// Err is why nothing was done: a refusal, or what could not be read.
	Err error
	// Held is the brake that stopped it before the first delete, Hash what lets go.
	Held *plan.Held[sweep.Target]
	Hash string
	// Outcome is what was found and done. Without Confirmed nothing was to be deleted: its plan is what would be.
	sweep.Outcome
	Confirmed bool
	Kinds     int
	Took      time.Duration
}

// Free tells that the account may be lent again.
func (r Result) Free() bool { return r.Err == nil && r.Held == nil && r.Confirmed && r.Clean() }

// Reason is why it may not, in one line.
func (r Result) Reason() string {
	switch {
	case r.Err != nil:
		return strings.Join(strings.Fields(r.Err.Error()), " ")
	case r.Held != nil:
		return fmt.Sprintf("the brake %s holds: %d objects", r.Held.Brake.Name, len(r.Held.Exceed.Steps))
	case !r.Confirmed:
		return "it was a dry run"
	}
	return r.Outcome.Reason()
}

// defaultBrake is more than the tests of one project leave behind, and less than a project in production has.
const defaultBrake = 500

// clean sweeps one account, or says why not.
func (c *cleaner) clean(ctx context.Context, name string) Result {
	began := c.now()
	r := c.sweep(ctx, name)
	r.Took = c.now().Sub(began)
	return r
}

func (c *cleaner) sweep(ctx context.Context, name string) Result {
	r := Result{Target: Target{Name: name}, Confirmed: c.confirm}
	b, err := c.base(ctx)
	if err == nil {
		r.Target, err = b.named(name)
	}
	if err != nil {
		return r.failed(err)
	}
	kinds, err := c.prove(ctx, b, r.Target)
	if err != nil {
		return r.failed(err)
	}
	table, err := sweep.NewTable(b.keeps(kinds))
	if err != nil {
		return r.failed(err)
	}
	r.Kinds = len(kinds)
	known, err := c.recall(ctx, name)
	if err != nil {
		return r.failed(err)
	}
	s := &sweep.Sweep{Table: table, Rules: c.rules, Marks: known.marks, Now: c.now, Pause: c.pause, Parallel: c.atOnce, Gate: func(ctx context.Context) error { return c.gate(ctx, name) }}
	if c.tell != nil {
		s.Tell = func(e sweep.Event) { c.tell(r.Target, e) }
	}
	v, err := s.Look(ctx)
	if err != nil {
		return r.failed(err)
	}
	r.Verdict = v
	if !c.confirm {
		r.Stopped = context.Cause(ctx)
		return r
	}
	return c.act(ctx, b, s, known, r)
}

func (r Result) failed(err error) Result {
	r.Err = err
	return r
}

// act deletes, unless the brake holds.
func (c *cleaner) act(ctx context.Context, b *base, s *sweep.Sweep, known memory, r Result) Result {
	// First of all, what was seen for the first time is remembered: a run that is killed must not begin all ages anew.
	err := c.remember(ctx, r.Name, s.Marks, nil)
	before := 0 // deleted by sweeps that never saw all of it
	first := known.record == nil
	if !first && known.record.Partial {
		first, before = true, known.record.Deleted
	}
	if err == nil && first {
		r.Held, r.Hash, err = c.brake(b, r.Plan, before)
		s.Limit = max(c.limit(b)-before, 1)
		if r.Hash != "" && r.Held == nil {
			s.Limit = 0 // somebody looked
		}
	}
	if err != nil || r.Held != nil {
		return r.failed(err)
	}
	partial := first && len(r.Unread) > 0
	o, err := s.Clean(ctx, r.Verdict)
	r.Outcome = o
	if err != nil {
		return r.failed(err)
	}
	if errors.Is(o.Stopped, sweep.ErrLimit) {
		partial = true
		if r.Held, r.Hash, err = c.brake(b, o.Plan, before+len(o.Deleted)); err != nil {
			return r.failed(err)
		}
	}
	return r.failed(c.remember(ctx, r.Name, s.Marks, &record{
		Version: recordVersion, Swept: c.now().UTC(), Commit: b.commit, Clean: o.Clean(), Partial: partial,
		Deleted: before + len(o.Deleted), Left: len(o.Plan.Steps), Reason: o.Reason(),
	}))
}

func (c *cleaner) limit(b *base) int { return cmp.Or(b.settings.Brake, defaultBrake) }

// brake holds a sweep of an account that was never seen whole before and has more in it than anybody meant (SW-18). hash names
// what would be too much, released or not.
func (c *cleaner) brake(b *base, p plan.Plan[sweep.Target], before int) (held *plan.Held[sweep.Target], hash string, err error) {
	all := plan.Check(p, []plan.Brake{{Name: "first sight", Verb: plan.Delete, Max: max(c.limit(b)-before, 1)}})
	if len(all) == 0 {
		return nil, "", nil
	}
	hash, err = all[0].Exceed.Hash()
	if err != nil || slices.Contains(c.release, hash) {
		return nil, hash, err
	}
	return &all[0], hash, nil
}

// prove asks the cloud, with the credential that is going to delete, for the second and the third proof.
func (c *cleaner) prove(ctx context.Context, b *base, t Target) ([]sweep.Kind, error) {
	open := c.deps.Accounts[t.Kind]
	if open == nil {
		return nil, refuse("SW-14", "%s is of kind %s, which this program cannot sweep", t.Name, t.Kind)
	}
	reach := c.reach
	reach.Parents, reach.AWS, reach.Endpoints = b.settings.Within, b.settings.AWS, b.settings.Endpoints
	if t.Kind == settings.AccountAWS {
		if reach.Number = b.settings.AWS.IDs[t.Name]; reach.Number == "" {
			return nil, refuse("SW-17", "janitor.aws.ids has no number for %s, so it cannot be told from another account", t.Name)
		}
		if why := b.deny.Why(reach.Number); why != "" {
			return nil, refuse("SW-20", "%s (%s) is never swept: %s says what it is", t.Name, reach.Number, why)
		}
	}
	for _, one := range c.credentials {
		if ok, err := path.Match(one.pattern, t.Name); ok && err == nil {
			reach.Credential = one.file
			break
		}
	}
	kinds, account, err := open(ctx, reach, t.Name)
	if err != nil {
		return nil, err
	}
	return kinds, errors.Join(b.same(t, account), b.placed(t, account))
}

// gate is asked before every delete: a freeze of everything stops the janitor too (SW-19), and what a commit takes out of
// the pool while it is swept is let alone.
func (c *cleaner) gate(ctx context.Context, name string) error {
	b, err := c.recent(ctx, gateEvery)
	if err != nil {
		return err
	}
	for _, f := range b.frozen {
		if f.Until.IsZero() || c.now().Before(f.Until) {
			return fmt.Errorf("frozen: %s (%s)", f.Reason, freeze.File)
		}
	}
	_, err = b.named(name)
	return err
}

// gateEvery is how old the gate's knowledge may be: a process is started for each look at a revision.
const gateEvery = 10 * time.Second

// base is what the revision says now.
func (c *cleaner) base(ctx context.Context) (*base, error) { return c.recent(ctx, 0) }

// recent is what the revision said at most so long ago. Files are read again only where it names another commit.
func (c *cleaner) recent(ctx context.Context, age time.Duration) (b *base, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && c.now().Sub(c.looked) < age {
		return c.last, nil
	}
	files, commit, done, err := c.deps.OpenCommit(ctx, c.dir, c.rev)
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	defer func() { err = errors.Join(err, done()) }()
	if c.last == nil || c.last.commit != commit {
		next, err := readBase(files, commit, c.settings)
		if err != nil {
			return nil, err
		}
		c.last = next
	}
	c.looked = c.now()
	return c.last, nil
}
