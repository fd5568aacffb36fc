// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"fmt"

	"sigs.k8s.io/steward/internal/finding"
)

var colors = map[finding.Severity]string{
	finding.Info: "\x1b[36m", finding.Warning: "\x1b[33m",
	finding.Error: "\x1b[31m", finding.Critical: "\x1b[1;31m",
}

const (
	red, green, yellow = "\x1b[31m", "\x1b[32m", "\x1b[33m"
	dim, plain         = "\x1b[2m", "\x1b[0m"
)

// gapsInText bounds a list that a job without any right would fill.
const gapsInText = 20

// writeText groups by file, one line a finding with its details below, what is
// acknowledged at the end of its group, and ends with the counts, so that the last
// line of a job's log is the result.
func writeText(w *bufio.Writer, s *sheet) error {
	if s.private {
		fmt.Fprintln(w, privateWarning)
	}
	for rest := s.items; len(rest) > 0; {
		n := 1
		for n < len(rest) && fileOrObject(rest[n].Finding) == fileOrObject(rest[0].Finding) {
			n++
		}
		s.textGroup(w, rest[:n])
		rest = rest[n:]
	}
	s.textCoverage(w)
	fmt.Fprintf(w, "%s: %s\n", shown(s.Title, nameLimit), s.summary())
	return nil
}

func fileOrObject(f finding.Finding) string {
	if f.File != "" {
		return f.File
	}
	return f.Object
}

func (s *sheet) textGroup(w *bufio.Writer, items []*Item) {
	fmt.Fprintf(w, "%s\n", shown(fileOrObject(items[0].Finding), proseLimit))
	for _, i := range items {
		if i.Acknowledged == nil {
			s.textItem(w, i)
		}
	}
	for _, i := range items {
		if i.Acknowledged != nil {
			line := fmt.Sprintf("  %s  %-8s  %s  %s (%s)", lineOf(i.Finding), i.Severity, shown(i.Rule, nameLimit),
				shown(i.Message, proseLimit), shown(acknowledgement(i.Acknowledged), valueLimit))
			fmt.Fprintln(w, s.paint(dim, line))
		}
	}
}

func (s *sheet) textItem(w *bufio.Writer, i *Item) {
	age := s.age(i.Finding)
	if age != "" {
		age = s.paint(dim, "  ("+age+")")
	}
	severity := s.paint(colors[i.Severity], fmt.Sprintf("%-8s", i.Severity))
	message := shown(i.Message, proseLimit)
	if isReduced(i.Finding) && len(i.Owners) > 0 {
		message += ", ask " + ownerNames(i.Owners)
	}
	fmt.Fprintf(w, "  %s  %s  %s  %s%s\n", lineOf(i.Finding), severity, shown(i.Rule, nameLimit), message, age)
	if i.PublicID != "" {
		fmt.Fprintf(w, "        %s%s in the public report\n", privatePrefix, i.PublicID)
	}
	if s.named(i.Finding) || i.Field != "" {
		fmt.Fprintf(w, "        %s  %s\n", shown(part(i.Finding), nameLimit), s.paint(dim, i.ID))
	}
	if difference(i.Finding) {
		fmt.Fprintln(w, s.paint(red, "        - declared: "+shown(side(i.Declared), valueLimit)))
		fmt.Fprintln(w, s.paint(green, "        + observed: "+shown(side(i.Observed), valueLimit)))
	}
	if i.Fix != "" {
		fmt.Fprintf(w, "        fix: %s\n", shown(i.Fix, proseLimit))
	}
}

func lineOf(f finding.Finding) string {
	if f.Line > 0 {
		return fmt.Sprintf("%4d", f.Line)
	}
	return "    "
}

func (s *sheet) paint(color, text string) string {
	if !s.Color || color == "" {
		return text
	}
	return color + text + plain
}

func (s *sheet) textCoverage(w *bufio.Writer) {
	for i, c := range s.Coverage {
		sep := "; "
		if i == 0 {
			sep = "coverage: "
		}
		fmt.Fprintf(w, "%s%s", sep, shown(coverageWords(c), nameLimit))
	}
	if len(s.Coverage) > 0 {
		fmt.Fprintln(w)
	}
	gaps, rest := s.gaps(gapsInText)
	for _, g := range gaps {
		line := fmt.Sprintf("  not read: %s %s (%s)", shown(g.part, nameLimit), shown(g.Scope, nameLimit), shown(string(g.Reason), nameLimit))
		if g.Detail != "" {
			line += ": " + shown(g.Detail, valueLimit)
		}
		fmt.Fprintln(w, s.paint(yellow, line))
	}
	if rest > 0 {
		fmt.Fprintln(w, s.paint(yellow, fmt.Sprintf("  and %d more", rest)))
	}
}

const privateWarning = "Private: for the owners only, do not publish."
