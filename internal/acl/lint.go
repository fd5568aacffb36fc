// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/spell"
)

// Lint returns every fault of the OWNERS files of a Strict tree, sorted, with
// the severities for a review (docs/owners.md). Filters that match no file are
// found only when the tree was loaded with Options.ListFiles. The owners of a
// finding are the nearest people who can approve its repair.
func Lint(t *Tree) []finding.Finding {
	l := linter{tree: t, used: map[string]bool{}}
	l.all = t.faults(lintSeverity)
	t.root.each(l.directory)
	l.aliasFile()
	l.rootApprovers()
	for i := range l.all {
		l.all[i].Owners = t.Responsible(l.all[i].File)
	}
	finding.Sort(l.all)
	return l.all
}

type linter struct {
	tree *Tree
	all  []finding.Finding
	used map[string]bool // aliases that some file mentions
}

func (l *linter) add(file string, f fault) { l.all = append(l.all, f.at(file, lintSeverity)) }

// Responsible lists the people whom a fault in a file concerns, sorted: its leaf
// approvers, or those of the nearest OWNERS file that can be read.
func (t *Tree) Responsible(file string) []string {
	if people, err := t.LeafApprovers(file); err == nil && len(people) > 0 {
		return sorted(people)
	}
	for _, g := range t.menders(file) {
		return g.People
	}
	return nil
}

func (l *linter) directory(n *node) {
	if n.stray {
		l.add(path.Join(n.path, l.tree.opts.Filenames.Aliases), fault{code: CodeStrayAliases,
			msg: "aliases are read at the root of the repository only", fix: "move its groups there and remove it"})
	}
	if n.owners != nil {
		l.file(path.Join(n.path, l.tree.opts.Filenames.Owners), n.owners)
		l.restriction(n)
		l.retired(n)
		l.deadFilters(n)
	}
	for name, f := range n.markdown {
		l.file(path.Join(n.path, name), f)
	}
}

// file checks what can be seen in one file and the aliases.
func (l *linter) file(file string, f *ownersFile) {
	approvers := map[string]int{}
	for i := range f.sections {
		s := &f.sections[i]
		l.list(file, s, "approvers", s.approvers)
		l.list(file, s, "reviewers", s.reviewers)
		l.list(file, s, "required_reviewers", s.required)
		l.duplicates(file, s.pattern+"labels", s.labels)
		for _, e := range s.approvers {
			approvers[e.name] = e.line
		}
	}
	l.emeritus(file, f, approvers)
	if f.denies == nil && len(approvers) == 0 && !emptyFault(f) && !f.noParent {
		l.add(file, fault{code: CodeNoApprovers, line: firstLine(f),
			msg: "names no approvers; those of the directories above decide", fix: "add approvers where others should decide"})
	}
}

func emptyFault(f *ownersFile) bool {
	return slices.ContainsFunc(f.faults, func(x fault) bool { return x.code == CodeEmpty })
}

func firstLine(f *ownersFile) int {
	if len(f.sections) > 0 {
		return f.sections[0].line
	}
	return 0
}

// list checks one list of people.
func (l *linter) list(file string, s *section, key string, list []entry) {
	for _, e := range list {
		if l.tree.aliases.groups[e.name] != nil {
			l.used[e.name] = true
		}
		l.name(file, e)
	}
	l.duplicates(file, s.pattern+key, list)
	l.redundant(file, s.pattern+key, list)
}

// name checks one entry. While the aliases file is broken nothing is undefined.
func (l *linter) name(file string, e entry) {
	aliases := l.tree.aliases
	switch {
	case aliases.groups[e.name] != nil || aliases.broken != nil:
	case !legalLogin(e.name):
		l.add(file, fault{code: CodeBadLogin, line: e.line, detail: e.name,
			msg: fmt.Sprintf("%q is neither an alias nor a legal login", clip(e.text, 80)), fix: l.suggest(e.name)})
	case aliasShaped(e.name):
		l.add(file, fault{code: CodeUndefinedAlias, line: e.line, detail: e.name,
			msg: fmt.Sprintf("%q looks like an alias and is not defined; whoever registers the name on GitHub would gain the grant in Prow", e.text),
			fix: l.suggest(e.name)})
	default:
		l.nearAlias(file, e)
	}
	if strings.HasPrefix(e.text, "@") {
		l.add(file, fault{code: CodeSpelling, line: e.line, detail: e.name,
			msg: fmt.Sprintf("%q has a leading @", clip(e.text, 80)), fix: "write it without"})
	}
}

// nearAlias finds a misspelt alias that reads like a person.
func (l *linter) nearAlias(file string, e entry) {
	for _, name := range slices.Sorted(maps.Keys(l.tree.aliases.groups)) {
		if g := l.tree.aliases.groups[name]; len(name) > 4 && spell.Distance(e.name, name) == 1 {
			l.add(file, fault{code: CodeNearAlias, line: e.line, detail: e.name,
				msg: fmt.Sprintf("%q is read as a login, and an alias is called %s; whoever has the login gains the grant", e.text, g.text),
				fix: fmt.Sprintf("did you mean %s?", g.text)})
			return
		}
	}
}

