// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
)

// exitError ends the program with a code of its own; the output has told why.
type exitError struct {
	code int
	msg  string
}

func (e *exitError) Error() string { return e.msg }

// ExitCode is 2: something was found.
func (e *exitError) ExitCode() int { return e.code }

// flags are those of verify and all its parts.
type flags struct {
	source
	failOn, format string
}

// Command returns `steward verify` with a verb per part; without a verb all parts run. Errors with an ExitCode() int
// method are results, all others end with 1.
func Command(deps Deps) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check a community's repository offline, or what a change makes worse",
		Long: `Check a community's repository offline: all parts whose files it has. As the one
presubmit, --base names what the change is compared with, and only what it makes
worse is reported.

Exit code 0: nothing at or above --fail-on; 2: something; 1: a file could not be
read or is broken.`,
		Example: `  steward verify --dir ~/k8s.io
  steward verify --base "$PULL_BASE_SHA"
  steward verify policy -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, deps, f, parts(deps), false) },
	}
	f.register(cmd)
	for _, p := range parts(deps) {
		cmd.AddCommand(&cobra.Command{
			Use: p.name, Short: p.short, Long: p.long, Example: p.example, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return runVerify(cmd, deps, f, []part{p}, true) },
		})
	}
	return cmd
}

func (f *flags) register(cmd *cobra.Command) {
	set := cmd.PersistentFlags()
	set.StringVar(&f.dir, "dir", ".", "checkout of the repository")
	set.StringVar(&f.base, "base", "", "report only what this commit, branch or tag does not have")
	set.BoolVar(&f.markdown, "markdown", false, "let the front matter of *.md files own them (Prow: mdyamlrepos)")
	set.StringVar(&f.config, "config", "config/steward.yaml", "steward.yaml, relative to --dir")
	set.StringVar(&f.prowConfig, "prow-config", "config/prow/config.yaml", "Prow's config.yaml, relative to --dir")
	set.StringVar(&f.prowPlugins, "prow-plugins", "config/prow/plugins.yaml", "Prow's plugins.yaml, relative to --dir")
	set.StringVar(&f.failOn, "fail-on", finding.Error.String(), "least severity that fails: "+strings.Join(finding.SeverityNames(), ", "))
	set.StringVarP(&f.format, "output", "o", "text", "format: "+strings.Join(report.Formats(), ", "))
	// These fail for unknown flags only.
	_ = cmd.MarkPersistentFlagDirname("dir")
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(finding.SeverityNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(report.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

func runVerify(cmd *cobra.Command, deps Deps, f flags, all []part, named bool) error {
	least, err := finding.ParseSeverity(f.failOn)
	if err != nil {
		return fmt.Errorf("flag --fail-on: %w", err)
	}
	r, err := verify(cmd.Context(), deps, f.source, all, named)
	if err != nil {
		return err
	}
	title := "verify"
	if named {
		title += " " + all[0].name
	}
	for _, note := range r.notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", title, note)
	}
	if err := report.Write(cmd.OutOrStdout(), f.format, r.found, report.Options{Title: title}); err != nil {
		return err
	}
	if n := finding.AtLeast(r.found, least); n > 0 {
		return &exitError{2, fmt.Sprintf("%s: %d findings at or above %s", title, n, least)}
	}
	return nil
}
