// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plan"
)

// The rules, as docs/promote-files.md has them.
const (
	RuleOther    = "FILE-1" // production holds another content, and nobody declared a change
	RuleLost     = "FILE-2" // a file is neither in staging nor in production
	RuleBroken   = "FILE-3" // a project whose manifests could not be understood whole
	RuleWrong    = "FILE-4" // staging holds another content than is declared
	RuleFailed   = "FILE-5" // a store that did not get what it was to get
	RuleFrozen   = "FILE-6" // a project that must not change at present
	RuleUnproven = "FILE-7" // production holds files of which nobody proved the content
	RuleEnded    = "FILE-8" // a run that ended before it was done
)

// Change is one file that some stores lack.
type Change struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	// From is an index of Project.Stores: the source, 0, or a destination that has the file
	// where the source has not.
	From int `json:"from"`
	// To are indices of Project.Stores, ascending.
	To []int `json:"to"`
	// Replaced are the versions of what is overwritten, as To; nil where nothing is.
	Replaced []string `json:"replaced,omitempty"`
	Former   []string `json:"former,omitempty"` // their sha256, as To
	File     string   `json:"file"`             // that declares it
	Line     int      `json:"line"`
}

// Overwrites tells whether anything is.
func (c Change) Overwrites() bool {
	return slices.ContainsFunc(c.Replaced, func(v string) bool { return v != "" })
}

// Project is what is to be done for one project, and what cannot be.
type Project struct {
	Name   string
	File   string            // its filepromoter-manifest.yaml
	Stores []string          // bases: the source, then the destinations
	Plan   plan.Plan[Change] // in the order of names
	Faults []finding.Finding
	Same   int // files times destinations that are as declared
	// Unproven counts those of Same whose content nobody has proven: they are there, and that is all
	// that is known.
	Unproven int
}

// Held is what a store holds of the declared files; nil where it could not be read.
type Held map[string]Object

// Scope is what is looked at of a project.
type Scope struct {
	// Names are those of files; nil is all of them.
	Names map[string]bool
	// Before has what may be overwritten.
	Before Before
}

// Before has the sha256 that names had before the changes that are being applied. Only such a file may be overwritten,
// and only where a store holds just that. Where one change was not applied before the next one came, there are several.
type Before map[string][]string

// Add adds what a name had.
func (b Before) Add(name string, sums ...string) {
	for _, s := range sums {
		if !slices.Contains(b[name], s) {
			b[name] = append(b[name], s)
		}
	}
}

// Since is the scope of what head declares and base does not. base may be nil: then that is
// everything.
func Since(base, head *manifest.FileProject) Scope {
	s := Scope{Names: map[string]bool{}, Before: Before{}}
	for _, f := range head.Files {
		var was manifest.DeclaredFile
		known := false
		if base != nil {
			was, known = base.File(f.Name)
		}
		switch {
		case known && was.SHA256 != f.SHA256:
			s.Names[f.Name] = true
			s.Before.Add(f.Name, was.SHA256)
		case !known:
			s.Names[f.Name] = true
		}
	}
	if base == nil {
		return s
	}
	for _, d := range head.Destinations { // a new one lacks everything
		if !slices.ContainsFunc(base.Destinations, func(o manifest.Filestore) bool { return o.Base == d.Base }) {
			for _, f := range head.Files {
				s.Names[f.Name] = true
			}
		}
	}
	return s
}

// Look adds a name to what is looked at.
func (s Scope) Look(name string) {
	if s.Names != nil {
		s.Names[name] = true
	}
}

// Has tells whether a name is looked at.
func (s Scope) Has(name string) bool { return s.Names == nil || s.Names[name] }

// Compare makes the plan of a project. held is by store, in the order of Project.Stores; a
// store that could not be read gets nothing, and as the source it is not asked for what is
// missing. What Doubts names and nobody has read counts as unread where a change may overwrite it.
func Compare(p *manifest.FileProject, scope Scope, held []Held, commit string) (*Project, error) {
	out := &Project{Name: p.Name, File: p.Stores, Stores: Bases(p)}
	if Broken(p) {
		out.Faults = append(out.Faults, finding.Finding{
			Rule: RuleBroken, Severity: finding.Error, Object: p.Name, File: p.Stores,
			Message: "the manifests of the project are not understood whole, so none of its files is promoted",
			Fix:     "mend what the findings about them say",
		})
		return out, nil
	}
	var steps []plan.Step[Change]
	for _, f := range p.Files {
		if !scope.Has(f.Name) {
			continue
		}
		if c, some := out.file(f, scope.Before[f.Name], held); some {
			verb := plan.Create
			if c.Overwrites() {
				verb = plan.Update
			}
			steps = append(steps, plan.Step[Change]{Key: f.Name, Verb: verb, Change: c})
		}
	}
	if out.Unproven > 0 {
		out.Faults = append(out.Faults, finding.Finding{
			Rule: RuleUnproven, Severity: finding.Info, Object: p.Name, File: p.Stores,
			Message: fmt.Sprintf("of %d files in production nobody has proven the content: they were put there by something else, and staging does not hold them any more", out.Unproven),
			Fix:     "--prove reads them once and says whether they are as declared",
		})
	}
	finding.Sort(out.Faults)
	var err error
	out.Plan, err = plan.New(commit, steps)
	if err != nil {
		return nil, fmt.Errorf("project %s: %w", p.Name, err)
	}
	return out, nil
}

