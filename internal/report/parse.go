// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// The bounds of Parse, which Write keeps to but for the first two.
const (
	MaxBytes    = 32 << 20
	MaxFindings = 50_000

	maxName   = 4 << 10 // bytes of a name or a path
	maxText   = 64 << 10
	maxOwners = 200
	maxParts  = 100
	maxGaps   = 10_000 // of a part
)

// Report is what Parse read.
type Report struct {
	Title, Commit  string
	Private        bool // written by WritePrivate
	Started, Ended time.Time
	Coverage       []finding.Coverage
	Items          []Item
}

// Complete tells that nothing is missing from what the run wanted to read.
func (r *Report) Complete() bool { return finding.Complete(r.Coverage) }

// Findings returns the findings alone, for Write: a private finding that was reduced
// keeps the id it has.
func (r *Report) Findings() []finding.Finding {
	all := make([]finding.Finding, len(r.Items))
	for i, item := range r.Items {
		all[i] = item.Finding
	}
	return all
}

// Options returns what the report says of itself, for Write.
func (r *Report) Options() Options {
	return Options{Title: r.Title, Commit: r.Commit, Coverage: r.Coverage, Started: r.Started, Ended: r.Ended}
}

// Parse reads what the json format wrote. A report lies where others may have
// written to it: it is bounded, fields that decide something are checked, and an id
// or a state that does not follow from its finding is an error, because by these
// people acknowledge. Fields that are not known are ignored, another schema is not.
// What r returns is an error like any other.
func Parse(r io.Reader) (*Report, error) { return parseWithin(r, MaxBytes, MaxFindings) }

func parseWithin(r io.Reader, most int64, findings int) (*Report, error) {
	limited := &io.LimitedReader{R: r, N: most + 1}
	p := parser{dec: json.NewDecoder(limited), most: findings, seen: map[string]bool{}}
	err := p.document()
	if limited.N <= 0 {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	if err != nil {
		// The text of what is wrong may hold as much of the input as it likes.
		return nil, fmt.Errorf("parse report: %w", &parseError{err})
	}
	return &p.report, nil
}

// parseError bounds the text of a cause and keeps the cause.
type parseError struct{ cause error }

func (e *parseError) Error() string { return shown(e.cause.Error(), valueLimit) }
func (e *parseError) Unwrap() error { return e.cause }

type parser struct {
	dec      *json.Decoder
	most     int // findings
	seen     map[string]bool
	report   Report
	complete *bool
}

func (p *parser) document() error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.dec.More() {
		token, err := p.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // a key is one
		if err := p.field(key); err != nil {
			return fmt.Errorf("%.100s: %w", key, err)
		}
	}
	if err := p.delim('}'); err != nil {
		return err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("something follows the report"), err)
	}
	return p.whole()
}

func (p *parser) delim(want json.Delim) error {
	token, err := p.dec.Token()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case token != want:
		return fmt.Errorf("want %s, not %v", want, token)
	}
	return nil
}

// field reads one field of the report.
func (p *parser) field(key string) error {
	into := map[string]any{
		"title": &p.report.Title, "commit": &p.report.Commit, "private": &p.report.Private,
		"started": &p.report.Started, "ended": &p.report.Ended, "complete": &p.complete, "coverage": &p.report.Coverage,
	}
	_, plain := into[key]
	if known := plain || key == "schema" || key == "findings"; known && p.seen[key] {
		return errors.New("it stands twice")
	} else if known {
		p.seen[key] = true
	}
	switch {
	case key == "schema":
		return p.schema()
	case key == "findings":
		return p.findings()
	case plain:
		return p.dec.Decode(into[key])
	}
	var ignored json.RawMessage
	return p.dec.Decode(&ignored)
}

func (p *parser) schema() error {
	var version int
	if err := p.dec.Decode(&version); err != nil {
		return err
	}
	if version != SchemaVersion {
		return fmt.Errorf("version %d is not %d, which this program reads", version, SchemaVersion)
	}
	return nil
}

func (p *parser) findings() error {
	if err := p.delim('['); err != nil {
		return err
	}
	for n := 0; p.dec.More(); n++ {
		if n == p.most {
			return fmt.Errorf("there are more than %d", p.most)
		}
		// The severity has a zero value that would pass for one.
		var item struct {
			Item
			Severity *finding.Severity `json:"severity"`
		}
		if err := p.dec.Decode(&item); err != nil {
			return fmt.Errorf("finding %d: %w", n, err)
		}
		if item.Severity == nil {
			return fmt.Errorf("finding %d: severity is missing", n)
		}
		item.Item.Severity = *item.Severity
		p.report.Items = append(p.report.Items, item.Item)
	}
	return p.delim(']')
}

