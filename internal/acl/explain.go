// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Explanation says why a user may or may not approve a change of a path. Texts
// are plain and hold untrusted names: whoever shows them in Markdown escapes.
type Explanation struct {
	User    string `json:"user"` // normalised
	Path    string `json:"path"`
	Commit  string `json:"commit,omitempty"`
	Mode    string `json:"mode"`
	Allowed bool   `json:"allowed"`
	Code    string `json:"code,omitempty"` // of a denial; stable (docs/owners.md)
	Reason  string `json:"reason"`         // one sentence, without user and path

	// What decides: a file, the line in it, the alias through which the user is
	// listed (AliasLine in the aliases file) and the filter, if any. Empty where
	// no file decides. Line is 0 in Compat mode, which keeps no positions.
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Alias     string `json:"alias,omitempty"`
	AliasLine int    `json:"aliasLine,omitempty"`
	Filter    string `json:"filter,omitempty"`

	Steps []Step `json:"steps,omitempty"` // every OWNERS file, leaf to root
	// Of a denial: the files that would grant the change and who stands in them,
	// nearest first. Where Mend names a file, nobody can grant the change before
	// it is mended, and Grants are the nearest people who may approve that.
	Grants []Grant `json:"grants,omitempty"`
	Mend   string  `json:"mend,omitempty"`
}

// Step is one OWNERS file between the path and the root.
type Step struct {
	Dir        string   `json:"dir"` // "." is the root
	File       string   `json:"file"`
	Considered bool     `json:"considered"` // false above the place where the walk stopped
	Restricted bool     `json:"restricted,omitempty"`
	Filters    []string `json:"filters,omitempty"` // patterns that match the path
	Outcome    string   `json:"outcome"`           // one of the Outcome constants
	Line       int      `json:"line,omitempty"`
	Note       string   `json:"note"`
}

// The outcomes of a step.
const (
	OutcomeGrants    = "grants"
	OutcomeDoubtful  = "doubtful"   // listed, but membership fails
	OutcomeNotListed = "not-listed" // goes on to the parent
	OutcomeStops     = "stops"      // restricted: the walk ends here
	OutcomeBroken    = "broken"     // cannot be read: the walk ends here
	OutcomeUnasked   = "not-considered"
)

// Grant is one OWNERS file with the people who may approve by it.
type Grant struct {
	File   string   `json:"file"`
	Names  []string `json:"names"`  // logins and aliases as written in the file
	People []string `json:"people"` // logins, aliases expanded, sorted
}

// Explain decides like Allowed and says why.
func (t *Tree) Explain(user, p string) Explanation {
	e := Explanation{User: NormLogin(user), Path: p, Commit: t.commit, Mode: t.opts.Mode.String()}
	clean, err := CheckPath(p)
	if err != nil {
		e.Code, e.Reason = CodePath, pathProblem(err)
		return e
	}
	var buf [shortChain]step
	chain := t.chain(clean, buf[:0])
	v := t.decide(e.User, chain)
	e.Allowed, e.Code = v.allowed, v.code
	t.place(&e, v, chain)
	e.Reason = t.reason(e, v, chain)
	e.Steps = t.steps(v, chain)
	if !e.Allowed {
		t.advise(&e, v, chain)
	}
	return e
}

func pathProblem(err error) string {
	var p *PathError
	if errors.As(err, &p) {
		return "the path " + p.Problem
	}
	return err.Error()
}

// place fills in what decides.
func (t *Tree) place(e *Explanation, v verdict, chain []step) {
	if v.code == CodeAliases {
		e.File, e.Line = t.opts.Filenames.Aliases, t.aliases.broken.line
		return
	}
	if v.at < 0 {
		return
	}
	s := chain[v.at]
	e.File = t.file(s)
	switch {
	case v.section != nil:
		e.Line, e.Filter = v.entry.line, v.section.pattern
		if v.group != nil {
			e.Alias, e.AliasLine = v.entry.name, t.memberLine(v.group, e.User)
		}
	case s.owners.denies != nil:
		e.Line = s.owners.denies.line
	case s.owners.noParent:
		e.Line = s.owners.noParentLine
	}
}

func (t *Tree) memberLine(g *group, login string) int {
	for _, m := range g.members {
		if m.name == login {
			return m.line
		}
	}
	return g.line
}

// reason words the verdict.
func (t *Tree) reason(e Explanation, v verdict, chain []step) string {
	switch v.code {
	case "":
		return "listed as approver" + via(e) + " in " + position(e.File, e.Line)
	case CodeNotLogin:
		return fmt.Sprintf("%q %s", clip(e.User, 80), t.aliases.whyNotLogin(e.User, t.opts.Filenames.Aliases))
	case CodeAliases:
		return fmt.Sprintf("%s is broken (%s), so no alias grants anything", position(e.File, e.Line), t.aliases.broken.msg)
	case CodeUnverified:
		return fmt.Sprintf("listed%s in %s, but the membership could not be checked; try again", via(e), position(e.File, e.Line))
	case CodeNotMember:
		return fmt.Sprintf("listed%s in %s, but not a member any more", via(e), position(e.File, e.Line))
	case CodeUnmatched:
		return fmt.Sprintf("%s is restricted (no_parent_owners), and none of its filters with approvers matches", e.File)
	case CodeVacant:
		return fmt.Sprintf("%s is restricted (no_parent_owners), and nobody is left in it who may approve", e.File)
	case CodeNotApprover:
		return t.notListed(e, v, chain)
	default: // a broken file
		return fmt.Sprintf("%s cannot be used: %s", position(e.File, e.Line), chain[v.at].owners.denies.msg)
	}
}

