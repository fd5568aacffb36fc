// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/report"
)

// Command returns `steward owners`; open serves --rev.
func Command(open OpenCommit) *cobra.Command {
	source := Source{Open: open}
	cmd := job.Group(&cobra.Command{Use: "owners", Short: "Lint OWNERS files and explain who may approve what"})
	flags := cmd.PersistentFlags()
	flags.StringVar(&source.Dir, "dir", ".", "checkout of the repository (with --rev also a bare repository)")
	flags.StringVar(&source.Rev, "rev", "", "read this commit, branch or tag instead of the working tree")
	flags.BoolVar(&source.Markdown, "markdown", false, "let the front matter of *.md files own them (Prow: mdyamlrepos)")
	_ = cmd.MarkPersistentFlagDirname("dir") // fails for unknown flags only
	cmd.AddCommand(lintCommand(&source), whyCommand(&source))
	return cmd
}

func lintCommand(source *Source) *cobra.Command {
	var output job.Output
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "List every fault of the OWNERS files",
		Long: `List every fault of the OWNERS files and OWNERS_ALIASES of a repository.

The codes are explained in docs/owners.md. Exit code 0: nothing at or above
--fail-on; 2: something; 1: the repository could not be read.`,
		Example: `  steward owners lint --dir ~/k8s.io
  steward owners lint --rev origin/main -o markdown
  steward owners lint --fail-on warning -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLint(cmd, *source, output) },
	}
	output.Register(cmd)
	return cmd
}

func runLint(cmd *cobra.Command, source Source, output job.Output) error {
	if err := output.Check(); err != nil {
		return err
	}
	commit, all, err := Lint(cmd.Context(), source)
	if err != nil {
		return err
	}
	return output.Write(cmd, all, report.Options{Title: "owners lint", Commit: commit})
}

// whyFormats are the forms of an explanation, which is no finding.
func whyFormats() map[string]func(io.Writer, []acl.Explanation) error {
	return map[string]func(io.Writer, []acl.Explanation) error{"text": writeText, "json": writeJSON}
}

func whyCommand(source *Source) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "why USER PATH...",
		Short: "Explain whether USER may approve changes of PATH",
		Long: `Explain whether USER may approve changes of each PATH: which OWNERS file,
alias and filter decide, and for a refusal who could approve instead. Paths are
relative to the root of the repository and need not exist.

Exit code 0: may approve all paths; 2: may not approve some; 1: the repository
could not be read. Membership of the organization is not checked.`,
		Example: `  steward owners why thockin dns/zone-configs/k8s.io._0_base.yaml
  steward owners why --rev HEAD~10 -o json alice groups/ OWNERS`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runWhy(cmd, *source, format, args[0], args[1:])
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	formats := slices.Sorted(maps.Keys(whyFormats()))
	cmd.Flags().StringVarP(&format, "output", "o", "text", "format: "+strings.Join(formats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	return cmd
}

func runWhy(cmd *cobra.Command, source Source, format, user string, paths []string) error {
	write, ok := whyFormats()[format]
	if !ok {
		return fmt.Errorf("flag --output: format %q is not one of %s", format, strings.Join(slices.Sorted(maps.Keys(whyFormats())), ", "))
	}
	all, err := Why(cmd.Context(), source, user, paths...)
	if err != nil {
		return err
	}
	if err := write(cmd.OutOrStdout(), all); err != nil {
		return fmt.Errorf("write explanation: %w", err)
	}
	denied := 0
	for _, e := range all {
		if !e.Allowed {
			denied++
		}
	}
	if denied > 0 {
		return &job.Exit{Code: job.Found, Message: fmt.Sprintf("owners why: %d of %d paths denied", denied, len(all))}
	}
	return nil
}
