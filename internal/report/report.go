// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report shows findings: the only code that does, so that every command,
// comment and job artifact says the same thing in the same words.
//
// Private findings are reduced before any format sees them: a public output
// carries their id, severity and owners, never object, file or message.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
)

// SchemaVersion is raised when a field of the JSON form changes its meaning or goes.
const SchemaVersion = 1

// Options are the facts a report states beside its findings.
type Options struct {
	Title  string // for example "owners lint"
	Commit string // what was read; empty for a working tree
	Color  bool   // ANSI colours, in text only
}

// formats is the visible list; Formats names its keys for help and completion.
var formats = map[string]func(io.Writer, []finding.Finding, Options) error{
	"text":     writeText,
	"json":     writeJSON,
	"markdown": writeMarkdown,
}

// Formats lists what Write accepts, sorted.
func Formats() []string {
	names := make([]string, 0, len(formats))
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Known refuses a format that Write refuses.
func Known(format string) error {
	if _, ok := formats[format]; !ok {
		return fmt.Errorf("format %q is not one of %s", format, strings.Join(Formats(), ", "))
	}
	return nil
}

// Write renders all in the named format, sorted, without changing the argument.
// It fails on an unknown format, before anything is written, and on what w returns.
func Write(w io.Writer, format string, all []finding.Finding, opts Options) error {
	if err := Known(format); err != nil {
		return err
	}
	return formats[format](w, public(all), opts)
}

// public returns a sorted copy in which private findings keep nothing but id,
// rule, severity and owners.
func public(all []finding.Finding) []finding.Finding {
	shown := make([]finding.Finding, len(all))
	for i, f := range all {
		if f.Visibility == finding.Private {
			f = finding.Finding{
				Rule: f.Rule, Severity: f.Severity, Visibility: f.Visibility, Owners: f.Owners,
				Object:  "private:" + f.Fingerprint(),
				Message: "details are in the private report",
			}
		}
		shown[i] = f
	}
	finding.Sort(shown)
	return shown
}

type jsonFinding struct {
	ID string `json:"id"`
	finding.Finding
}

type jsonReport struct {
	Schema   int            `json:"schema"`
	Title    string         `json:"title"`
	Commit   string         `json:"commit,omitempty"`
	Counts   map[string]int `json:"counts"`
	Findings []jsonFinding  `json:"findings"`
}

func writeJSON(w io.Writer, all []finding.Finding, opts Options) error {
	out := jsonReport{
		Schema: SchemaVersion, Title: opts.Title, Commit: opts.Commit,
		Counts: map[string]int{}, Findings: []jsonFinding{},
	}
	for _, f := range all {
		out.Counts[f.Severity.String()]++
		out.Findings = append(out.Findings, jsonFinding{ID: f.Fingerprint(), Finding: f})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

var colors = map[finding.Severity]string{
	finding.Info: "\x1b[36m", finding.Warning: "\x1b[33m",
	finding.Error: "\x1b[31m", finding.Critical: "\x1b[1;31m",
}

// writeText groups by file, one line a finding with its fix below, and ends
// with the counts, so that the last line of a job's log is the result.
func writeText(w io.Writer, all []finding.Finding, opts Options) error {
	var b strings.Builder
	group := ""
	for _, f := range all {
		if at := fileOrObject(f); at != group {
			group = at
			fmt.Fprintf(&b, "%s\n", printable(at))
		}
		b.WriteString(textLine(f, opts.Color))
	}
	fmt.Fprintf(&b, "%s: %s\n", opts.Title, Counts(all))
	_, err := io.WriteString(w, b.String())
	return err
}

func textLine(f finding.Finding, color bool) string {
	severity := fmt.Sprintf("%-8s", f.Severity)
	if color {
		severity = colors[f.Severity] + severity + "\x1b[0m"
	}
	line := "    "
	if f.Line > 0 {
		line = fmt.Sprintf("%4d", f.Line)
	}
	text := fmt.Sprintf("  %s  %s  %s  %s\n", line, severity, f.Rule, printable(f.Message))
	if f.Fix != "" {
		text += fmt.Sprintf("        fix: %s\n", printable(f.Fix))
	}
	return text
}

func fileOrObject(f finding.Finding) string {
	if f.File != "" {
		return f.File
	}
	return f.Object
}

// printable keeps what others typed from driving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, s)
}

// Counts is the summary line: "3 errors, 1 warning" or "no findings".
func Counts(all []finding.Finding) string {
	var parts []string
	for s := finding.Critical; s >= finding.Info; s-- {
		n := finding.AtLeast(all, s) - finding.AtLeast(all, s+1)
		switch {
		case n == 1 || n > 0 && (s == finding.Info || s == finding.Critical):
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	if len(parts) == 0 {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

// writeMarkdown is a table for comments and issues.
func writeMarkdown(w io.Writer, all []finding.Finding, opts Options) error {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: %s\n", markdown.Text(opts.Title), Counts(all))
	if len(all) > 0 {
		b.WriteString("\n| where | what | rule |\n|---|---|---|\n")
	}
	for _, f := range all {
		what := fmt.Sprintf("%s: %s", f.Severity, markdown.Text(f.Message))
		if f.Fix != "" {
			what += "<br>" + "fix: " + markdown.Text(f.Fix)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", markdown.Cell(f.Position()), what, markdown.Text(f.Rule))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
