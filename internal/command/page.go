// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	_ "embed" // the fixed head of docs/commands.md
	"fmt"
	"strings"
	"text/template"
	"time"
)

// Family is the rows of one plugin, as help and documentation group them.
type Family struct {
	Name     string // of the plugin
	Summary  string
	Contexts []string
	Rows     []Row
}

// How many comments with commands are answered on one thread, and how many of
// them by one person (rule C-13).
const (
	MaxComments = 300
	MaxByOne    = 50
)

//go:embed rules.md
var rules string

// Page is docs/commands.md: the rules, then every row. It depends on nothing but
// its argument, so that a test can compare it with the file.
func Page(families []Family) (string, error) {
	head, err := template.New("rules.md").Parse(rules)
	if err != nil {
		return "", fmt.Errorf("parse rules.md: %w", err)
	}
	var b strings.Builder
	bounds := map[string]any{
		"MaxLine": MaxLine, "MaxLines": MaxLines, "MaxBody": MaxBody, "MaxRows": maxRows, "MaxBrackets": maxBrackets,
		"MaxNesting": maxNesting, "MaxComments": MaxComments, "MaxByOne": MaxByOne, "Freshness": hours(Freshness),
	}
	if err := head.Execute(&b, bounds); err != nil {
		return "", fmt.Errorf("render rules.md: %w", err)
	}
	for _, f := range families {
		pageFamily(&b, f)
	}
	return b.String(), nil
}

func hours(d time.Duration) string { return fmt.Sprintf("%d hours", int(d.Hours())) }

func pageFamily(b *strings.Builder, f Family) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n", f.Name, f.Summary)
	for _, c := range f.Contexts {
		fmt.Fprintf(b, "\nSets the commit status `%s` on every open pull request.\n", c)
	}
	for _, r := range f.Rows {
		fmt.Fprintf(b, "\n### %s\n\n`%s`\n\n%s\n\n%s", r.Verb, r.Usage(), r.Help, facts(r))
		pageExamples(b, r.Examples)
	}
}

// facts are the three things to know before typing a command.
func facts(r Row) string {
	text := fmt.Sprintf("- Works on: %s\n- Who: %s\n", r.Where, r.Who)
	if r.Acts {
		text += fmt.Sprintf("- Expires: %s after it was posted\n", hours(Freshness))
	}
	return text
}

// pageExamples shows a command and, indented, what its answer contains.
func pageExamples(b *strings.Builder, examples []Example) {
	b.WriteString("\n```\n")
	for _, e := range examples {
		fmt.Fprintf(b, "%s\n    … %s …\n", e.Line, strings.TrimSuffix(e.Reply, "…"))
	}
	b.WriteString("```\n")
}