func (l *linter) suggest(name string) string {
	known := make([]string, 0, len(l.tree.aliases.groups))
	for alias := range l.tree.aliases.groups {
		known = append(known, alias)
	}
	slices.Sort(known)
	if near := spell.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "define it in " + l.tree.opts.Filenames.Aliases + " or remove it"
}

func (l *linter) duplicates(file, list string, entries []entry) {
	first := make(map[string]int, len(entries))
	for _, e := range entries {
		if line, ok := first[e.name]; ok {
			l.add(file, fault{code: CodeDuplicate, line: e.line, detail: list + ":" + e.name,
				msg: fmt.Sprintf("%q is listed twice, first in line %d", clip(e.text, 80), line), fix: "remove one"})
			continue
		}
		first[e.name] = e.line
	}
}

// redundant finds logins that an alias of the same list contains. They keep
// access when the alias loses them, which is rarely meant.
func (l *linter) redundant(file, list string, entries []entry) {
	for _, e := range entries {
		if l.tree.aliases.groups[e.name] != nil {
			continue
		}
		for _, alias := range l.tree.aliases.of[e.name] {
			if slices.ContainsFunc(entries, func(x entry) bool { return x.name == alias }) {
				l.add(file, fault{code: CodeRedundant, line: e.line, detail: list + ":" + e.name,
					msg: fmt.Sprintf("%s is listed beside %s, which contains the same person", e.text, alias),
					fix: "keep one; an explicit entry outlives a change of the alias"})
				break
			}
		}
	}
}

func (l *linter) emeritus(file string, f *ownersFile, approvers map[string]int) {
	for _, e := range f.emeritus {
		if line, ok := approvers[e.name]; ok {
			l.add(file, fault{code: CodeEmeritus, line: e.line, detail: e.name,
				msg: fmt.Sprintf("%s is emeritus and still an approver (line %d)", e.text, line), fix: "remove one of the two entries"})
		}
	}
	l.duplicates(file, "emeritus", f.emeritus)
}

// retired finds approvers whom a directory above has retired: often the entry
// that was forgotten when somebody left.
func (l *linter) retired(n *node) {
	above := map[string]string{} // login to the file that retires it
	for _, s := range l.tree.chain(orDot(n.path), nil) {
		for _, e := range s.owners.emeritus {
			if s.dir != n.path {
				above[e.name] = l.tree.file(s)
			}
		}
	}
	for i := range n.owners.sections {
		list := n.owners.sections[i].approvers
		for _, e := range list {
			for login := range l.tree.expand(list, e, approverRole()) {
				if by, ok := above[login]; ok {
					l.addRetired(n, e, login, by)
				}
			}
		}
	}
}

func (l *linter) addRetired(n *node, e entry, login, by string) {
	through := ""
	if e.name != login {
		through = " through " + e.text
	}
	l.add(path.Join(n.path, l.tree.opts.Filenames.Owners), fault{code: CodeEmeritusBelow, line: e.line, detail: login,
		msg: fmt.Sprintf("%s approves here%s and is emeritus in %s", login, through, by),
		fix: "remove the entry if the person has left for good"})
}

// restriction checks that a restricted directory has somebody (F4) and more
// than one.
func (l *linter) restriction(n *node) {
	f := n.owners
	if !f.noParent || f.denies != nil {
		return
	}
	file, people := path.Join(n.path, l.tree.opts.Filenames.Owners), Set{}
	for i := range f.sections {
		list := f.sections[i].approvers
		for _, e := range list {
			for login := range l.tree.expand(list, e, candidateRole()) {
				people[login] = struct{}{}
			}
		}
	}
	switch len(people) {
	case 0:
		l.add(file, fault{code: CodeVacant, line: f.noParentLine,
			msg: "the directory is restricted (no_parent_owners) and nobody may approve in it; in Prow the parents may",
			fix: "add approvers, or remove no_parent_owners"})
	case 1:
		l.add(file, fault{code: CodeSoleApprover, line: f.noParentLine,
			msg: fmt.Sprintf("the directory is restricted (no_parent_owners) and hangs on %s alone", sorted(people)[0]),
			fix: "add a second approver"})
	}
}

func (l *linter) rootApprovers() {
	if l.tree.root.owners != nil && l.tree.root.owners.denies != nil || len(l.tree.TopLevelApprovers()) > 0 {
		return
	}
	l.add(l.tree.opts.Filenames.Owners, fault{code: CodeNoRootApprovers,
		msg: "the root of the repository has no approvers", fix: "list them in " + l.tree.opts.Filenames.Owners})
}
