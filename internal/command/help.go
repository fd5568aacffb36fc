// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

// Topic is that of what belongs to no plugin: help, unknown verbs, limits.
const Topic = "infra"

// Help is the row that every repository has: it lists the rows of the families,
// or explains one of them.
func Help(families []Family, aliases map[string]string) Row {
	return Row{
		Verb:  "help",
		Args:  "[verb…]",
		Where: thread.OpenPull | thread.MergedPull | thread.OpenIssue,
		Who:   Anyone(),
		Help:  "Lists the commands of this repository, or explains one of them.",
		Examples: []Example{
			{Line: "/infra help", Reply: "`/infra help [verb…]`: Lists the commands"},
			{Line: "/infra help hepl", Reply: "There is no command `hepl`. Did you mean `/infra help`?"},
		},
		Run: Pure(func(_ *thread.Snapshot, c Call, _ time.Time) Reply {
			if len(c.Args) == 0 {
				return Reply{Text: list(families, aliases)}
			}
			rows := rowsOf(families)
			asked := Line{Verb: strings.TrimPrefix(lowerASCII(c.Args[0]), "/"), Args: c.Args[1:]}
			asked = asked.Split(func(verb string) bool { return place(rows, verb) >= 0 })
			if i := place(rows, asked.Verb); i >= 0 {
				return Reply{Text: explain(rows[i], aliases)}
			}
			return Reply{Text: Unknown(asked.Verb, families)}
		}),
	}
}

func place(rows []Row, verb string) int {
	return slices.IndexFunc(rows, func(r Row) bool { return r.Verb == verb })
}

// Unknown answers a verb that no row has.
func Unknown(verb string, families []Family) string {
	var verbs []string
	for _, r := range rowsOf(families) {
		verbs = append(verbs, r.Verb)
	}
	text := fmt.Sprintf("There is no command %s.", markdown.Code(clip(verb)))
	if near := spell.Nearest(verb, verbs); near != "" {
		text += fmt.Sprintf(" Did you mean `%s %s`?", Prefix, near)
	}
	return text + fmt.Sprintf(" `%s help` lists the commands.", Prefix)
}

func rowsOf(families []Family) []Row {
	var rows []Row
	for _, f := range families {
		rows = append(rows, f.Rows...)
	}
	return rows
}

func list(families []Family, aliases map[string]string) string {
	var b strings.Builder
	b.WriteString("The commands of this repository:\n\n")
	for _, r := range rowsOf(families) {
		fmt.Fprintf(&b, "- %s: %s\n", usages(r, aliases), r.Help)
	}
	fmt.Fprintf(&b, "\n`%s help VERB` tells who may use a command, and where.", Prefix)
	return b.String()
}

func explain(r Row, aliases map[string]string) string {
	text := fmt.Sprintf("%s: %s\n\n%s", usages(r, aliases), r.Help, facts(r))
	for _, e := range r.Examples {
		text += fmt.Sprintf("- Example: `%s`\n", e.Line)
	}
	return strings.TrimSpace(text)
}

// usages is the canonical form, then the short one of the repository.
func usages(r Row, aliases map[string]string) string {
	text := markdown.Code(r.Usage())
	if short := r.Short(aliases); short != "" {
		text += " or " + markdown.Code(strings.TrimSpace(short+" "+r.Args))
	}
	return text
}

// Short is the short form of the row's verb in a repository, or "". A short form of
// the first of two words is one of both.
func (r Row) Short(aliases map[string]string) string {
	first, second, two := strings.Cut(r.Verb, " ")
	short := ""
	for alias, verb := range aliases { // CheckAliases allows one per verb
		switch {
		case verb == r.Verb:
			return "/" + alias
		case two && verb == first:
			short = "/" + alias + " " + second
		}
	}
	return short
}
