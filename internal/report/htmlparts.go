// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"time"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/web"
)

// pageHead is what stands above the findings: what is missing first.
func (s *sheet) pageHead(f *filters, left []leftOut) []web.Block {
	var blocks []web.Block
	if s.private {
		blocks = append(blocks, web.Template(page, "private", privateWarning))
	}
	if len(s.Coverage) > 0 {
		blocks = append(blocks, s.pageCoverage())
	}
	if len(s.items) == 0 {
		return append(blocks, web.Template(page, "clean", s.unread()))
	}
	blocks = append(blocks, web.Template(page, "overview", nil), web.Template(page, "chips", f))
	blocks = append(blocks, s.plots(f)...)
	return append(blocks, web.Template(page, "filters", struct {
		*filters
		Left string
	}{f, leftWords(left)}))
}

func leftWords(left []leftOut) string {
	if len(left) == 0 {
		return ""
	}
	var sum tally
	for _, l := range left {
		sum.merge(l.tally)
	}
	return sum.String()
}

// pageCoverage cannot be overlooked where something is missing, and is one line where
// nothing is.
func (s *sheet) pageCoverage() web.Block {
	type partRow struct{ Words, Class string }
	type gapRow struct{ Part, Scope, Reason, Detail string }
	box := struct {
		Unread string
		Parts  []partRow
		Gaps   []gapRow
		Rest   int
		Open   bool
	}{Unread: s.unread()}
	for _, c := range s.Coverage {
		row := partRow{Words: shown(coverageWords(c), nameLimit)}
		if !c.Complete() {
			row.Class = "lacks"
		}
		box.Parts = append(box.Parts, row)
	}
	gaps, rest := s.gaps(gapsInPage)
	for _, g := range gaps {
		box.Gaps = append(box.Gaps, gapRow{
			shown(g.part, nameLimit), shown(g.Scope, nameLimit), shown(string(g.Reason), nameLimit), shown(g.Detail, valueLimit),
		})
	}
	box.Rest, box.Open = rest, len(gaps) <= 8
	return web.Template(page, "coverage", box)
}

// plots show since when the findings are there, or where that is not known, how many
// there are of each severity.
func (s *sheet) plots(f *filters) []web.Block {
	ages, days := s.ageBars()
	if ages == nil {
		var bars []web.Bar
		for severity := finding.Critical; severity >= finding.Info; severity-- {
			if n, kind := f.Tally.open[severity], severity.String(); n > 0 {
				bars = append(bars, web.Bar{Label: kind, Parts: []web.Part{{Kind: kind, Value: n}}})
			}
		}
		return []web.Block{web.Template(page, "plot", nil), web.Bars("Findings by severity", bars), web.Template(page, "overview end", nil)}
	}
	sum := 0
	for _, n := range days {
		sum += n
	}
	alt := fmt.Sprintf("%s first seen in these days, %d today.", Number(sum, "finding"), days[len(days)-1])
	return []web.Block{
		web.Template(page, "plot", nil), web.Bars("Findings by age", ages),
		web.Template(page, "plot", nil), web.Sparkline(fmt.Sprintf("First seen, last %d days", len(days)), days, alt),
		web.Template(page, "overview end", nil),
	}
}

const sparkDays = 30

// ageBars counts the findings that nobody acknowledged by age and severity, and
// those of each of the last days. It is nil where ages are not known.
func (s *sheet) ageBars() (bars []web.Bar, days []int) {
	ages := []struct {
		label string
		below int // days
	}{{"today", 1}, {"this week", 7}, {"this month", 30}, {"this quarter", 91}, {"this year", 365}, {"longer", 1 << 62}}
	counts := make([][finding.Critical + 1]int, len(ages))
	days = make([]int, sparkDays)
	known := false
	for _, i := range s.items {
		age, ok := s.days(i.Finding)
		if !ok || i.Acknowledged != nil || i.Severity < finding.Info || i.Severity > finding.Critical {
			continue
		}
		known = true
		n := 0
		for age >= ages[n].below {
			n++
		}
		counts[n][i.Severity]++
		if age < sparkDays {
			days[sparkDays-1-age]++
		}
	}
	if !known {
		return nil, nil
	}
	for n, a := range ages {
		bar := web.Bar{Label: a.label}
		for severity := finding.Critical; severity >= finding.Info; severity-- {
			bar.Parts = append(bar.Parts, web.Part{Kind: severity.String(), Value: counts[n][severity]})
		}
		bars = append(bars, bar)
	}
	return bars, days
}

// pageTail says what is not on the page.
func (s *sheet) pageTail(left []leftOut) web.Block {
	if len(left) == 0 {
		return func(io.Writer) error { return nil }
	}
	rows := make([][]web.Cell, 0, len(left))
	rest := tally{}
	for n, l := range left {
		if n < groupsInPage {
			rows = append(rows, []web.Cell{{Text: l.owners}, {Text: l.tally.String()}})
			continue
		}
		rest.merge(l.tally)
	}
	if len(left) > groupsInPage {
		rows = append(rows, []web.Cell{{Text: Number(len(left)-groupsInPage, "more set") + " of owners"}, {Text: rest.String()}})
	}
	return web.Section("left-out", "What is not on this page",
		web.Prose("A page of everything would be too long to read. Of each set of owners the worst findings are above, and some of each severity. These are besides; the json form of the report has them all."),
		web.Table("Findings left out", []string{"owners", "findings"}, rows))
}

// when is the time of a run, with its length where that is known.
func (o Options) when() string {
	switch {
	case o.Started.IsZero() && o.Ended.IsZero():
		return ""
	case o.Started.IsZero():
		return o.Ended.UTC().Format(timeForm)
	case o.Ended.IsZero():
		return o.Started.UTC().Format(timeForm)
	}
	return fmt.Sprintf("%s, in %s", o.Started.UTC().Format(timeForm), o.Ended.Sub(o.Started).Round(time.Second))
}

const timeForm = "2006-01-02 15:04 UTC"
