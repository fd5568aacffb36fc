// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/asset"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/report"
)

func diffCommand() *cobra.Command {
	var declared, observed string
	var out job.Output
	cmd := &cobra.Command{
		Use:   "diff --declared DIR --observed DIR",
		Short: "Compare two export trees offline, with the rules about buckets",
		Long: `Compare the buckets of two export trees, checkouts that have audit/projects, as if
one were declared and the other what exists. Nothing is read but these folders, no
brake holds, and acknowledgements do not count.

Exit code 0: nothing at or above --fail-on; 2: something; 3: a project or a file of
the observed tree is missing or broken; 1: an error.`,
		Example: `  git worktree add ../before HEAD~1 && steward audit diff --declared ../before --observed .
  steward audit diff --declared reviewed --observed exported -o markdown`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.Check(); err != nil {
				return err
			}
			found, coverage, err := diff(declared, observed)
			if err != nil {
				return err
			}
			shown := out.Write(cmd, found, report.Options{Title: "audit diff", Coverage: []finding.Coverage{coverage}})
			return ending(nil, shown, coverage.Complete())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&declared, "declared", "", "checkout with the tree that counts as declared; its OWNERS say whose a difference is")
	flags.StringVar(&observed, "observed", "", "checkout with the tree that counts as what exists")
	out.Register(cmd)
	for _, name := range []string{"declared", "observed"} {
		_ = cmd.MarkFlagRequired(name) // these fail for unknown flags only
		_ = cmd.MarkFlagDirname(name)
	}
	return cmd
}

func diff(declared, observed string) ([]finding.Finding, finding.Coverage, error) {
	parser := asset.NewParser()
	var trees [2]*asset.Tree
	for i, dir := range []string{declared, observed} {
		files, err := gitfs.OpenCheckout(dir)
		if err != nil {
			return nil, finding.Coverage{}, err
		}
		defer files.Close() // it was only read
		if _, err := fs.Stat(files, "audit/projects"); err != nil {
			return nil, finding.Coverage{}, fmt.Errorf("%s has no export tree audit/projects: %w", dir, err)
		}
		if trees[i], err = parser.Load(files); err != nil {
			return nil, finding.Coverage{}, fmt.Errorf("%s: %w", dir, err)
		}
	}
	files, err := gitfs.OpenCheckout(declared)
	if err != nil {
		return nil, finding.Coverage{}, err
	}
	defer files.Close() // it was only read
	owners, err := acl.Load(files, "", acl.Options{})
	if err != nil {
		return nil, finding.Coverage{}, fmt.Errorf("read OWNERS of %s: %w", declared, err)
	}
	compared := parser.Diff(trees[0], trees[1])
	all := append(compared.Found, compared.Absent...)
	audit.Route(all, owners)
	return all, asset.Coverage(trees[0], trees[1]), nil
}
