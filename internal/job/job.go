// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package job is what the commands of all jobs and checks have in common: the
// flags by which findings are shown, the line that says how far a run is, and the
// exit codes.
package job

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/spell"
)

// The exit codes. Where several apply, 1 beats 3 beats 2.
const (
	Failed     = 1 // an error, usage included
	Found      = 2 // a check found something at or above --fail-on, or "why" says no
	Incomplete = 3 // a brake held, or a part of the targets failed
)

// Exit is an error that ends the program with a code of its own; the output has
// told why.
type Exit struct {
	Code    int
	Message string
}

// Error is the last line on standard error.
func (e *Exit) Error() string { return e.Message }

// Code is the exit code for what a command returned. It looks for *Exit and not
// for a method, because *exec.ExitError of a program that was run has one too.
func Code(err error) int {
	var exit *Exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.Code
	}
	return Failed
}

// Group makes a command that only holds others: alone it shows its help, and a
// word it does not know is an error with the nearest one it does.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var verbs []string
		for _, c := range cmd.Commands() {
			verbs = append(verbs, c.Name())
		}
		text := fmt.Sprintf("%s has no %q, only %s", cmd.CommandPath(), args[0], strings.Join(verbs, ", "))
		if near := spell.Nearest(args[0], verbs); near != "" {
			text += "; did you mean " + near + "?"
		}
		return errors.New(text)
	}
	return cmd
}

// Output is how a check shows its findings.
type Output struct {
	failOn, format string
}

// Register adds --fail-on and --output to a command and the commands below it.
func (o *Output) Register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.failOn, "fail-on", finding.Error.String(), "least severity that fails: "+strings.Join(finding.SeverityNames(), ", "))
	flags.StringVarP(&o.format, "output", "o", "text", "format: "+strings.Join(report.Formats(), ", "))
	// These fail for unknown flags only.
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions(finding.SeverityNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(report.Formats(), cobra.ShellCompDirectiveNoFileComp))
}

// Check refuses values of the flags before any work is done.
func (o *Output) Check() error {
	if _, err := finding.ParseSeverity(o.failOn); err != nil {
		return fmt.Errorf("flag --fail-on: %w", err)
	}
	return report.Known(o.format)
}

// Text tells that people read the output, and a table above the findings is welcome.
func (o *Output) Text() bool { return o.format == "text" }

// Write shows the findings, in colour on a terminal, and returns an *Exit where
// some are at or above --fail-on.
func (o *Output) Write(cmd *cobra.Command, all []finding.Finding, opts report.Options) error {
	least, err := finding.ParseSeverity(o.failOn)
	if err != nil {
		return fmt.Errorf("flag --fail-on: %w", err)
	}
	opts.Color = Terminal(cmd.OutOrStdout()) && os.Getenv("NO_COLOR") == ""
	if err := report.Write(cmd.OutOrStdout(), o.format, all, opts); err != nil {
		return err
	}
	if n := finding.AtLeast(all, least); n > 0 {
		return &Exit{Found, fmt.Sprintf("%s: %d at or above %s", opts.Title, n, least)}
	}
	return nil
}

// Terminal tells whether w is one that a person looks at.
func Terminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