func (t *Tree) notListed(e Explanation, v verdict, chain []step) string {
	switch {
	case v.at < 0:
		return "no OWNERS file covers the path"
	case chain[v.at].owners.noParent:
		return fmt.Sprintf("not an approver, and %s shuts out the files above it (no_parent_owners)", position(e.File, e.Line))
	default:
		return "not an approver in any OWNERS file from the path to the root"
	}
}

func via(e Explanation) string {
	var b strings.Builder
	if e.Alias != "" {
		fmt.Fprintf(&b, " through alias %s", e.Alias)
	}
	if e.Filter != "" {
		fmt.Fprintf(&b, " by filter \"%s\"", e.Filter)
	}
	return b.String()
}

func position(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// steps tells the walk, with what lies beyond its end.
func (t *Tree) steps(v verdict, chain []step) []Step {
	if len(chain) == 0 {
		return nil
	}
	steps := make([]Step, len(chain))
	for i, s := range chain {
		steps[i] = Step{Dir: orDot(s.dir), File: t.file(s), Restricted: s.owners.noParent}
		if v.at >= 0 && i > v.at || v.code == CodeNotLogin {
			steps[i].Outcome, steps[i].Note = OutcomeUnasked, "not considered: decided before"
			continue
		}
		steps[i].Considered = true
		t.outcome(&steps[i], s, v, i == v.at)
	}
	return steps
}

func (t *Tree) outcome(out *Step, s step, v verdict, last bool) {
	out.Filters = matching(s)
	switch {
	case last && v.allowed:
		out.Outcome, out.Line, out.Note = OutcomeGrants, v.entry.line, "lists the user"
	case t.broken(s):
		out.Outcome, out.Line, out.Note = OutcomeBroken, s.owners.denies.line, s.owners.denies.msg
	case last && v.section != nil:
		out.Outcome, out.Line, out.Note = OutcomeDoubtful, v.entry.line, "lists the user, whose membership is not proven"
	case last && s.owners.noParent:
		out.Outcome, out.Line, out.Note = OutcomeStops, s.owners.noParentLine, "no_parent_owners: the files above do not count"
	default:
		out.Outcome, out.Note = OutcomeNotListed, t.unlisted(s)
	}
}

func (t *Tree) unlisted(s step) string {
	switch {
	case s.owners.filtered() && t.filtersMiss(s):
		return "no filter with approvers matches the path"
	case !t.hasApprover(s):
		return "names no approvers for the path"
	default:
		return "does not list the user"
	}
}

// matching lists the patterns of s that match; nil in the plain form.
func matching(s step) []string {
	var patterns []string
	for i := range s.owners.sections {
		if sec := &s.owners.sections[i]; sec.pattern != "" && sec.matches(s.rel) {
			patterns = append(patterns, sec.pattern)
		}
	}
	return patterns
}

// advise adds to a denial who could grant the change; where nobody can, the
// file to mend and who could approve that.
func (t *Tree) advise(e *Explanation, v verdict, chain []step) {
	for _, s := range chain[:t.reach(chain)] {
		if g := t.granting(s); !t.broken(s) && len(g.People) > 0 {
			e.Grants = append(e.Grants, g)
		}
	}
	if len(e.Grants) == 0 && e.File != "" && v.code != CodeUnverified {
		e.Mend, e.Grants = e.File, t.menders(e.File)
	}
}

// reach counts the steps that may decide: up to the first that ends the walk.
func (t *Tree) reach(chain []step) int {
	collected := false
	for i, s := range chain {
		collected = collected || t.hasApprover(s)
		if t.broken(s) || t.stops(s, approverRole(), collected) {
			return i + 1
		}
	}
	return len(chain)
}

// menders are the nearest people who can approve a change of file: as Prow sees
// it, because what is to be mended cannot decide about itself.
func (t *Tree) menders(file string) []Grant {
	for _, s := range t.chain(file, nil) {
		if g := t.granting(s); !t.broken(s) && len(g.People) > 0 {
			return []Grant{g}
		}
	}
	return nil
}

func (t *Tree) granting(s step) Grant {
	g := Grant{File: t.file(s)}
	people := Set{}
	for i := range s.owners.sections {
		sec := &s.owners.sections[i]
		if !sec.matches(s.rel) {
			continue
		}
		for _, e := range sec.approvers {
			before := len(people)
			for login := range t.expand(sec.approvers, e, candidateRole()) {
				people[login] = struct{}{}
			}
			if len(people) > before {
				g.Names = append(g.Names, strings.TrimPrefix(e.text, "@"))
			}
		}
	}
	g.People = sorted(people)
	return g
}

func sorted(s Set) []string {
	all := make([]string, 0, len(s))
	for item := range s {
		all = append(all, item)
	}
	slices.Sort(all)
	return all
}
