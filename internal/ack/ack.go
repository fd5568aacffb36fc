// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ack is the file in which owners say that they know of a finding.
//
// audit/acknowledged.yaml lists findings by their ids, each with a reason, a person
// and a day on which it ends. An entry holds for the fault as it looked when it was
// acknowledged: what got worse since is new. Findings that are acknowledged are still
// shown; they fail nothing. Entries that hold for nothing are findings themselves, so
// that the file never becomes a drawer into which problems are put to be forgotten.
// The rules are ACK-1 … in docs/drift.md.
package ack

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// File is where a repository keeps its acknowledgements.
const File = "audit/acknowledged.yaml"

// The bounds of an entry's life.
const (
	MaxDays  = 180 // from today to the last day
	WarnDays = 14  // before the last day
)

// Day is the form of dates: RFC 3339's full-date.
const Day = "2006-01-02"

// Entry acknowledges one finding in one state.
type Entry struct {
	ID         string    // finding.Fingerprint
	State      string    // finding.State
	Rule       string    // of the finding, for who reads the file; a wrong one is ACK-9
	Object     string    // likewise
	Reason     string    // one line, untrusted
	ApprovedBy string    // login of an approver of the file that declares the object
	Expires    time.Time // the last day on which it holds, in UTC
	Issue      string    // an https address; may be empty
	Line       int
}

// Holds tells whether the entry is not over.
func (e Entry) Holds(now time.Time) bool { return now.Before(e.Expires.AddDate(0, 0, 1)) }

// List is the file as it was read.
type List struct {
	Entries  []Entry           // in the order of the file, without those that have an error
	Problems []finding.Finding // everything that is wrong with the file by itself
}

