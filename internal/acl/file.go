// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import "regexp"

// ownersFile is what one OWNERS file, or the front matter of one Markdown file,
// says. Names are normalised but not yet resolved: whether one is an alias
// depends on the tree. It is immutable and shared between trees.
type ownersFile struct {
	noParent     bool
	autoApprove  bool
	noParentLine int
	sections     []section
	emeritus     []entry
	faults       []fault
	denies       *fault // the first fault that makes the file unusable in Strict mode
}

// section is what applies to the paths one pattern matches.
type section struct {
	pattern   string         // "" in the plain form
	re        *regexp.Regexp // nil matches everything
	line      int
	approvers []entry
	reviewers []entry
	required  []entry
	labels    []entry
}

// matches reports whether the section applies to rel, a path relative to the
// directory of the file ("." for the directory itself).
func (s *section) matches(rel string) bool { return s.re == nil || s.re.MatchString(rel) }

// entry is one item of a list.
type entry struct {
	name string // normalised login or alias; a label as it is
	text string // as written
	line int
	// plausible is what the name alone says about being a login. Compat mode
	// does not ask.
	plausible bool
}

// person makes an entry of a login or alias as written.
func person(text string, line int) entry {
	name := NormLogin(text)
	return entry{name: name, text: text, line: line, plausible: plausible(name)}
}

func (f *ownersFile) filtered() bool { return len(f.sections) > 0 && f.sections[0].pattern != "" }

// add records a fault; the first that denies decides.
func (f *ownersFile) add(x fault) {
	if x.denies && f.denies == nil {
		f.denies = &x
	}
	if len(f.faults) < maxFaults {
		f.faults = append(f.faults, x)
	}
}

func (f *ownersFile) malformed(line int, msg string) {
	f.add(fault{code: CodeMalformed, line: line, msg: msg, denies: true,
		fix: "mend the file; until then it denies everything below its directory"})
}
