// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/sweep"
)

// Command returns `steward janitor`.
func Command(deps Deps) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "janitor",
		Short: "Empty the accounts that tests have used",
		Long: `Delete what tests have left behind in accounts of the pool, and prove that it is gone.

With --project, --account or --type it goes once over these accounts. With --pool it
stays, takes dirty resources from the pool, and gives them back free, or dirty with the
reason. Without --confirm nothing is deleted; what would be is shown.

An account is swept only if it is named in the pool's configuration at --rev, lies
where lent accounts lie, and is what the credential sees (docs/janitor.md, SW-15 to
SW-17). What the repository declares as production is never touched.

Exit code 0: clean, or a plan; 3: not clean, not everything could be read, or a brake
holds; 1: an error, or an account that may not be swept.`,
		Example: `  # What is in a project, and would go
  steward janitor --dir ~/k8s.io --project k8s-infra-e2e-boskos-001

  # Everything that is older than six hours, in all projects of a type
  steward janitor --type gce-project --age 6h --state gs://example-state/janitor --confirm

  # A resident worker beside the pool, eight accounts at a time
  steward janitor --pool http://steward-pool --parallel 8 --state gs://example-state/janitor --confirm`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, deps) },
	}
	f.register(cmd)
	return cmd
}

type flags struct {
	cleaner
	projects, accounts, types []string
	include, exclude          []string
	credentials               []string
	pool, state               string
	format, artifacts         string
	parallel                  int
	heartbeat, idle           time.Duration
}

func (f *flags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.projects, "project", nil, "sweep this Google Cloud project; repeat for several")
	flags.StringArrayVar(&f.accounts, "account", nil, "sweep this AWS account; repeat for several")
	flags.StringArrayVar(&f.types, "type", nil, "sweep all accounts of this resource type; with --pool, take these types only (default: all that the janitor knows)")
	flags.StringVar(&f.pool, "pool", "", "stay, and clean what is dirty in the pool at this address")
	flags.BoolVar(&f.confirm, "confirm", false, "delete; without it nothing is")
	flags.StringVar(&f.dir, "dir", ".", "checkout of the community's repository")
	flags.StringVar(&f.rev, "rev", "HEAD", "commit, branch or tag that says what may be swept; the working tree is never read")
	flags.StringVar(&f.settings, "settings", "steward.yaml", "settings, in the repository at --rev")
	flags.DurationVar(&f.rules.Age, "age", 0, "delete only what is at least so old; 0 for everything, which has to be said when accounts are named")
	flags.StringArrayVar(&f.include, "include-tags", nil, "delete only what has this tag or label, KEY or KEY=VALUE; repeat: all of them")
	flags.StringArrayVar(&f.exclude, "exclude-tags", nil, "keep what has this tag or label; repeat: any of them")
	flags.StringArrayVar(&f.release, "release", nil, "let go what a brake held: the hash that it printed")
	flags.StringVar(&f.state, "state", "", "where is kept when objects were first seen and accounts last swept: file:///DIR or gs://BUCKET/PREFIX")
	flags.IntVar(&f.parallel, "parallel", 4, "accounts at once")
	flags.StringArrayVar(&f.credentials, "credential", nil, "GLOB=FILE: a file of credentials for accounts with such names, instead of the environment's")
	flags.StringVar(&f.reach.Endpoint, "endpoint", "", "where all APIs of Google Cloud are asked instead, each below its host's name; loopback only")
	flags.Float64Var(&f.reach.Rate, "rate", 0, "requests a second to one API for one account; 0 for what its quota leaves room for")
	flags.DurationVar(&f.reach.Poll, "poll", 0, "how long a deletion is let alone before its operation is looked at; 0 for what the cloud likes")
	flags.DurationVar(&f.heartbeat, "heartbeat", time.Minute, "how often the pool is told that cleaning goes on")
	flags.DurationVar(&f.idle, "idle", 10*time.Second, "how long nothing is asked for where nothing was dirty")
	flags.DurationVar(&f.pause, "pause", 2*time.Second, "how long what was in use is let alone before it is tried again, growing")
	flags.StringVar(&f.artifacts, "artifacts", os.Getenv("ARTIFACTS"), "directory for junit_janitor.xml, report.json and report.html; default $ARTIFACTS")
	flags.StringVarP(&f.format, "output", "o", "text", "format: "+strings.Join(report.Formats(), ", "))
	// This fails for unknown flags only.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(report.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

