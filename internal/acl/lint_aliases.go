// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"fmt"
	"path"
	"strings"
)

// aliasFile checks the groups themselves; it runs after all files were seen.
func (l *linter) aliasFile() {
	aliases := l.tree.aliases
	for name, g := range aliases.groups {
		if !l.used[name] {
			l.addAlias(fault{code: CodeUnusedAlias, line: g.line, detail: name,
				msg: fmt.Sprintf("alias %s is not used in any %s file", g.text, l.tree.opts.Filenames.Owners)})
		}
		if len(g.members) == 0 {
			l.addAlias(fault{code: CodeEmptyAlias, line: g.line, detail: name,
				msg: fmt.Sprintf("alias %s has no members", g.text), fix: "add members, or remove it"})
		}
		for _, m := range g.members {
			l.aliasMember(g, m)
		}
		l.duplicates(l.tree.opts.Filenames.Aliases, name, g.members)
	}
}

func (l *linter) addAlias(f fault) { l.add(l.tree.opts.Filenames.Aliases, f) }

func (l *linter) aliasMember(g *group, m entry) {
	detail := g.name + ":" + m.name
	switch {
	case m.name == g.name:
		l.addAlias(fault{code: CodeAliasAsLogin, line: m.line, detail: detail,
			msg: fmt.Sprintf("alias %s has the name of its member, who is then no login anywhere", g.text), fix: "rename the alias"})
	case l.tree.aliases.groups[m.name] != nil || aliasShaped(m.name):
		l.addAlias(fault{code: CodeNestedAlias, line: m.line, detail: detail,
			msg: fmt.Sprintf("%s in alias %s is itself an alias, and aliases are expanded once", clip(m.text, 80), g.text),
			fix: "list the people"})
	case !legalLogin(m.name):
		l.addAlias(fault{code: CodeBadLogin, line: m.line, detail: detail,
			msg: fmt.Sprintf("%q in alias %s is not a legal login", clip(m.text, 80), g.text), fix: "correct or remove it"})
	}
	if strings.HasPrefix(m.text, "@") {
		l.addAlias(fault{code: CodeSpelling, line: m.line, detail: detail,
			msg: fmt.Sprintf("%q has a leading @", clip(m.text, 80)), fix: "write it without"})
	}
}

// deadFilters finds filters that match no file below the directory, and in a
// restricted directory files that no filter with approvers matches (F3). It
// needs the names of the files.
func (l *linter) deadFilters(n *node) {
	f := n.owners
	if !l.tree.opts.ListFiles || !f.filtered() || f.denies != nil {
		return
	}
	alive := make([]bool, len(f.sections))
	orphans, example := 0, ""
	n.walkFiles("", func(rel string) {
		owned := false
		for i := range f.sections {
			if f.sections[i].matches(rel) {
				alive[i] = true
				owned = owned || len(f.sections[i].approvers) > 0
			}
		}
		if !owned {
			orphans, example = orphans+1, min(rel, orElse(example, rel))
		}
	})
	file := path.Join(n.path, l.tree.opts.Filenames.Owners)
	for i, s := range f.sections {
		if !alive[i] {
			l.add(file, fault{code: CodeDeadFilter, line: s.line, detail: clip(s.pattern, 80),
				msg: fmt.Sprintf("filter \"%s\" matches no file below %s", clip(s.pattern, 80), orDot(n.path)),
				fix: "patterns are matched anywhere in the path relative to this directory"})
		}
	}
	if f.noParent && orphans > 0 {
		l.add(file, fault{code: CodeUnmatched, line: f.noParentLine,
			msg: fmt.Sprintf("nobody may approve %d files, for example %s: the directory is restricted and no filter with approvers matches", orphans, example),
			fix: "add a filter \".*\""})
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// walkFiles visits the files below n by their path relative to it.
func (n *node) walkFiles(rel string, visit func(string)) {
	for _, name := range n.files {
		visit(path.Join(rel, name))
	}
	for name, child := range n.children {
		child.walkFiles(path.Join(rel, name), visit)
	}
}
