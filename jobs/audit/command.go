// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/report"
)

// Command returns `steward audit`.
func Command(deps Deps) *cobra.Command {
	cmd := job.Group(&cobra.Command{Use: "audit", Short: "Compare what exists with what the repository declares"})
	cmd.AddCommand(runCommand(deps), diffCommand())
	return cmd
}

func runCommand(deps Deps) *cobra.Command {
	var flags runFlags
	var names []string
	long := `Read what exists and report every difference from what the repository declares, by
owner, worst first. Nothing is changed anywhere but in --state, --publish and
--artifacts.

Parts (all that the repository has files for, unless some are named):
`
	for _, p := range parts() {
		names = append(names, p.name)
		long += fmt.Sprintf("  %-8s %s\n", p.name, p.short)
	}
	cmd := &cobra.Command{
		Use:   "run [" + strings.Join(names, "|") + "]...",
		Short: "Report every difference between what is declared and what exists",
		Long: long + `
What could not be read is named and never reported as missing. With --state a run
that was killed goes on with --resume, on another machine too, and every finding
has the day on which it was first seen.

Exit code 0: nothing at or above --fail-on; 2: something; 3: not everything could be
read, or a brake holds (docs/audit.md); 1: an error.`,
		Example: `  steward audit run --dir ~/k8s.io
  steward audit run dns --dir ~/k8s.io --nameserver k8s.io=203.0.113.5:53 -o markdown
  steward audit run --rev HEAD --state gs://example-steward/audit --resume \
      --publish gs://example-reports/audit --fail-on critical`,
		ValidArgs: names, Args: cobra.MatchAll(cobra.OnlyValidArgs, noneTwice),
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(cmd, deps, args) },
	}
	flags.register(cmd)
	return cmd
}

func noneTwice(_ *cobra.Command, args []string) error {
	for i, a := range args {
		for _, b := range args[:i] {
			if a == b {
				return fmt.Errorf("part %s is named twice", a)
			}
		}
	}
	return nil
}

// runFlags are those of `steward audit run`.
type runFlags struct {
	source
	out         job.Output
	publish     string
	artifacts   string
	links       string
	registries  []string
	nameServers []string
}

func (f *runFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", ".", "checkout of the repository")
	flags.StringVar(&f.rev, "rev", "", "audit against this commit, branch or tag instead of the working tree")
	flags.StringVar(&f.state, "state", "", "where the journal, the lock and what was seen before are kept: file:///DIR or gs://BUCKET/PREFIX; private, it holds what was read")
	flags.BoolVar(&f.resume, "resume", false, "go on with the newest interrupted run in --state, if there is one")
	flags.StringVar(&f.publish, "publish", "", "where latest.json, latest.html and latest.md are put for everybody: file:///DIR or gs://BUCKET/PREFIX")
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for junit_audit.xml, report.json, report.html, report.sarif and report.link.txt; default $ARTIFACTS")
	flags.StringVar(&f.links, "links", "", "web address of the repository, for links to declaring lines: https://github.com/kubernetes/k8s.io")
	flags.StringArrayVar(&f.release, "release", nil, "report the absences that a brake held one by one: the hash that it printed; repeat for several parts")
	flags.IntVar(&f.parallel, "parallel", 64, "what is read at once, at the most")
	flags.Float64Var(&f.reach.Rate, "rate", 0, "requests a second to one API, at the most; 0 for what its quota leaves room for")
	flags.DurationVar(&f.lockFor, "lock-for", time.Minute, "how long the lock of a run that died is respected, and waited for")
	flags.StringVar(&f.reach.GCS, "gcs-endpoint", "", "Cloud Storage's JSON API, where it is not Google's")
	flags.StringArrayVar(&f.registries, "registry", nil, "HOST=ADDRESS asks ADDRESS for the registry HOST; repeat, * is every host")
	flags.StringArrayVar(&f.nameServers, "nameserver", nil, "ZONE=ADDRESS asks this server instead of those the zone is delegated to; repeat, * is every zone")
	f.out.Register(cmd)
	_ = cmd.MarkFlagDirname("dir") // these fail for unknown flags only
	_ = cmd.MarkFlagDirname("artifacts")
}