// check refuses before any work is done.
func (f *flags) check(cmd *cobra.Command, deps Deps) error {
	named := len(f.projects) + len(f.accounts)
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(f.pool == "" && named+len(f.types) == 0, "say what to sweep: --project, --account, --type, or --pool")
	fault(f.pool != "" && named > 0, "give either --pool or accounts: what the pool has lent is in use")
	fault(f.pool != "" && !f.confirm, "flag --pool: without --confirm nothing would ever be clean")
	fault(f.pool != "" && (f.rules.Age != 0 || len(f.include)+len(f.exclude) > 0), "flag --pool: what goes back to the pool is empty, so there is no --age, --include-tags or --exclude-tags")
	fault(f.pool != "" && deps.OpenPool == nil, "flag --pool: this program has no client of a pool")
	fault(f.pool == "" && f.confirm && !cmd.Flags().Changed("age"), "flag --age is missing: accounts that are named may be in use; --age 0 deletes everything all the same")
	fault(f.rules.Age < 0, "flag --age: %v is negative", f.rules.Age)
	fault(f.parallel < 1, "flag --parallel: %d is not at least 1", f.parallel)
	fault(f.heartbeat <= 0 || f.idle <= 0 || f.pause <= 0, "flags --heartbeat, --idle and --pause are more than 0")
	var errs [3]error
	f.rules.Include, errs[0] = sweep.ParseTags(f.include)
	f.rules.Exclude, errs[1] = sweep.ParseTags(f.exclude)
	errs[2] = report.Known(f.format)
	for _, one := range f.credentials {
		pattern, file, ok := strings.Cut(one, "=")
		_, err := path.Match(pattern, "")
		fault(!ok || pattern == "" || file == "" || err != nil, "flag --credential: %q is not GLOB=FILE", one)
		f.cleaner.credentials = append(f.cleaner.credentials, credential{pattern, file})
	}
	return errors.Join(append(faults, errs[:]...)...)
}

func (f *flags) run(cmd *cobra.Command, deps Deps) error {
	if err := f.check(cmd, deps); err != nil {
		return err
	}
	ctx := cmd.Context()
	f.deps, f.now = deps, time.Now
	if f.state != "" {
		var err error
		if f.store, err = deps.OpenState(ctx, f.state); err != nil {
			return fmt.Errorf("flag --state: %w", err)
		}
	}
	b, err := f.base(ctx)
	if err != nil {
		return err
	}
	shown := newProgress(cmd.ErrOrStderr())
	if shown != nil {
		f.cleaner.tell = shown.tell
	}
	defer shown.end()
	if f.pool != "" {
		return f.stay(cmd, deps, b)
	}
	names, err := f.names(b)
	if err != nil {
		return err
	}
	results := f.sweepAll(ctx, names)
	shown.end()
	return errors.Join(f.write(cmd, b.commit, results), ending(results))
}

// names are the accounts of the flags, in their order, each once.
func (f *flags) names(b *base) ([]string, error) {
	names := slices.Concat(f.projects, f.accounts)
	for _, typ := range f.types {
		var some []string
		for name, of := range b.pool {
			if of == typ {
				some = append(some, name)
			}
		}
		if len(some) == 0 {
			return nil, fmt.Errorf("flag --type: the pool has no %q at %.12s", typ, b.commit)
		}
		slices.Sort(some)
		names = append(names, some...)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(names, func(name string) bool {
		twice := seen[name]
		seen[name] = true
		return twice
	}), nil
}

func (f *flags) sweepAll(ctx context.Context, names []string) []Result {
	results := make([]Result, len(names))
	pace.Each(names, f.parallel, func(i int, name string) { results[i] = f.clean(ctx, name) })
	return results
}

// stay is the resident worker.
func (f *flags) stay(cmd *cobra.Command, deps Deps, b *base) error {
	pool, err := deps.OpenPool(cmd.Context(), f.pool)
	if err != nil {
		return fmt.Errorf("flag --pool: %w", err)
	}
	types := f.types
	if len(types) == 0 {
		for _, typ := range b.pool {
			if kind := b.kindOf(typ); kind != settings.AccountNone && deps.Accounts[kind] != nil && !slices.Contains(types, typ) {
				types = append(types, typ)
			}
		}
		slices.Sort(types)
	}
	var mu sync.Mutex
	tell := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(cmd.ErrOrStderr(), "janitor: "+text)
	}
	tell("cleaning " + strings.Join(types, ", "))
	w := worker{
		pool: pool, types: types, parallel: f.parallel, heartbeat: f.heartbeat, idle: f.idle,
		clean: f.clean, tell: tell, done: func(r Result) { tell(r.line()) },
	}
	w.run(cmd.Context())
	return nil
}

// artifact is a file that Prow's pages read.
type artifact struct{ file, format string }

func artifacts() []artifact {
	return []artifact{{"junit_janitor.xml", "junit"}, {"report.html", "html"}, {"report.json", "json"}}
}

// write shows the results and keeps them for Prow.
func (f *flags) write(cmd *cobra.Command, commit string, results []Result) error {
	all, coverage := findings(results)
	opts := report.Options{Title: "janitor", Commit: commit, Coverage: coverage}
	for _, r := range results {
		fmt.Fprintln(cmd.ErrOrStderr(), "janitor: "+r.line())
	}
	err := report.Write(cmd.OutOrStdout(), f.format, all, opts)
	if f.artifacts == "" {
		return err
	}
	err = errors.Join(err, os.MkdirAll(f.artifacts, 0o755))
	for _, a := range artifacts() {
		file, openErr := os.Create(filepath.Join(f.artifacts, a.file))
		if openErr != nil {
			err = errors.Join(err, openErr)
			continue
		}
		err = errors.Join(err, report.Write(file, a.format, all, opts), file.Close())
	}
	return err
}