// whole checks what can only be seen at the end, because fields have no order.
func (p *parser) whole() error {
	r := &p.report
	for _, key := range []string{"schema", "title", "findings"} {
		if !p.seen[key] {
			return fmt.Errorf("%s is missing", key)
		}
	}
	if err := longest(maxName, r.Title, r.Commit); err != nil {
		return err
	}
	if err := checkCoverage(r.Coverage); err != nil {
		return fmt.Errorf("coverage: %w", err)
	}
	if p.complete != nil && *p.complete != r.Complete() {
		return fmt.Errorf("complete is %t, and the coverage says otherwise", *p.complete)
	}
	for n, item := range r.Items {
		if err := item.check(r.Private); err != nil {
			return fmt.Errorf("finding %d: %w", n, err)
		}
	}
	return nil
}

func checkCoverage(all []finding.Coverage) error {
	if len(all) > maxParts {
		return fmt.Errorf("more than %d parts", maxParts)
	}
	reasons := []finding.Reason{
		finding.Denied, finding.NotFound, finding.Throttled, finding.Unavailable,
		finding.TimedOut, finding.Malformed, finding.TooLarge, finding.Interrupted, finding.Held,
	}
	for _, c := range all {
		switch {
		case c.Part == "" || len(c.Part) > maxName:
			return errors.New("a part has no name or a long one")
		case c.Units < 0 || c.Read < 0 || c.Read > c.Units || c.Objects < 0:
			return fmt.Errorf("%.100q: %d of %d units, %d objects", c.Part, c.Read, c.Units, c.Objects)
		case len(c.Gaps) > maxGaps:
			return fmt.Errorf("%.100q: more than %d gaps", c.Part, maxGaps)
		}
		for _, g := range c.Gaps {
			if !slices.Contains(reasons, g.Reason) {
				return fmt.Errorf("%.100q: unknown reason %.100q", c.Part, g.Reason)
			}
			if err := errors.Join(longest(maxName, g.Scope), longest(maxText, g.Detail)); err != nil {
				return fmt.Errorf("%.100q: %w", c.Part, err)
			}
		}
	}
	return nil
}

func longest(most int, texts ...string) error {
	for _, t := range texts {
		if len(t) > most {
			return fmt.Errorf("a text of %d bytes is longer than %d", len(t), most)
		}
	}
	return nil
}

// hexID is a fingerprint, or the shorter number of a reduced finding.
var hexID = regexp.MustCompile(`^[0-9a-f]{1,16}$`)

func (i *Item) check(private bool) error {
	switch {
	case i.Rule == "" || i.Object == "" || i.Message == "":
		return errors.New("rule, object or message is missing")
	case i.Visibility != finding.Public && i.Visibility != finding.Private:
		return fmt.Errorf("unknown visibility %.100q", i.Visibility)
	case !private && i.Visibility == finding.Private && !reflect.DeepEqual(i.Finding, reduce(i.Finding, i.ID)):
		return errors.New("the details of a private finding stand in a public report, or its id is not that of its object")
	case i.Line < 0:
		return fmt.Errorf("line %d", i.Line)
	case !hexID.MatchString(i.ID) || i.PublicID != "" && !hexID.MatchString(i.PublicID):
		return fmt.Errorf("malformed id %.100q", i.ID)
	}
	if err := i.checkTexts(); err != nil {
		return err
	}
	return i.checkIdentity()
}

func (i *Item) checkTexts() error {
	if len(i.Owners) > maxOwners {
		return fmt.Errorf("more than %d owners", maxOwners)
	}
	names := append([]string{i.Rule, i.Object, i.Field, i.File}, i.Owners...)
	texts := []string{i.Message, i.Declared, i.Observed, i.Fix}
	if a := i.Acknowledged; a != nil {
		names, texts = append(names, a.By, a.Expires), append(texts, a.Reason)
	}
	return errors.Join(longest(maxName, names...), longest(maxText, texts...))
}

// checkIdentity refuses a finding that poses as another one.
func (i *Item) checkIdentity() error {
	switch {
	case isReduced(i.Finding):
		if i.State != "" || i.PublicID != "" {
			return errors.New("a reduced finding has a state or a second id")
		}
	case i.Altered:
		return nil
	case i.ID != i.Fingerprint():
		return fmt.Errorf("id %s is not that of its rule, object and field", i.ID)
	case i.State != "" && i.State != i.Finding.State():
		return fmt.Errorf("state %.100q is not that of what it shows", i.State)
	}
	return nil
}
