// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	_ "embed" // for the files below
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/web"
)

//go:embed report.html
var pageSource string

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

var page = template.Must(template.New("report").Parse(pageSource))

const (
	rowsInPage   = 2000
	groupsInPage = 200
	bytesOfRows  = 8 << 20
	gapsInPage   = 200
	choices      = 200 // of a filter
)

// writeHTML writes one page that needs nothing else. Its filters are style sheets, so
// they work without a script, which only adds the search.
func writeHTML(w *bufio.Writer, s *sheet) error {
	groups := s.groups()
	f := filtersOf(groups)
	// The rows come first, because only they tell what the page leaves out.
	rows, left, err := s.pageGroups(groups, f)
	if err != nil {
		return err
	}
	shell := web.Page{
		Title: printable(clip(s.Title, nameLimit)), Facts: s.facts(), Nav: s.nav(left),
		Footer: "Written by steward. The same findings are in the json form of this report, whole.",
		Style:  template.CSS(pageStyle + f.style()), Script: template.JS(pageScript),
	}
	return shell.Write(w, append(s.pageHead(f, left),
		func(w io.Writer) error { _, err := rows.WriteTo(w); return err },
		s.pageTail(left))...)
}

func (s *sheet) facts() []web.Fact {
	var facts []web.Fact
	if s.Commit != "" {
		facts = append(facts, web.Fact{Name: "commit", Value: short(s.Commit), Href: s.commitLink()})
	}
	if s.Links != "" {
		facts = append(facts, web.Fact{Name: "repository", Value: strings.TrimPrefix(strings.TrimPrefix(printable(s.Links), "https://"), "http://"), Href: s.Links})
	}
	if when := s.when(); when != "" {
		facts = append(facts, web.Fact{Name: "read", Value: when})
	}
	return facts
}

// short is enough of a commit id to find it.
func short(commit string) string {
	if commitID.MatchString(commit) {
		commit = commit[:min(len(commit), 12)]
	}
	return shown(commit, 60)
}

func (s *sheet) nav(left []leftOut) []web.Link {
	if len(s.items) == 0 {
		return nil
	}
	links := []web.Link{{Text: "Findings", Href: "#findings"}}
	if len(s.Coverage) > 0 {
		links = append(links, web.Link{Text: "What was read", Href: "#coverage"})
	}
	if len(left) > 0 {
		links = append(links, web.Link{Text: "What is not on this page", Href: "#left-out"})
	}
	return links
}

// filters maps what can be chosen to short names, which are safe in a style sheet.
type filters struct {
	Owners, Rules []choice
	owner, rule   map[string]string // to its name
	Tally         tally
}

type choice struct {
	ID, Label string
	Count     int
}

func filtersOf(groups []group) *filters {
	owners, rules := map[string]int{}, map[string]int{}
	f := &filters{}
	for _, g := range groups {
		for _, o := range g.owners {
			owners[o] += len(g.items)
		}
		for _, i := range g.items {
			rules[i.Rule]++
		}
		f.Tally.merge(g.tally)
	}
	f.Owners, f.owner = choicesOf("o", owners)
	f.Rules, f.rule = choicesOf("r", rules)
	return f
}

// choicesOf keeps those that most findings have, in order of their names.
func choicesOf(prefix string, counts map[string]int) ([]choice, map[string]string) {
	var all []choice
	for label, n := range counts {
		all = append(all, choice{Label: label, Count: n})
	}
	slices.SortFunc(all, func(a, b choice) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Label, b.Label)
	})
	all = all[:min(len(all), choices)]
	slices.SortFunc(all, func(a, b choice) int { return strings.Compare(a.Label, b.Label) })
	ids := map[string]string{}
	for n := range all {
		all[n].ID = prefix + strconv.Itoa(n)
		ids[all[n].Label] = all[n].ID
		all[n].Label = shown(all[n].Label, 60)
	}
	return all, ids
}

// kinds are what the first filter chooses among.
func kinds() []string { return []string{"critical", "error", "warning", "info", "acknowledged"} }

func (f *filters) count(kind string) int {
	if s, err := finding.ParseSeverity(kind); err == nil {
		return f.Tally.open[s]
	}
	return f.Tally.acknowledged
}

// Chips are the counts one can click.
func (f *filters) Chips() []choice {
	var chips []choice
	for _, kind := range kinds() {
		if n := f.count(kind); n > 0 {
			chips = append(chips, choice{ID: kind, Label: kind, Count: n})
		}
	}
	return chips
}

// Total is all of them.
func (f *filters) Total() int {
	n := 0
	for _, kind := range kinds() {
		n += f.count(kind)
	}
	return n
}

// style hides what is not chosen.
func (f *filters) style() string {
	var b strings.Builder
	for _, kind := range kinds() {
		on := fmt.Sprintf("body:has(#k-%s:checked)", kind)
		fmt.Fprintf(&b, "%s tr.f:not(.k-%s),%s .group:not(.k-%s){display:none}\n", on, kind, on, kind)
	}
	for _, o := range f.Owners {
		fmt.Fprintf(&b, "body:has(#owner option[value=%s]:checked) .group:not(.%s){display:none}\n", o.ID, o.ID)
	}
	for _, r := range f.Rules {
		on := fmt.Sprintf("body:has(#rule option[value=%s]:checked)", r.ID)
		fmt.Fprintf(&b, "%s tr.f:not(.%s),%s .group:not(:has(.%s)){display:none}\n", on, r.ID, on, r.ID)
	}
	return b.String()
}

// leftOut is what the page does not show of a set of owners.
type leftOut struct {
	owners string
	tally  tally
}

