// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

const (
	gapsInJUnit = 1000
	// findingsInCase bounds the text of one case; more are counted.
	findingsInCase = 50
)

// testcase is a row of TestGrid. Texts are plain; writing escapes them.
type testcase struct {
	class, name string
	element     string // failure, error, skipped; empty for a row that passes
	kind        string // the attribute type
	message     string
	lines       []string
}

// writeJUnit writes one case for each rule and object, one for each part and gap of
// the coverage, and one that passes always, so that a clean run has a row.
func writeJUnit(w *bufio.Writer, s *sheet) error {
	pairs := s.pairs()
	coverage := s.coverageCases()
	var failures, skipped, errors int
	for _, p := range pairs {
		switch outcome(p) {
		case "failure":
			failures++
		case "skipped":
			skipped++
		}
	}
	for _, c := range coverage {
		if c.element == "error" {
			errors++
		}
	}
	counts := fmt.Sprintf(`tests="%d" failures="%d" errors="%d" skipped="%d"`, len(pairs)+len(coverage)+1, failures, errors, skipped)
	fmt.Fprintf(w, "%s<testsuites %s>\n<testsuite name=\"%s\" %s%s>\n", xml.Header, counts, attribute(s.Title), counts, s.suiteTimes())
	testcase{class: "summary", name: s.Title, lines: []string{s.summary()}}.write(w)
	for _, c := range coverage {
		c.write(w)
	}
	for _, p := range pairs {
		s.pairCase(p).write(w)
	}
	fmt.Fprint(w, "</testsuite>\n</testsuites>\n")
	return nil
}

func (s *sheet) suiteTimes() string {
	text := ""
	if !s.Started.IsZero() {
		text += fmt.Sprintf(` timestamp="%s"`, s.Started.UTC().Format("2006-01-02T15:04:05"))
		if d := s.Ended.Sub(s.Started); d > 0 && !s.Ended.IsZero() {
			text += fmt.Sprintf(` time="%.3f"`, d.Round(time.Millisecond).Seconds())
		}
	}
	return text
}

// pairs returns the findings of each rule and object, worst first.
func (s *sheet) pairs() [][]*Item {
	items := slices.Clone(s.items)
	slices.SortFunc(items, func(a, b *Item) int {
		return cmp.Or(strings.Compare(a.Rule, b.Rule), strings.Compare(a.Object, b.Object), worstFirst(a, b),
			strings.Compare(a.Field, b.Field), strings.Compare(a.Message, b.Message))
	})
	var all [][]*Item
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].Rule == items[0].Rule && items[n].Object == items[0].Object {
			n++
		}
		all = append(all, items[:n:n])
		items = items[n:]
	}
	return all
}

// outcome of a pair is that of its worst finding, which is the first.
func outcome(pair []*Item) string {
	switch {
	case pair[0].Acknowledged != nil:
		return "skipped"
	case pair[0].Severity >= finding.Warning:
		return "failure"
	}
	return ""
}

func (s *sheet) pairCase(pair []*Item) testcase {
	worst := pair[0]
	c := testcase{class: worst.Rule, name: worst.Object, element: outcome(pair), kind: worst.Severity.String(), message: worst.Message}
	if c.element == "skipped" {
		c.message = acknowledgement(worst.Acknowledged)
	}
	for n, i := range pair {
		if n == findingsInCase {
			c.lines = append(c.lines, fmt.Sprintf("and %d more", len(pair)-n))
			break
		}
		c.lines = append(c.lines, s.caseLines(i)...)
	}
	return c
}

func (s *sheet) caseLines(i *Item) []string {
	first := fmt.Sprintf("%s: %s: %s", i.Position(), i.Severity, i.Message)
	if i.Field != "" {
		first = fmt.Sprintf("%s: %s: %s: %s", i.Position(), i.Severity, i.Field, i.Message)
	}
	if age := s.age(i.Finding); age != "" {
		first += " (" + age + ")"
	}
	lines := []string{first}
	if difference(i.Finding) {
		lines = append(lines, "- declared: "+side(i.Declared), "+ observed: "+side(i.Observed))
	}
	if i.Fix != "" {
		lines = append(lines, "fix: "+i.Fix)
	}
	if i.Acknowledged != nil {
		lines = append(lines, acknowledgement(i.Acknowledged))
	}
	if len(i.Owners) > 0 {
		lines = append(lines, "owners: "+strings.Join(i.Owners, ", "))
	}
	return append(lines, "id: "+i.ID)
}

// coverageCases has a row for each part, which turns green again, and one for each gap.
func (s *sheet) coverageCases() []testcase {
	var all []testcase
	for _, c := range s.Coverage {
		row := testcase{class: "coverage", name: "coverage/" + c.Part, lines: []string{coverageWords(c)}}
		if !c.Complete() {
			row.element, row.kind, row.message = "error", "incomplete", coverageWords(c)
		}
		all = append(all, row)
	}
	seen := map[string]int{}
	gaps, rest := s.gaps(gapsInJUnit)
	for _, g := range gaps {
		line := strings.TrimSuffix(fmt.Sprintf("%s: %s", g.Reason, g.Detail), ": ")
		name := "coverage/" + g.Scope
		if at, ok := seen[g.part+"\x00"+name]; ok {
			all[at].lines = append(all[at].lines, line)
			continue
		}
		seen[g.part+"\x00"+name] = len(all)
		all = append(all, testcase{class: g.part, name: name, element: "error", kind: string(g.Reason), message: line, lines: []string{line}})
	}
	if rest > 0 {
		text := fmt.Sprintf("%d more gaps", rest)
		all = append(all, testcase{class: "coverage", name: "coverage/more", element: "error", kind: "incomplete", message: text, lines: []string{text}})
	}
	return all
}

func (c testcase) write(w *bufio.Writer) {
	fmt.Fprintf(w, `<testcase classname="%s" name="%s">`, attribute(c.class), attribute(c.name))
	element := c.element
	if element == "" {
		element = "system-out"
		w.WriteString("<system-out>")
	} else {
		fmt.Fprintf(w, `<%s type="%s" message="%s">`, element, attribute(c.kind), attribute(c.message))
	}
	for n, line := range c.lines {
		if n > 0 {
			w.WriteByte('\n')
		}
		w.WriteString(escapeXML(shown(line, proseLimit)))
	}
	fmt.Fprintf(w, "</%s></testcase>\n", element)
}

func attribute(s string) string { return escapeXML(shown(s, nameLimit)) }

// escapeXML escapes for XML, also what shown leaves and XML cannot hold.
func escapeXML(s string) string {
	if plainASCII(s) && !strings.ContainsAny(s, `<>&"'`) {
		return s
	}
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder does not fail
	return b.String()
}
