// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/state"
)

func filesCommand(deps Deps) *cobra.Command {
	var flags filesFlags
	cmd := &cobra.Command{
		Use:   "files",
		Short: "Copy files from staging stores to production",
		Long: `Compare what file manifests declare with what the stores hold, on Cloud Storage, S3 or a
directory. Without --confirm show what is missing. With it copy it: each file is read once,
sent to all stores that lack it, and finished nowhere before its sha256 was right.

A file that is there stays as it is, unless a merged change gave its name another sha256 and
the store holds just what was declared before; a copy of that is kept. Anything else that is
not as declared is reported, and so is a file that staging has lost.

--state keeps the lock, the last commit and what is left, as for "steward promote run".

Exit code 0: all is as declared (with --confirm), or nothing is wrong; 2: with
--detailed-exitcode, something is to be copied; 3: something is left or cannot be promoted,
or not everything could be read; 1: an error.`,
		Example: `  steward promote files --dir ~/k8s.io
  steward promote files --dir ~/k8s.io --config ~/k8s.io/config/steward.yaml \
      --rev HEAD --state gs://example-steward --confirm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd, deps) },
	}
	flags.register(cmd)
	return cmd
}

// filesFlags are those of `steward promote files`.
type filesFlags struct {
	dir, rev, since string
	trees, projects []string
	confirm, prove  bool
	detailed        bool
	state           string
	config          string
	lockFor         time.Duration
	parallel        int
	output          string
	artifacts       string
	metrics         string
}

func (f *filesFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "dir", ".", "checkout of the repository")
	flags.StringSliceVar(&f.trees, "files", nil, "trees of file manifests, relative to --dir, one after the other; repeat or separate by commas; default promotion.files of --config, or "+strings.Join(settings.Promotion{}.FileTrees(), ", "))
	flags.StringVar(&f.rev, "rev", "HEAD", "commit, branch or tag that declares; empty, without --confirm: the working tree")
	flags.StringVar(&f.since, "since", "", "only what --rev declares and this commit does not")
	flags.StringSliceVar(&f.projects, "project", nil, "only these projects, by the name of their folder; repeat or separate by commas")
	flags.BoolVar(&f.confirm, "confirm", false, "write; without it, show what would be written")
	flags.BoolVar(&f.prove, "prove", false, "read files in production of which nobody has proven the content, and staging holds none")
	flags.BoolVar(&f.detailed, "detailed-exitcode", false, "without --confirm, end with 2 where something is to be copied")
	flags.StringVar(&f.state, "state", "", "where the lock, the last commit and what is left are kept: file:///DIR or gs://BUCKET/PREFIX; needed with --confirm")
	flags.StringVar(&f.config, "config", "", "steward.yaml, which says which trees there are, where files may go, and what the scopes of freeze.yaml are; without it any scope but all freezes everything")
	flags.DurationVar(&f.lockFor, "lock-for", time.Minute, "how long the lock of a run that died is respected, and waited for")
	flags.IntVar(&f.parallel, "parallel", 3, "files copied at once, at the most; each takes up to 24 MiB of memory")
	flags.StringVarP(&f.output, "output", "o", "text", "format: "+strings.Join(formats(), ", "))
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for promote_files.json, junit_promote_files.xml, report.json and report.html; default $ARTIFACTS")
	flags.StringVar(&f.metrics, "metrics", "", "file for the run's numbers in Prometheus' text format")
	_ = cmd.MarkFlagDirname("dir") // these fail for unknown flags only
	_ = cmd.MarkFlagFilename("config", "yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
}

func (f *filesFlags) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, tree := range f.trees {
		if f.trees[i] = path.Clean(tree); !fs.ValidPath(f.trees[i]) || f.trees[i] == "." {
			bad("flag --files: %q is not a path below the repository", tree)
		}
		if slices.Contains(f.trees[:i], f.trees[i]) {
			bad("flag --files: %s stands twice", tree)
		}
	}
	if !slices.Contains(formats(), f.output) {
		bad("flag --output: %q is none of %s", f.output, strings.Join(formats(), ", "))
	}
	if f.parallel < 1 || f.parallel > 100 {
		bad("flag --parallel: %d is not between 1 and 100", f.parallel)
	}
	if f.confirm && f.rev == "" {
		bad("flag --rev: only what is committed is promoted")
	}
	if f.confirm && f.state == "" {
		bad("flag --confirm: goes with --state, where the lock is")
	}
	if f.lockFor < time.Second {
		bad("flag --lock-for: at least a second")
	}
	return errors.Join(errs...)
}

// filesKeys begins the keys in the store of state: images have their own lock and journal.
const filesKeys = "files/"

func (f *filesFlags) run(cmd *cobra.Command, deps Deps) (err error) {
	if err := f.check(); err != nil {
		return err
	}
	ctx, started := cmd.Context(), deps.now()
	var store state.Store
	if f.state != "" {
		if store, err = deps.OpenState(ctx, f.state); err != nil {
			return fmt.Errorf("flag --state: %w", err)
		}
		store = state.Under(store, filesKeys)
	}
	r := &fileRun{flags: f, deps: deps, progress: newProgress(cmd.ErrOrStderr())}
	if f.confirm {
		if r.held, err = state.Take(ctx, store, lockKey, f.lockFor, func(text string) { note(cmd, text) }); err != nil {
			return fmt.Errorf("flag --state: %w", err)
		}
		defer func() { err = errors.Join(err, r.held.Release()) }()
		ctx = r.held.Context()
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.open(ctx, store); err != nil {
		return err
	}
	failed := r.trees(ctx)
	r.progress.end()
	if r.held != nil && r.held.Lost() != nil {
		return r.held.Lost() // another run is at it: nothing of this one is written
	}
	return f.conclude(cmd, r.result(started, deps.now(), ctx.Err() != nil, failed), failed)
}

// conclude shows and keeps the result, and says how the run ended: 1 beats 3 beats 2.
func (f *filesFlags) conclude(cmd *cobra.Command, r filesResult, failed error) error {
	if err := errors.Join(failed, outlets{f.output, f.artifacts, f.metrics}.put(cmd, r)); err != nil {
		return err
	}
	switch {
	case !r.Complete && f.confirm:
		return &job.Exit{Code: job.Incomplete, Message: "promote files: something is left to do"}
	case !r.Complete:
		return &job.Exit{Code: job.Incomplete, Message: "promote files: something that is declared cannot be promoted, or not everything could be read"}
	case f.confirm:
		return nil
	}
	note(cmd, "nothing was written; --confirm does it")
	if f.detailed && r.total().Targets > 0 {
		return &job.Exit{Code: job.Found, Message: "promote files: there is something to copy"}
	}
	return nil
}
