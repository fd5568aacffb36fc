// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/state"
)

func runCommand(deps Deps) *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Copy what is missing to the mirrors",
		Long: `Compare what promoter manifests declare with what the mirrors hold, copy what is
missing, and prove that it arrived. Without --confirm nothing is written anywhere; what
would be is shown.

With --confirm, --state keeps the lock, the last commit and what is left to do, so that
a run that was killed, or could not reach a mirror, is completed by the next one from
any machine. An older commit than the last one is refused. A project that is frozen in
freeze.yaml waits; what is wrong in one project concerns no other.

--config names steward.yaml: where images may go, whose signature they carry, how they
are signed, which buckets get their blobs, and what the scopes of freeze.yaml are. Without
it nothing of that is done, and any scope but all freezes everything.

Exit code 0: all is as declared; 3: something is left, and the report says what; 1: an
error.`,
		Example: `  steward promote run --dir ~/k8s.io --since HEAD~1
  steward promote run --dir ~/k8s.io --rev HEAD --state gs://example-steward --confirm
  steward promote run --dir ~/k8s.io --project k8s-staging-coredns \
      --state file:///var/lib/steward --confirm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd, deps) },
	}
	flags.register(cmd)
	finish(cmd)
	_ = cmd.RegisterFlagCompletionFunc("phases", cobra.FixedCompletions(allPhases(), cobra.ShellCompDirectiveNoFileComp)) // as in finish
	return cmd
}

// runFlags are those of `steward promote run`.
type runFlags struct {
	planFlags
	confirm bool
	state   string
	lockFor time.Duration
	phases  []string
	repair  bool
	keys
	spool     string
	attached  bool
	artifacts string
	metrics   string
}

func (f *runFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.planFlags.register(cmd, "HEAD")
	flags.BoolVar(&f.confirm, "confirm", false, "write; without it, show what would be written")
	flags.StringVar(&f.state, "state", "", "where the lock, the last commit and what is left are kept: file:///DIR or gs://BUCKET/PREFIX; needed with --confirm")
	flags.DurationVar(&f.lockFor, "lock-for", time.Minute, "how long the lock of a run that died is respected, and waited for")
	flags.StringSliceVar(&f.phases, "phases", nil, "what is done, of "+strings.Join(allPhases(), ", ")+"; what is not stays to be done; default all that can be")
	flags.BoolVar(&f.repair, "repair", false, "sign and record also what is in production already without a signature or record of ours, and bring blobs that buckets lack")
	f.keys.register(cmd)
	flags.StringVar(&f.spool, "spool", "", "directory for layers on their way; default the system's for temporary files")
	flags.BoolVar(&f.attached, "attached", true, "take along what is attached to an image in its source: signatures, attestations, bills of materials")
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for promote.json, junit_promote.xml, report.json and report.html; default $ARTIFACTS")
	flags.StringVar(&f.metrics, "metrics", "", "file for the run's numbers in Prometheus' text format")
}

func (f *runFlags) check() error {
	errs := []error{f.planFlags.check(), knownPhases(f.phases), f.keys.check()}
	if f.rev == "" {
		errs = append(errs, errors.New("flag --rev: only what is committed is promoted"))
	}
	if f.confirm && f.state == "" {
		errs = append(errs, errors.New("flag --confirm: goes with --state, where the lock is"))
	}
	if f.confirm && f.inventory != "" {
		errs = append(errs, errors.New("flag --inventory: goes without --confirm: before anything is written, the mirrors themselves are asked"))
	}
	if f.spool != "" {
		if info, err := os.Stat(f.spool); err != nil || !info.IsDir() {
			errs = append(errs, fmt.Errorf("flag --spool: %s is no directory", f.spool))
		}
	}
	if f.lockFor < time.Second {
		errs = append(errs, errors.New("flag --lock-for: at least a second"))
	}
	return errors.Join(errs...)
}

func (f *runFlags) run(cmd *cobra.Command, deps Deps) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	ctx := cmd.Context()
	var store state.Store
	if f.state != "" {
		if store, err = deps.OpenState(ctx, f.state); err != nil {
			return fmt.Errorf("flag --state: %w", err)
		}
	}
	if !f.confirm {
		for _, flag := range []string{"artifacts", "metrics"} {
			if cmd.Flags().Changed(flag) {
				return fmt.Errorf("flag --%s: goes with --confirm: what a preview finds is on standard output", flag)
			}
		}
		return f.preview(cmd, deps, store)
	}
	held, err := state.Take(ctx, store, lockKey, f.lockFor, func(text string) { note(cmd, text) })
	if err != nil {
		return fmt.Errorf("flag --state: %w", err)
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	return f.apply(cmd, held, deps, store)
}

func note(cmd *cobra.Command, text string) { fmt.Fprintln(cmd.ErrOrStderr(), "promote: "+text) }

// preview shows what a run would do.
func (f *runFlags) preview(cmd *cobra.Command, deps Deps, store state.Store) (err error) {
	ctx := cmd.Context()
	d, done, err := f.tree.open(ctx, deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if store != nil {
		j, err := openJournal(ctx, store, func() error { return errors.New("a preview writes nothing") })
		if err != nil {
			return err
		}
		d.widen(j)
		for project := range j.projects {
			if n := len(j.of(project)); n > 0 {
				note(cmd, fmt.Sprintf("%s: %d images are left of an earlier run", project, n))
			}
		}
	}
	var registry Registry
	if f.inventory == "" {
		if registry, err = f.connect(deps); err != nil {
			return err
		}
	}
	p, err := f.compare(ctx, d, registry, newProgress(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if err := p.write(cmd.OutOrStdout(), f.output); err != nil {
		return err
	}
	if len(f.phases) > 0 && !slices.Contains(f.phases, copyPhase) {
		note(cmd, "copy is none of --phases, so nothing of this would be copied")
	}
	if f.repair {
		note(cmd, "what --repair would sign, record or bring is found by the run itself, and is not in this list")
	}
	note(cmd, "nothing was written; --confirm does it")
	return p.ending(false)
}

// widen puts what is left of earlier runs into a scope that is narrower than everything.
func (d *declared) widen(j *journal) {
	if d.scope == nil || d.scope.Digests == nil {
		return
	}
	for _, images := range j.projects {
		for _, p := range images {
			d.scope.Add(p.Path, p.Digest, nil)
		}
	}
}

// apply is a run that writes.
func (f *runFlags) apply(cmd *cobra.Command, held *state.Hold, deps Deps, store state.Store) (err error) {
	ctx, started := held.Context(), deps.now()
	d, done, err := f.tree.open(ctx, deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	j, err := openJournal(ctx, store, held.Lost)
	if err != nil {
		return err
	}
	if err := f.catchUp(ctx, deps, j, &d); err != nil {
		return err
	}
	b, closed, err := f.buckets(ctx, deps, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed()) }()
	r, err := f.runner(ctx, deps, j, d, b, store)
	if err != nil {
		return err
	}
	r.progress = newProgress(cmd.ErrOrStderr())
	d.widen(j)
	var cover []finding.Coverage
	if f.repairs.buckets != nil {
		cover = append(cover, b.read(ctx))
	}
	r.planned, err = f.compare(ctx, d, r.registry, r.progress)
	switch {
	case held.Lost() != nil:
		return held.Lost()
	case err != nil && ctx.Err() != nil:
		return &job.Exit{Code: job.Incomplete, Message: "promote run: interrupted before anything was written"}
	case err != nil:
		return err
	}
	r.coverage = append(r.coverage, cover...)
	r.mend(r.lacking)
	if err := r.intend(ctx); err != nil {
		return err
	}
	if err := j.begin(ctx, applied{Commit: d.commit, At: started.UTC()}); err != nil {
		return err
	}
	failed := r.run(ctx)
	r.progress.end()
	if lost := held.Lost(); lost != nil {
		return lost // another run is at it: nothing of this one is written
	}
	return f.conclude(cmd, r.result(started, deps.now(), ctx.Err() != nil, failed), failed)
}

// catchUp compares with the last commit that was promoted: an older one is refused, and what was declared since is looked at
// as well, because the run for a commit between may have been missed.
func (f *runFlags) catchUp(ctx context.Context, deps Deps, j *journal, d *declared) error {
	last, err := j.last(ctx)
	if err != nil || last.Commit == "" {
		return err
	}
	if err := f.refuseOlder(ctx, deps, last.Commit, d.commit); err != nil || f.since == "" {
		return err
	}
	if _, err := f.changed(ctx, deps, d, last.Commit); err != nil {
		return fmt.Errorf("commit %s, the last that was promoted: %w", last.Commit, err)
	}
	return nil
}

// buckets opens those of the settings.
func (f *runFlags) buckets(ctx context.Context, deps Deps, d declared) (*buckets, func() error, error) {
	b, done, err := openBuckets(ctx, deps, d.promotion().Blobs)
	if b != nil {
		b.canonical = canonicalMirror(d.promotion(), d.set)
	}
	return b, done, err
}

// runner makes what does a plan, of flags and settings. It asks nobody but where the keys are.
func (f *runFlags) runner(ctx context.Context, deps Deps, j *journal, d declared, b *buckets, store state.Store) (*runner, error) {
	signing, err := f.signing(ctx, deps, d)
	if err != nil {
		return nil, err
	}
	later := laterPhases(signing, b)
	chosen, err := choosePhases(f.phases, later)
	if err != nil {
		return nil, err
	}
	registry, err := f.connect(deps)
	if err != nil {
		return nil, err
	}
	opts := copier.Options{Dir: f.spool, Attached: f.attached}
	r := &runner{
		deps: deps, journal: j, registry: registry, brake: brake{f.tree, deps, scopesIn(d.config)}, signing: signing,
		copier:  copier.New(registry, registry, opts),
		copying: slices.Contains(chosen, copyPhase), all: []string{copyPhase}, refused: map[string]bool{}, results: map[string]*projectResult{},
	}
	for _, p := range later {
		r.all = append(r.all, p.name)
		if slices.Contains(chosen, p.name) {
			r.phases = append(r.phases, p)
		}
	}
	if b != nil {
		b.copier = copier.New(registry, b, opts)
	}
	signs := slices.Contains(chosen, signPhase) || slices.Contains(chosen, attestPhase)
	if f.repair {
		r.mender, err = f.menderOf(ctx, store, signing, signs, d)
		f.repairs = r.mender.repairs
		f.repairs.buckets = b
	}
	return r, err
}

// menderOf says what is looked for in what is in production already.
func (f *runFlags) menderOf(ctx context.Context, store state.Store, s *signing, signs bool, d declared) (m mender, err error) {
	m = mender{repairs: repairs{canonical: canonicalMirror(d.promotion(), d.set)}, store: store, parallel: f.parallel}
	if s.signer == nil || !signs {
		return m, nil
	}
	if err := nowhere(m.canonical, d.set); err != nil {
		return m, err
	}
	m.seal = &s.seal
	m.proven, err = openProven(ctx, store, s.by())
	return m, err
}
