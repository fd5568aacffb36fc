// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/report"
)

// Command returns `steward verify` with a verb per part; without a verb all parts run.
func Command(deps Deps) *cobra.Command {
	var src source
	var out job.Output
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			src.given(cmd)
			return run(cmd, deps, src, out, parts(deps), false)
		},
	}
	src.register(cmd)
	out.Register(cmd)
	for _, p := range parts(deps) {
		cmd.AddCommand(p.command(deps, &src, &out))
	}
	return cmd
}

// PoolLint is `steward pool lint`: verify pool, where people look for it.
func PoolLint(deps Deps) *cobra.Command {
	var src source
	var out job.Output
	p := poolPart()
	cmd := p.command(deps, &src, &out)
	cmd.Use = "lint"
	cmd.Example = strings.ReplaceAll(cmd.Example, "steward verify pool", "steward pool lint")
	src.register(cmd)
	out.Register(cmd)
	return cmd
}

// command is the verb of one part.
func (p part) command(deps Deps, src *source, out *job.Output) *cobra.Command {
	var prints bool
	cmd := &cobra.Command{
		Use: p.name, Short: p.short, Long: p.long, Example: p.example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			src.given(cmd)
			if prints {
				return p.print(cmd, *src)
			}
			return run(cmd, deps, *src, *out, []part{p}, true)
		},
	}
	if p.prints != nil {
		cmd.Flags().BoolVar(&prints, p.prints.flag, false, p.prints.usage)
	}
	return cmd
}

// print writes what a part makes of the working tree.
func (p part) print(cmd *cobra.Command, src source) error {
	src.base = ""
	trees, _, err := src.open(cmd.Context(), Deps{})
	if err != nil {
		return err
	}
	text, err := p.prints.text(trees[0])
	if err != nil {
		return fmt.Errorf("verify %s: %w", p.name, err)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// given notes which flags were.
func (s *source) given(cmd *cobra.Command) {
	s.pointedConfig, s.pointedProw = cmd.Flags().Changed("config"), cmd.Flags().Changed("prow-config")
	s.pointed = s.pointedConfig || s.pointedProw || cmd.Flags().Changed("prow-plugins")
}

func (s *source) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&s.dir, "dir", ".", "checkout of the repository")
	flags.StringVar(&s.base, "base", "", "report only what this commit, branch or tag does not have")
	flags.BoolVar(&s.markdown, "markdown", false, "let the front matter of *.md files own them (Prow: mdyamlrepos)")
	flags.StringVar(&s.config, "config", "config/steward.yaml", "steward.yaml, relative to --dir")
	flags.StringVar(&s.prowConfig, "prow-config", "config/prow/config.yaml", "Prow's config.yaml, relative to --dir")
	flags.StringVar(&s.prowPlugins, "prow-plugins", "config/prow/plugins.yaml", "Prow's plugins.yaml, relative to --dir")
	_ = cmd.MarkPersistentFlagDirname("dir") // fails for unknown flags only
}

func run(cmd *cobra.Command, deps Deps, src source, out job.Output, all []part, named bool) error {
	if err := out.Check(); err != nil {
		return err
	}
	r, err := verify(cmd.Context(), deps, src, all, named)
	if err != nil {
		return err
	}
	title := strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	for _, note := range r.notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", title, note)
	}
	return out.Write(cmd, r.found, report.Options{Title: title})
}
