// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
)

const (
	foldRows        = 10 // a longer table of a report with several groups is folded
	groupsShown     = 40
	gapsInMarkdown  = 20
	ownersInHeading = 10
	// What the notes on left out rows take, at most.
	groupNote, lastNote = 120, 700
)

// writeMarkdown writes tables for comments and issues, one for each set of owners,
// worst first. It keeps to the limit of a comment: each group loses rows before one
// is left out, and all that is left out is counted.
func writeMarkdown(w *bufio.Writer, s *sheet) error {
	limit := s.Limit
	if limit <= 0 {
		limit = markdown.Limit
	}
	groups := s.groups()
	head, tail := s.markdownHead(), s.markdownGaps()
	first := groups[:min(len(groups), groupsShown)]
	body := s.markdownGroups(first, limit-length(head)-length(tail)-lastNote)
	note := ""
	if rest := groups[len(first):]; len(rest) > 0 {
		left := tallyOf(nil)
		for _, g := range rest {
			left.merge(g.tally)
		}
		note = fmt.Sprintf("\nNot shown: %s of %s.\n", left.String(), Number(len(rest), "more set")+" of owners")
	}
	if s.Full != "" {
		note += fmt.Sprintf("\n[The whole report](%s)\n", fullLink(s.Full))
	}
	_, err := w.WriteString(markdown.Clip(head+body+tail+note, limit, "\n\nThe rest does not fit.\n"))
	return err
}

func length(s string) int { return utf8.RuneCountInString(s) }

// fullLink is an address that check let pass, without what would end it.
func fullLink(s string) string {
	return strings.NewReplacer("(", "%28", ")", "%29", "<", "%3C", ">", "%3E", " ", "%20", "\\", "%5C", "|", "%7C").Replace(printable(s))
}

func (s *sheet) markdownHead() string {
	head := fmt.Sprintf("**%s**: %s\n", markdown.Text(clip(s.Title, nameLimit)), s.summary())
	if s.private {
		head = "**" + privateWarning + "**\n\n" + head
	}
	if unread := s.unread(); unread != "" {
		head += "\n**Incomplete.** What was not read is neither there nor missing.\n"
	}
	if when := s.when(); when != "" {
		head += "\nRead " + when
		if s.Commit != "" {
			head += ", commit " + linked(markdown.Code(clip(s.Commit, nameLimit)), s.commitLink())
		}
		head += ".\n"
	}
	return head
}

// markdownTable is a group while it is cut to its share.
type markdownTable struct {
	heading string
	rows    []string
	group   group
}

func (s *sheet) markdownGroups(groups []group, budget int) string {
	headed := len(groups) > 1 || len(groups) == 1 && len(groups[0].owners) > 0
	tables, needs := make([]markdownTable, len(groups)), make([]int, len(groups))
	for n, g := range groups {
		tables[n] = s.markdownTable(g, headed, budget)
		needs[n] = length(tables[n].heading) + tableFrame + groupNote
		for _, r := range tables[n].rows {
			needs[n] += length(r)
		}
	}
	var b strings.Builder
	for n, share := range allot(needs, budget) {
		b.WriteString(tables[n].cut(share, headed))
	}
	return b.String()
}

const (
	tableHead  = "\n| where | what | rule |\n|---|---|---|\n"
	tableFrame = 150 // tableHead and the marks of a folded table
)

func (s *sheet) markdownTable(g group, headed bool, budget int) markdownTable {
	t := markdownTable{group: g}
	if headed {
		t.heading = "\n### nobody in OWNERS\n"
		if len(g.owners) > 0 {
			t.heading = "\n### " + markdown.Logins(clipAll(g.owners), ownersInHeading) + "\n"
		}
	}
	size := 0
	for _, i := range g.items {
		row := s.markdownRow(i)
		t.rows = append(t.rows, row)
		if size += length(row); size > budget {
			break // no share is larger
		}
	}
	return t
}

func clipAll(logins []string) []string {
	cut := make([]string, len(logins))
	for i, l := range logins {
		cut[i] = clip(l, 60)
	}
	return cut
}

// cut renders as many rows as fit, and counts the rest.
func (t markdownTable) cut(share int, headed bool) string {
	room := share - length(t.heading) - tableFrame - groupNote
	n := 0
	for n < len(t.rows) && room >= length(t.rows[n]) {
		room -= length(t.rows[n])
		n++
	}
	table := ""
	if n > 0 {
		table = tableHead + strings.Join(t.rows[:n], "")
	}
	if rest := t.group.items[n:]; len(rest) > 0 {
		left := tallyOf(rest)
		table += fmt.Sprintf("\nAnd %d more: %s.\n", len(rest), left.String())
	}
	if headed && n > foldRows {
		table = fmt.Sprintf("<details><summary>%s</summary>\n%s\n</details>\n", t.group.tally.String(), table)
	}
	return t.heading + table
}

func (s *sheet) markdownRow(i *Item) string {
	where := linked(markdown.Cell(clip(i.Position(), nameLimit)), s.link(i.Finding))
	if i.PublicID != "" {
		where += "<br>" + privatePrefix + i.PublicID
	}
	what := ""
	if s.named(i.Finding) || i.Field != "" {
		what = markdown.Cell(clip(part(i.Finding), nameLimit)) + "<br>"
	}
	what += fmt.Sprintf("%s: %s", i.Severity, markdown.Text(clip(i.Message, proseLimit)))
	if age := s.age(i.Finding); age != "" && i.Acknowledged == nil {
		what += " (" + age + ")"
	}
	if difference(i.Finding) {
		what += fmt.Sprintf("<br>declared %s, observed %s", value(i.Declared), value(i.Observed))
	}
	if i.Acknowledged != nil {
		what += "<br>" + markdown.Text(clip(acknowledgement(i.Acknowledged), valueLimit))
	} else if i.Fix != "" {
		what += "<br>" + "fix: " + markdown.Text(clip(i.Fix, proseLimit))
	}
	rule := markdown.Text(clip(i.Rule, nameLimit))
	if s.named(i.Finding) && i.Acknowledged == nil {
		rule += "<br>" + markdown.Code(i.ID) // what people type to acknowledge it
	}
	return fmt.Sprintf("| %s | %s | %s |\n", where, what, rule)
}

func value(s string) string {
	if s == "" {
		return "nothing"
	}
	return markdown.Cell(clip(s, valueLimit))
}

// linked is text that was escaped, as a link where there is an address.
func linked(text, address string) string {
	if address == "" {
		return text
	}
	return "[" + text + "](" + fullLink(address) + ")"
}

func (s *sheet) markdownGaps() string {
	if finding.Complete(s.Coverage) {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### Not read\n\n")
	for n, c := range s.Coverage {
		if n == gapsInMarkdown {
			fmt.Fprintf(&b, "- and %d more parts\n", len(s.Coverage)-n)
			break
		}
		if !c.Complete() {
			fmt.Fprintf(&b, "- %s %s\n", markdown.Code(clip(c.Part, nameLimit)), amount(c))
		}
	}
	gaps, rest := s.gaps(gapsInMarkdown)
	for _, g := range gaps {
		fmt.Fprintf(&b, "- %s %s: %s", markdown.Code(clip(g.part, nameLimit)), markdown.Code(clip(g.Scope, nameLimit)), markdown.Text(clip(string(g.Reason), nameLimit)))
		if g.Detail != "" {
			fmt.Fprintf(&b, ", %s", markdown.Text(clip(g.Detail, valueLimit)))
		}
		b.WriteByte('\n')
	}
	if rest > 0 {
		fmt.Fprintf(&b, "- and %d more\n", rest)
	}
	return b.String()
}
