// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/finding"
)

// Counts is the summary line: "3 errors, 1 warning", "no findings, 2 acknowledged".
func Counts(all []finding.Finding) string {
	var t tally
	for _, f := range all {
		t.add(f)
	}
	return t.String()
}

// tally counts findings that nobody acknowledged by severity, and the others.
type tally struct {
	open         [finding.Critical + 1]int
	acknowledged int
}

func (t *tally) add(f finding.Finding) {
	switch {
	case f.Acknowledged != nil:
		t.acknowledged++
	case f.Severity >= finding.Info && f.Severity <= finding.Critical:
		t.open[f.Severity]++
	}
}

func (t *tally) merge(other tally) {
	for s, n := range other.open {
		t.open[s] += n
	}
	t.acknowledged += other.acknowledged
}

func (t *tally) String() string {
	var parts []string
	for s := finding.Critical; s >= finding.Info; s-- {
		switch n := t.open[s]; {
		case n == 1 || n > 0 && (s == finding.Info || s == finding.Critical):
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", n, s))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "no findings")
	}
	if t.acknowledged > 0 {
		parts = append(parts, fmt.Sprintf("%d acknowledged", t.acknowledged))
	}
	return strings.Join(parts, ", ")
}

func tallyOf(items []*Item) (t tally) {
	for _, i := range items {
		t.add(i.Finding)
	}
	return t
}

// summary is Counts and, where something was not read, that: "no findings" alone
// would be a lie.
func (s *sheet) summary() string {
	t := tallyOf(s.items)
	text := t.String()
	if unread := s.unread(); unread != "" {
		text += "; incomplete: " + unread
	}
	return text
}

// unread is "2 of 120 units were not read whole", or nothing.
func (s *sheet) unread() string {
	if finding.Complete(s.Coverage) {
		return ""
	}
	units, read, gaps := 0, 0, 0
	for _, c := range s.Coverage {
		units, read, gaps = units+c.Units, read+c.Read, gaps+len(c.Gaps)
	}
	if units > read {
		return fmt.Sprintf("%d of %s not read whole", units-read, Number(units, "unit"))
	}
	return fmt.Sprintf("%s in what was read", Number(gaps, "gap"))
}

// Number is a number with its noun: "1 gap", "2 gaps".
func Number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func coverageWords(c finding.Coverage) string { return c.Part + " " + amount(c) }

func amount(c finding.Coverage) string {
	if c.Read == c.Units {
		return Number(c.Units, "unit") + ", " + Number(c.Objects, "object")
	}
	return fmt.Sprintf("%d of %s, %s", c.Read, Number(c.Units, "unit"), Number(c.Objects, "object"))
}

// gap is a gap with the part it belongs to.
type gap struct {
	part string
	finding.Gap
}

// gaps returns at most most of them, and how many there are besides.
func (s *sheet) gaps(most int) (shown []gap, rest int) {
	for _, c := range s.Coverage {
		for _, g := range c.Gaps {
			if len(shown) == most {
				rest++
				continue
			}
			shown = append(shown, gap{c.Part, g})
		}
	}
	return shown, rest
}

// age is "new", "since 3 days" or "since 5 months", or nothing where times are unknown.
func (s *sheet) age(f finding.Finding) string {
	days, ok := s.days(f)
	switch {
	case !ok:
		return ""
	case f.FirstSeen.Equal(f.LastSeen):
		return "new"
	case days < 1:
		return "since today"
	case days <= 60:
		return "since " + Number(days, "day")
	case days <= 730:
		return fmt.Sprintf("since %d months", days/30)
	}
	return fmt.Sprintf("since %d years", days/365)
}

func (s *sheet) days(f finding.Finding) (days int, ok bool) {
	now := s.Now
	if now.IsZero() {
		now = s.Ended
	}
	if now.IsZero() || f.FirstSeen.IsZero() {
		return 0, false
	}
	return max(int(now.Sub(f.FirstSeen)/(24*time.Hour)), 0), true
}

// acknowledgement is who knows of it, until when and why.
func acknowledgement(a *finding.Acknowledgement) string {
	text := "acknowledged"
	if a.By != "" {
		text += " by " + a.By
	}
	if a.Expires != "" {
		text += " until " + a.Expires
	}
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	return text
}

func difference(f finding.Finding) bool { return f.Declared != "" || f.Observed != "" }

// named tells whether a format of few words has to name the object: where the file
// only declares it. Findings about files say in their message what they mean.
func (s *sheet) named(f finding.Finding) bool {
	return f.File != "" && f.File != f.Object && (len(s.Coverage) > 0 || f.Field != "" || difference(f))
}

// part is the object with its field.
func part(f finding.Finding) string {
	if f.Field == "" {
		return f.Object
	}
	return f.Object + " " + f.Field
}

// side is one side of a difference; nothing there is something to say.
func side(s string) string {
	if s == "" {
		return "(nothing)"
	}
	return s
}

// commitID is what a link may hold.
var commitID = regexp.MustCompile(`^[0-9a-fA-F]{7,64}$`)

// link leads to the declaring line at the commit that was read. There is none for
// a path that would lead out of the repository.
func (s *sheet) link(f finding.Finding) string {
	if f.File == "" || s.Links == "" || !commitID.MatchString(s.Commit) || !repositoryPath(f.File) {
		return ""
	}
	address := strings.TrimSuffix(s.Links, "/") + "/blob/" + s.Commit + "/" + escapePath(f.File)
	if f.Line > 0 {
		address += fmt.Sprintf("#L%d", f.Line)
	}
	return address
}

func (s *sheet) commitLink() string {
	if s.Links == "" || !commitID.MatchString(s.Commit) {
		return ""
	}
	return strings.TrimSuffix(s.Links, "/") + "/tree/" + s.Commit
}

// repositoryPath refuses what no file of a repository is called.
func repositoryPath(file string) bool {
	return fs.ValidPath(file) && file != "." && len(file) <= maxName
}

// escapePath also escapes what ends an address in Markdown.
func escapePath(file string) string {
	parts := strings.Split(file, "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("(", "%28", ")", "%29").Replace(url.PathEscape(p))
	}
	return strings.Join(parts, "/")
}

// clip cuts s to most characters and says how long it was.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return fmt.Sprintf("%s… (%d bytes)", s[:i], len(s))
		}
		n++
	}
	return s
}

// printable keeps what others typed from driving the terminal or from turning the
// direction of a line: such characters become visible.
func printable(s string) string {
	if plainASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if invisible(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}

func invisible(r rune) bool {
	return r < ' ' || r > '~' && (r == '\u2028' || r == '\u2029' || unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}

// plainASCII tells that a text needs no closer look, as nearly all do not.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Shown is a text of others as every page shows it: on one line, at most so long, and without characters that turn it.
func Shown(s string, most int) string { return shown(s, most) }

// shown is s as the formats for people show it, on one line.
func shown(s string, most int) string { return printable(clip(s, most)) }

// The most characters of a text that the formats for people show.
const (
	nameLimit  = 300
	valueLimit = 400
	proseLimit = 1000
)

// Size is a number of bytes for people: 1.5 MiB.
func Size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, "KMGTPE"
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}