// pageGroups renders the groups within the bounds.
func (s *sheet) pageGroups(groups []group, f *filters) (*bytes.Buffer, []leftOut, error) {
	first := groups[:min(len(groups), groupsInPage)]
	needs := make([]int, len(first))
	for n, g := range first {
		needs[n] = len(g.items)
	}
	columns := s.columns()
	buf := new(bytes.Buffer)
	var left []leftOut
	anchors := map[string]bool{}
	for n, share := range allot(needs, rowsInPage) {
		p := pageGroup{sheet: s, group: first[n], columns: columns, filters: f, anchors: anchors}
		rest, err := p.render(buf, share)
		if err != nil {
			return nil, nil, err
		}
		if len(rest) > 0 {
			left = append(left, leftOut{ownerNames(first[n].owners), tallyOf(rest)})
		}
	}
	for _, g := range groups[len(first):] {
		left = append(left, leftOut{ownerNames(g.owners), g.tally})
	}
	return buf, left, nil
}

func ownerNames(owners []string) string {
	if len(owners) == 0 {
		return "nobody in OWNERS"
	}
	if rest := len(owners) - ownersInHeading; rest > 0 {
		owners = append(slices.Clone(owners[:ownersInHeading]), fmt.Sprintf("%d more", rest))
	}
	return shown(strings.Join(owners, ", "), nameLimit)
}

// columns says which columns have something in any row.
type columns struct{ Difference, Age bool }

func (s *sheet) columns() columns {
	var c columns
	for _, i := range s.items {
		c.Difference = c.Difference || difference(i.Finding)
		c.Age = c.Age || s.age(i.Finding) != ""
	}
	return c
}

type pageGroup struct {
	*sheet
	group   group
	columns columns
	filters *filters
	anchors map[string]bool // ids that the page has
}

// render writes at most share rows, fewer where the page gets too long, and returns
// the items it left out.
func (p pageGroup) render(buf *bytes.Buffer, share int) (rest []*Item, err error) {
	head := struct {
		Classes, Owners, Counts string
		Columns                 columns
	}{p.classes(), ownerNames(p.group.owners), p.group.tally.String(), p.columns}
	if err := page.ExecuteTemplate(buf, "group", head); err != nil {
		return nil, err
	}
	for n, chosen := range choose(p.group.items, share) {
		if !chosen || buf.Len() >= bytesOfRows {
			rest = append(rest, p.group.items[n])
			continue
		}
		if err := page.ExecuteTemplate(buf, "row", p.row(p.group.items[n])); err != nil {
			return nil, err
		}
	}
	more := ""
	if len(rest) > 0 {
		left := tallyOf(rest)
		more = fmt.Sprintf("And %d more that are not on this page: %s.", len(rest), left.String())
	}
	return rest, page.ExecuteTemplate(buf, "group end", more)
}

// choose takes the worst, and a few of every other kind, so that no filter leads to an
// empty page.
func choose(items []*Item, most int) []bool {
	chosen := make([]bool, len(items))
	left := most
	take := func(n int) {
		if !chosen[n] && left > 0 {
			chosen[n], left = true, left-1
		}
	}
	taken := map[string]int{}
	for n, i := range items {
		if kind := kindOf(i); taken[kind] < most/10 {
			taken[kind]++
			take(n)
		}
	}
	for n := range items {
		take(n)
	}
	return chosen
}

// kindOf is the severity, or that it is acknowledged.
func kindOf(i *Item) string {
	if i.Acknowledged != nil {
		return "acknowledged"
	}
	return i.Severity.String()
}

// classes are what the filters look at.
func (p pageGroup) classes() string {
	names := []string{"group"}
	for s, n := range p.group.tally.open {
		if n > 0 {
			names = append(names, "k-"+finding.Severity(s).String())
		}
	}
	if p.group.tally.acknowledged > 0 {
		names = append(names, "k-acknowledged")
	}
	for _, o := range p.group.owners {
		if id := p.filters.owner[o]; id != "" {
			names = append(names, id)
		}
	}
	return strings.Join(names, " ")
}

// pageRow is a finding, cut and made printable.
type pageRow struct {
	Anchor, Classes              string
	Severity, Rule, ID, PublicID string
	Object, Field, Message, Fix  string
	Declared, Observed           string
	Where                        []string // the parts of a path, between which a line may break
	Href, Age, Acknowledged      string
	Reduced                      bool // the object says the id
	Columns                      columns
}

func (p pageGroup) row(i *Item) pageRow {
	r := pageRow{
		Severity: i.Severity.String(), Rule: shown(i.Rule, nameLimit), ID: i.ID, PublicID: i.PublicID,
		Object: shown(i.Object, nameLimit), Field: shown(i.Field, nameLimit),
		Message: shown(i.Message, proseLimit), Fix: shown(i.Fix, proseLimit),
		Href: p.link(i.Finding), Age: strings.TrimPrefix(p.age(i.Finding), "since "), Columns: p.columns, Reduced: isReduced(i.Finding),
	}
	if i.File != "" {
		r.Where = strings.Split(shown(i.Position(), nameLimit), "/")
	}
	if difference(i.Finding) {
		r.Declared, r.Observed = shown(side(i.Declared), valueLimit), shown(side(i.Observed), valueLimit)
	}
	if i.Acknowledged != nil {
		r.Acknowledged = shown(acknowledgement(i.Acknowledged), valueLimit)
	}
	r.Classes = "f k-" + kindOf(i) + " " + p.filters.rule[i.Rule]
	if !p.anchors[i.ID] {
		p.anchors[i.ID] = true
		r.Anchor = i.ID
	}
	return r
}
