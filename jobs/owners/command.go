// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
)

// exitError ends the program with a code of its own; the output has told why.
type exitError struct {
	code int
	msg  string
}

func (e *exitError) Error() string { return e.msg }

// ExitCode is 2: something was found, or somebody may not.
func (e *exitError) ExitCode() int { return e.code }

// Command returns `steward owners`; open serves --rev. Errors with an
// ExitCode() int method are results, all others end with 1.
func Command(open OpenCommit) *cobra.Command {
	source := Source{Open: open}
	cmd := &cobra.Command{
		Use:   "owners",
		Short: "Lint OWNERS files and explain who may approve what",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&source.Dir, "dir", ".", "checkout of the repository (with --rev also a bare repository)")
	flags.StringVar(&source.Rev, "rev", "", "read this commit, branch or tag instead of the working tree")
	flags.BoolVar(&source.Markdown, "markdown", false, "let the front matter of *.md files own them (Prow: mdyamlrepos)")
	_ = cmd.MarkPersistentFlagDirname("dir") // fails for unknown flags only
	cmd.AddCommand(lintCommand(&source), whyCommand(&source))
	return cmd
}

func lintCommand(source *Source) *cobra.Command {
	var failOn, format string
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
		RunE: func(cmd *cobra.Command, _ []string) error { return runLint(cmd, *source, failOn, format) },
	}
	cmd.Flags().StringVar(&failOn, "fail-on", finding.Error.String(), "least severity that fails: "+strings.Join(finding.SeverityNames(), ", "))
	cmd.Flags().StringVarP(&format, "output", "o", "text", "format: "+strings.Join(report.Formats(), ", "))
	complete(cmd, "fail-on", finding.SeverityNames())
	complete(cmd, "output", report.Formats())
	return cmd
}

func runLint(cmd *cobra.Command, source Source, failOn, format string) error {
	least, err := finding.ParseSeverity(failOn)
	if err != nil {
		return fmt.Errorf("flag --fail-on: %w", err)
	}
	commit, all, err := Lint(cmd.Context(), source)
	if err != nil {
		return err
	}
	if err := report.Write(cmd.OutOrStdout(), format, all, report.Options{Title: "owners lint", Commit: commit}); err != nil {
		return err
	}
	if n := finding.AtLeast(all, least); n > 0 {
		return &exitError{2, fmt.Sprintf("owners lint: %d findings at or above %s", n, least)}
	}
	return nil
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
	cmd.Flags().StringVarP(&format, "output", "o", "text", "format: json, text")
	complete(cmd, "output", []string{"json", "text"})
	return cmd
}

func runWhy(cmd *cobra.Command, source Source, format, user string, paths []string) error {
	write, ok := whyFormats()[format]
	if !ok {
		return fmt.Errorf("flag --output: format %q is not one of json, text", format)
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
		return &exitError{2, fmt.Sprintf("owners why: %d of %d paths denied", denied, len(all))}
	}
	return nil
}

// complete offers fixed words for a flag of cmd.
func complete(cmd *cobra.Command, flag string, words []string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
}