// Find returns the entry of an id.
func (l List) Find(id string) (Entry, bool) {
	i := slices.IndexFunc(l.Entries, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// Apply returns the findings with those marked that an entry covers, and after them
// what is wrong with the entries. Neither argument is changed. A private finding is
// never covered, and an entry for one reads as if it were for none: the file is
// public, and whoever writes ids into it to see which are known must not be told.
func Apply(l List, all []finding.Finding, coverage []finding.Coverage, now time.Time) []finding.Finding {
	marked := slices.Clone(all)
	entries := map[string]Entry{}
	for _, e := range l.Entries {
		entries[e.ID] = e
	}
	known := map[string]finding.Finding{}
	held := map[string]bool{}
	for i, f := range marked {
		e, listed := entries[f.Fingerprint()]
		if !listed || f.Visibility != finding.Public {
			continue
		}
		if known[e.ID] = f; e.State == f.State() && e.Rule == f.Rule && e.Object == f.Object {
			held[e.ID] = true
			if e.Holds(now) {
				marked[i].Acknowledged = &finding.Acknowledgement{By: e.ApprovedBy, Reason: e.Reason, Expires: e.Expires.Format(Day)}
			}
		}
	}
	problems := slices.Clone(l.Problems)
	for _, e := range l.Entries {
		f, found := known[e.ID]
		switch {
		case held[e.ID] || !e.Holds(now):
		case found:
			problems = append(problems, mismatch(e, f))
		case readWhole(e.Rule, coverage):
			problems = append(problems, e.problem(unused, "no public finding has the id %s any more", e.ID))
		}
	}
	return append(marked, routed(problems, known)...)
}

// mismatch says why an entry does not cover the finding that it names.
func mismatch(e Entry, f finding.Finding) finding.Finding {
	if e.Rule != f.Rule || e.Object != f.Object {
		return e.problem(mislabelled, "the finding %s is %s of %s, and the entry says %s of %s", e.ID, f.Rule, f.Object, e.Rule, e.Object)
	}
	return e.problem(changed, "%s of %s is not as it was acknowledged: its state is %s, not %s", f.Rule, f.Object, f.State(), e.State)
}

// routed sends a problem to the owners of the finding that the entry is about.
func routed(problems []finding.Finding, known map[string]finding.Finding) []finding.Finding {
	for i, p := range problems {
		_, id, _ := strings.Cut(p.Object, "#")
		if f, ok := known[id]; ok && len(p.Owners) == 0 {
			problems[i].Owners = f.Owners
		}
	}
	return problems
}

// Approves tells whether a login may approve a change of a file, by the OWNERS of
// one commit.
type Approves func(login, path string) bool

// Check finds what is wrong with entries that are new, given the findings of a report:
// their finding is not among them, or is not as the entry says, or approvedBy may not
// approve the file that declares the object. Private findings are as good as none.
func Check(fresh []Entry, all []finding.Finding, may Approves) []finding.Finding {
	known := map[string]finding.Finding{}
	for _, f := range all {
		if f.Visibility == finding.Public {
			known[f.Fingerprint()] = f
		}
	}
	var problems []finding.Finding
	for _, e := range fresh {
		f, found := known[e.ID]
		switch {
		case !found:
			problems = append(problems, e.problem(unfounded, "no public finding of the latest report has the id %s", e.ID))
			continue
		case e.Rule != f.Rule || e.Object != f.Object || e.State != f.State():
			problems = append(problems, mismatch(e, f))
		}
		if file := Declares(f); !may(e.ApprovedBy, file) {
			problems = append(problems, e.problem(unapproved, "%s may not approve %s, which the finding is about", e.ApprovedBy, file))
		}
	}
	return problems
}

// Enforce takes back acknowledgements of people who may not give them: approvedBy has to
// be an approver of the file that declares the object, now. What is wrong with their
// entries stands behind the findings. The argument is not changed.
func Enforce(l List, all []finding.Finding, may Approves) []finding.Finding {
	all = slices.Clone(all)
	var problems []finding.Finding
	for i, f := range all {
		if f.Acknowledged == nil || may(f.Acknowledged.By, Declares(f)) {
			continue
		}
		all[i].Acknowledged = nil
		if e, ok := l.Find(f.Fingerprint()); ok {
			p := e.problem(unapproved, "%s may not approve %s, which the finding is about, so the entry holds for nothing", e.ApprovedBy, Declares(f))
			p.Owners = f.Owners
			problems = append(problems, p)
		}
	}
	return append(all, problems...)
}

// Unbacked finds entries that speak for somebody who does not stand behind them.
func Unbacked(fresh []Entry, backs func(login string) bool) []finding.Finding {
	var problems []finding.Finding
	for _, e := range fresh {
		if !backs(e.ApprovedBy) {
			problems = append(problems, e.problem(unbacked, "%s has neither written nor approved the entry", e.ApprovedBy))
		}
	}
	return problems
}

// Fresh returns the entries of l that another version of the file does not have.
func (l List) Fresh(before List) []Entry {
	return slices.DeleteFunc(slices.Clone(l.Entries), func(e Entry) bool {
		return slices.ContainsFunc(before.Entries, e.equal)
	})
}

// Declares is the file whose approvers may acknowledge a finding.
func Declares(f finding.Finding) string {
	if f.File != "" {
		return f.File
	}
	return File
}

// readWhole tells whether the absence of a finding of the rule proves anything: the
// part that makes such findings has no gap. Where it is not known which part that
// is, all have to be whole.
func readWhole(rule string, coverage []finding.Coverage) bool {
	for _, c := range coverage {
		if c.Part == Part(rule) {
			return c.Complete()
		}
	}
	return !slices.Contains(parts, Part(rule)) && len(coverage) > 0 && finding.Complete(coverage)
}

// parts are those that say something of what was read: one that did not run says nothing.
var parts = []string{"gcs", "images", "dns"}

// Part is the part of an audit that makes findings of a rule, by the first word of
// the rule: GCS-3 is of gcs, IMG-3 of images.
func Part(rule string) string {
	word, _, _ := strings.Cut(rule, "-")
	switch word = strings.ToLower(word); word {
	case "img", "image", "manifest":
		return "images"
	case "zone":
		return "dns"
	}
	return word
}

// problem makes the finding of an entry.
func (e Entry) problem(r rule, format string, args ...any) finding.Finding {
	return r.at(e.Line, e.ID, "", format, args...)
}

// rule is a row of the table below.
type rule struct {
	code     string
	severity finding.Severity
	fix      string
}

// The rules. What is an error keeps an entry from holding.
var (
	malformed   = rule{"ACK-1", finding.Error, "mend the entry, or take it out"}
	unknownID   = rule{"ACK-2", finding.Error, "copy id and state from the report, or let /infra drift accept write the entry"}
	tooLong     = rule{"ACK-3", finding.Error, fmt.Sprintf("end it within %d days; it can be renewed", MaxDays)}
	expired     = rule{"ACK-4", finding.Warning, "mend the fault and take the entry out, or acknowledge it again with /infra drift accept"}
	ending      = rule{"ACK-5", finding.Warning, "mend the fault, or acknowledge it again with /infra drift accept"}
	unused      = rule{"ACK-6", finding.Warning, "take the entry out; findings that are private are not acknowledged here"}
	duplicate   = rule{"ACK-7", finding.Error, "keep one entry"}
	changed     = rule{"ACK-8", finding.Warning, "mend the fault, or acknowledge what it is now with /infra drift accept"}
	mislabelled = rule{"ACK-9", finding.Error, "let /infra drift accept write the entry"}
	unapproved  = rule{"ACK-10", finding.Error, "let an approver of the file acknowledge it with /infra drift accept"}
	unfounded   = rule{"ACK-11", finding.Error, "take the entry out; findings that are private are not acknowledged here"}
	unbacked    = rule{"ACK-12", finding.Error, "let them approve this pull request, or say /infra drift accept"}
)

// at makes a finding about the file, or about the entry of an id in it.
func (r rule) at(line int, id, field, format string, args ...any) finding.Finding {
	object := File
	if id != "" {
		object += "#" + id
	}
	return finding.Finding{
		Rule: r.code, Severity: r.severity, Object: object, Field: field, File: File, Line: line,
		Message: fmt.Sprintf(format, args...), Fix: r.fix,
	}
}
