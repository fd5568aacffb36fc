// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/promotion"
)

func planCommand(deps Deps) *cobra.Command {
	var flags planFlags
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be copied, for each project, and what cannot be",
		Long: `Compare what promoter manifests declare with what the mirrors hold, and show what is
missing. Nothing is changed anywhere.

Every repository of a mirror is listed once, and a source only where something of it is
missing. With --inventory nothing is asked at all: the file says what the mirrors hold,
as "steward promote snapshot" writes it; what is not in it is not there.

A fault of one project, such as a tag that stands for another digest, concerns no other.

Exit code 0: nothing is wrong; 2: with --detailed-exitcode, something is to be copied;
3: something cannot be promoted, or not everything could be read; 1: an error.`,
		Example: `  steward promote plan --dir ~/k8s.io
  steward promote plan --dir ~/k8s.io --rev HEAD --since HEAD~1 -o markdown
  steward promote plan --dir ~/k8s.io --inventory inventory.json --detailed-exitcode`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			p, err := flags.make(cmd.Context(), deps, newProgress(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if err := p.write(cmd.OutOrStdout(), flags.output); err != nil {
				return err
			}
			return p.ending(detailed)
		},
	}
	flags.register(cmd, "")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "end with 2 where something is to be copied")
	finish(cmd)
	return cmd
}

// finish completes flags that plan and run share.
func finish(cmd *cobra.Command) {
	// These fail for unknown flags only.
	_ = cmd.MarkFlagFilename("inventory", "json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp))
}

// planFlags are those of a plan.
type planFlags struct {
	tree
	connection
	inventory string
	output    string
	repairs   repairs
}

func (f *planFlags) register(cmd *cobra.Command, rev string) {
	f.tree.register(cmd, rev)
	f.tree.narrow(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.inventory, "inventory", "", `file that says what mirrors hold, {"HOST/REPOSITORY": {"sha256:…": ["TAG"]}}, instead of asking them; - is standard input`)
	flags.StringVarP(&f.output, "output", "o", "text", "format: "+strings.Join(formats(), ", "))
	f.connection.register(cmd)
}

// check turns flags into values before any work is done.
func (f *planFlags) check() error {
	errs := []error{f.tree.check()}
	if !slices.Contains(formats(), f.output) {
		errs = append(errs, fmt.Errorf("flag --output: %q is none of %s", f.output, strings.Join(formats(), ", ")))
	}
	return errors.Join(append(errs, f.connection.check())...)
}

// planned is a plan with all that was learned on the way to it.
type planned struct {
	declared
	since    string
	compared *promotion.Comparison
	projects []*promotion.Project
	coverage []finding.Coverage // none where an inventory was read
	findings []finding.Finding
	lacking  []lacking // where it was looked for
	sealed   []sealed  // of which it is not known whether they are signed
}

// make reads what is declared and what is there, and compares.
func (f *planFlags) make(ctx context.Context, deps Deps, progress *progress) (p planned, err error) {
	d, done, err := f.tree.open(ctx, deps)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, done()) }()
	var registry Registry
	if f.inventory == "" {
		if registry, err = f.connect(deps); err != nil {
			return p, err
		}
	}
	return f.compare(ctx, d, registry, progress)
}

// compare asks a registry, or reads the inventory where there is one.
func (f *planFlags) compare(ctx context.Context, d declared, registry Registry, progress *progress) (p planned, err error) {
	c := promotion.Compare(d.set, d.problems, d.scope)
	p.declared, p.since, p.compared = d, f.since, c
	if f.inventory != "" {
		err = f.readInventory(c)
	} else {
		var cover finding.Coverage
		r := newReader(registry, f.parallel, progress.read)
		r.repairs = f.repairs
		cover, err = r.compare(ctx, c)
		p.coverage, p.lacking, p.sealed = []finding.Coverage{cover}, r.lacking, r.sealed
		progress.end()
	}
	if err != nil {
		return p, err
	}
	if p.projects, err = c.Projects(d.commit); err != nil {
		return p, err
	}
	p.findings = d.said()
	for _, project := range p.projects {
		p.findings = append(p.findings, project.Faults...)
	}
	finding.Sort(p.findings)
	return p, nil
}

func (f *planFlags) readInventory(c *promotion.Comparison) (err error) {
	in := io.ReadCloser(os.Stdin)
	if f.inventory != "-" {
		if in, err = os.Open(f.inventory); err != nil {
			return fmt.Errorf("flag --inventory: %w", err)
		}
		defer in.Close() // it was only read
	}
	if err := c.ReadInventory(in); err != nil {
		return fmt.Errorf("flag --inventory: %w", err)
	}
	return nil
}

// complete tells that all is known, and that nothing that is declared is held.
func (p planned) complete() bool {
	return finding.Complete(p.coverage) && finding.AtLeast(p.findings, finding.Error) == 0
}

// empty tells that nothing is to be copied.
func (p planned) empty() bool {
	return !slices.ContainsFunc(p.projects, func(p *promotion.Project) bool { return !p.Plan.Empty() })
}

// ending is how a plan ends: 3 beats 2 (PR-13).
func (p planned) ending(detailed bool) error {
	switch {
	case !finding.Complete(p.coverage):
		return &job.Exit{Code: job.Incomplete, Message: "promote plan: not everything could be read"}
	case !p.complete():
		return &job.Exit{Code: job.Incomplete, Message: "promote plan: something that is declared cannot be promoted"}
	case detailed && !p.empty():
		return &job.Exit{Code: job.Found, Message: "promote plan: there is something to copy"}
	}
	return nil
}