// Broken tells a project of which nothing is promoted.
func Broken(p *manifest.FileProject) bool {
	return !p.Whole || p.Source.Base == "" || len(p.Destinations) == 0
}

// Bases are a project's stores: the source, then the destinations.
func Bases(p *manifest.FileProject) []string {
	all := []string{p.Source.Base}
	for _, d := range p.Destinations {
		all = append(all, d.Base)
	}
	return all
}

// state is how a file is in one store.
type state int

const (
	unread state = iota
	absent
	proven   // its content is as declared
	likely   // it is what staging holds, and nobody has proven that
	unproven // it is there, and that is all that is known
	doubtful // it may be on either side of a change, and has to be read
	former   // its content is what was declared before
	other    // its content is another one
)

// judge tells how a declared file is in a store. source is what staging holds of it. That says something only where
// nothing tells that staging may hold another content: neither its own sha256 nor a change of what is declared, before
// which its content may still be.
func judge(f manifest.DeclaredFile, before []string, held Held, source Object, staged bool) state {
	if held == nil {
		return unread
	}
	o, there := held[f.Name]
	switch {
	case !there:
		return absent
	case o.SHA256 == f.SHA256:
		return proven
	case o.SHA256 != "" && slices.Contains(before, o.SHA256):
		return former
	case o.SHA256 != "":
		return other
	case len(before) > 0:
		return doubtful
	case staged && o.MD5 != "" && source.MD5 == o.MD5 && source.Size == o.Size && (source.SHA256 == "" || source.SHA256 == f.SHA256):
		return likely
	case staged && o.MD5 != "" && source.MD5 != "":
		return other
	}
	return unproven
}

// file decides about one file; some is false where nothing is to be done.
func (p *Project) file(f manifest.DeclaredFile, before []string, held []Held) (c Change, some bool) {
	source, staged := held[0][f.Name]
	if held[0] == nil {
		staged = false
	}
	at := func(rule string, severity finding.Severity) finding.Finding {
		return finding.Finding{Rule: rule, Severity: severity, Object: p.Name + "/" + f.Name, File: f.File, Line: f.Line}
	}
	c = Change{Name: f.Name, SHA256: f.SHA256, From: -1, File: f.File, Line: f.Line}
	if staged && (source.SHA256 == "" || source.SHA256 == f.SHA256) {
		c.From, c.Size = 0, source.Size
	}
	for i := 1; i < len(p.Stores); i++ {
		switch judge(f, before, held[i], source, staged) {
		case unread, doubtful:
		case proven, likely:
			p.Same++
			if o := held[i][f.Name]; c.From < 0 && o.SHA256 == f.SHA256 {
				c.From, c.Size = i, o.Size
			}
		case unproven:
			p.Same++
			p.Unproven++
		case absent:
			c.To, c.Replaced, c.Former = append(c.To, i), append(c.Replaced, ""), append(c.Former, "")
		case former:
			o := held[i][f.Name]
			c.To, c.Replaced, c.Former = append(c.To, i), append(c.Replaced, o.Version), append(c.Former, o.SHA256)
		case other:
			o := held[i][f.Name]
			fault := at(RuleOther, finding.Error)
			fault.Field, fault.Declared, fault.Observed = p.Stores[i], f.SHA256, said(o)
			fault.Message = "production holds another content, and no merged change has declared that it is overwritten"
			fault.Fix = "if a change declares it, say by --since what was before; else find out who wrote it, and declare the new content under a new name or remove the file by hand"
			p.Faults = append(p.Faults, fault)
		}
	}
	switch {
	case len(c.To) == 0:
		return c, false
	case c.From >= 0:
		return c, true
	case held[0] == nil: // it is said once that staging could not be read
		return c, false
	case staged:
		fault := at(RuleWrong, finding.Error)
		fault.Declared, fault.Observed = f.SHA256, said(source)
		fault.Message, fault.Fix = "staging holds another content than is declared", "push the file again, or declare what is there"
		p.Faults = append(p.Faults, fault)
	default:
		fault := at(RuleLost, finding.Error)
		fault.Message = fmt.Sprintf("staging does not hold the file any more, and %d of %d stores lack it", len(c.To), len(p.Stores)-1)
		fault.Fix = "push the file again, or take it off the list"
		p.Faults = append(p.Faults, fault)
	}
	return c, false
}

// said is what a store says about a content.
func said(o Object) string {
	if o.SHA256 != "" {
		return o.SHA256
	}
	return strings.TrimSpace(fmt.Sprintf("%d bytes, md5 %s", o.Size, o.MD5))
}

// Doubt is a file in production whose content has to be read, because nothing else tells what it is.
type Doubt struct {
	Store int // index of Project.Stores
	Name  string
}

// Doubts are the files that have to be read before Compare can tell whether they are as declared: those of which a change
// declares another content than before, and those that staging holds too, and otherwise, or nobody knows; with all also
// those of which staging holds nothing.
func Doubts(p *manifest.FileProject, scope Scope, held []Held, all bool) []Doubt {
	var doubts []Doubt
	for _, f := range p.Files {
		if !scope.Has(f.Name) {
			continue
		}
		source, staged := held[0][f.Name]
		for i := 1; i < len(held); i++ {
			state := judge(f, scope.Before[f.Name], held[i], source, staged)
			if o := held[i][f.Name]; o.SHA256 == "" && (state == doubtful || state == other || state == unproven && (staged || all)) {
				doubts = append(doubts, Doubt{i, f.Name})
			}
		}
	}
	return doubts
}