// check turns flags into values before any work is done.
func (f *runFlags) check() error {
	errs := []error{f.out.Check()}
	var err error
	if f.reach.Registries, err = job.Pairs("registry", f.registries); err != nil {
		errs = append(errs, err)
	}
	f.reach.NameServers = map[string][]string{}
	for _, p := range f.nameServers {
		zone, address, ok := strings.Cut(p, "=")
		if !ok || zone == "" || address == "" {
			errs = append(errs, fmt.Errorf("flag --nameserver: %q is not ZONE=ADDRESS", p))
		}
		f.reach.NameServers[zone] = append(f.reach.NameServers[zone], address)
	}
	if f.parallel < 1 || f.parallel > 1000 {
		errs = append(errs, fmt.Errorf("flag --parallel: %d is not between 1 and 1000", f.parallel))
	}
	if u, err := url.Parse(f.reach.GCS); f.reach.GCS != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, errors.New("flag --gcs-endpoint: is not an address such as https://storage.googleapis.com"))
	}
	for _, hash := range f.release {
		if !releaseForm.MatchString(hash) {
			errs = append(errs, fmt.Errorf("flag --release: %.80q is not the hash that a brake printed", hash))
		}
	}
	if f.reach.Rate < 0 {
		errs = append(errs, errors.New("flag --rate: must not be negative"))
	}
	if f.resume && f.state == "" {
		errs = append(errs, errors.New("flag --resume: goes with --state, where the interrupted run is"))
	}
	if f.state != "" && f.publish != "" && inside(f.state, f.publish) {
		errs = append(errs, errors.New("flag --publish: must not be --state or lie in it, nor the other way round: what is there is private"))
	}
	if f.lockFor < time.Second {
		errs = append(errs, errors.New("flag --lock-for: at least a second"))
	}
	return errors.Join(errs...)
}

// releaseForm is what audit.Held prints, or the whole hash.
var releaseForm = regexp.MustCompile(`^[0-9a-f]{16,64}$`)

// inside tells whether two URLs name one place, or one of them lies in the other.
func inside(a, b string) bool {
	a, b = strings.TrimRight(a, "/")+"/", strings.TrimRight(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

func (f *runFlags) run(cmd *cobra.Command, deps Deps, names []string) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	ctx := cmd.Context()
	d, closeFiles, err := f.open(ctx, deps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFiles()) }()
	chosen, skipped, err := pick(parts(), d.files, names)
	if err != nil {
		return err
	}
	for _, s := range skipped {
		f.note(cmd, s)
	}
	a := &auditor{deps: deps, source: f.source}
	a.now = a.clock()
	sinks, held, err := f.connect(ctx, a, func(text string) { f.note(cmd, text) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	note, err := a.open(held.ctx, d, chosen)
	if err != nil {
		return err
	}
	if note != "" {
		f.note(cmd, note)
	}
	progress := newProgress(cmd.ErrOrStderr(), chosen)
	a.tell = progress.tell
	outcomes := a.read(held.ctx, d, chosen)
	progress.end()
	if held.lost() != nil {
		return held.lost() // another run is at it: nothing of this one is written
	}
	return f.finish(cmd, a, d, sinks, outcomes)
}

func (f *runFlags) note(cmd *cobra.Command, text string) {
	fmt.Fprintln(cmd.ErrOrStderr(), "audit: "+text)
}

// connect opens the stores and takes the lock.
func (f *runFlags) connect(ctx context.Context, a *auditor, tell func(string)) (sinks, *hold, error) {
	s := sinks{artifacts: f.artifacts}
	var err error
	if f.publish != "" {
		if s.public, err = a.deps.OpenPublic(ctx, f.publish); err != nil {
			return s, nil, fmt.Errorf("flag --publish: %w", err)
		}
		s.link = webAddress(f.publish)
	}
	if f.state == "" {
		return s, &hold{ctx: ctx}, nil
	}
	if a.store, err = a.deps.OpenState(ctx, f.state); err != nil {
		return s, nil, fmt.Errorf("flag --state: %w", err)
	}
	s.private = a.store
	if s.key, err = reportKey(ctx, a.store); err != nil {
		return s, nil, fmt.Errorf("flag --state: %w", err)
	}
	held, err := acquire(ctx, a.store, f.lockFor, tell)
	return s, held, err
}

// What is written behind the reading has one deadline. After a SIGTERM Prow kills in 15
// seconds.
const (
	saveTimeout = 5 * time.Minute
	endTimeout  = 12 * time.Second
)

// finish keeps and shows the result, and says how the run ended.
func (f *runFlags) finish(cmd *cobra.Command, a *auditor, d declared, s sinks, outcomes []outcome) error {
	interrupted, limit := cmd.Context().Err() != nil, saveTimeout
	if interrupted {
		limit = endTimeout
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(cmd.Context()), limit)
	defer stop()
	r, failed := a.settle(ctx, d, outcomes, interrupted)
	for _, n := range append(r.notes, r.held...) {
		f.note(cmd, n)
	}
	opts := report.Options{
		Title: "audit", Commit: r.commit, Links: f.links, Coverage: r.coverage, Started: r.started, Ended: r.ended, Key: s.key,
	}
	failed = errors.Join(failed, s.save(ctx, r.findings, opts))
	shown := f.out.Write(cmd, r.findings, opts)
	if a.journal != nil && !interrupted {
		if err := a.journal.Sweep(ctx); err != nil {
			f.note(cmd, "old runs stay: "+err.Error())
		}
	}
	return ending(failed, shown, r.complete())
}

// ending is the error by which a run ends: 1 beats 3 beats 2 (AU-10).
func ending(failed, shown error, complete bool) error {
	var found *job.Exit
	switch {
	case failed != nil:
		return failed
	case shown != nil && !errors.As(shown, &found):
		return shown
	case !complete:
		return &job.Exit{Code: job.Incomplete, Message: "audit: " + audit.ErrIncomplete.Error()}
	}
	return shown
}
