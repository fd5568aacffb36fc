// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/spell"
)

// The keys of an OWNERS file. Prow's decoder folds case, so this one does too:
// a restriction written "No_Parent_Owners" holds.
var (
	topKeys     = []string{"approvers", "reviewers", "required_reviewers", "labels", "filters", "options", "emeritus_approvers", "emeritus_reviewers"}
	sectionKeys = []string{"approvers", "reviewers", "required_reviewers", "labels"}
	optionKeys  = []string{"no_parent_owners", "auto_approve_unowned_subfolders"}
)

// parser reads one file; entries counts what it has read against maxEntries.
type parser struct {
	file    *ownersFile
	front   bool // front matter: foreign keys are normal, filters are not read
	entries int
}

// parseOwners reads an OWNERS file strictly (O-2). It never fails: what is wrong
// is among the faults of the result, all of it at once.
func parseOwners(b []byte) *ownersFile {
	p := parser{file: &ownersFile{}}
	p.parse(b)
	return p.file
}

// parseFrontMatter reads the YAML header of a Markdown file, or returns nil when
// there is none or it owns nothing (O-13).
func parseFrontMatter(b []byte) *ownersFile {
	head, ok := frontMatter(b)
	if !ok {
		return nil
	}
	p := parser{file: &ownersFile{}, front: true}
	p.parse(head)
	if p.file.denies == nil && len(p.file.sections) == 0 && !p.file.noParent && !p.file.autoApprove {
		return nil
	}
	return p.file
}

// frontMatter is the text between the first two lines of three hyphens. Without
// a proper second line Prow takes all up to the last "\n---", and so does this.
func frontMatter(b []byte) ([]byte, bool) {
	const fence = "\n---"
	if !bytes.HasPrefix(b, []byte("---\n")) {
		return nil, false
	}
	body := b[3:] // from the newline, so that an empty header has its fence
	for from := 0; ; {
		i := bytes.Index(body[from:], []byte(fence))
		if i < 0 {
			break
		}
		end := from + i
		if next := end + len(fence); next == len(body) || strings.IndexByte(" \t\r\n", body[next]) >= 0 {
			return body[:end], true
		}
		from = end + 1
	}
	last := bytes.LastIndex(body, []byte(fence))
	return body[:max(last, 0)], last >= 0
}

func (p *parser) parse(b []byte) {
	top, err := document(b)
	if err != nil {
		p.fail(err)
		return
	}
	if top == nil {
		if !p.front {
			p.file.add(fault{code: CodeEmpty, msg: "the file is empty", fix: "list approvers, or remove the file"})
		}
		return
	}
	p.top(top)
}

func (p *parser) fail(err error) { p.file.malformed(lineOf(err), err.Error()) }

func (p *parser) top(top *yaml.Node) {
	items, err := pairs(top, strings.ToLower)
	if err != nil {
		p.fail(err)
		return
	}
	plain := section{line: top.Line}
	for _, item := range items {
		key := p.key(item.key, topKeys)
		switch key {
		case "filters":
			if !p.front {
				p.filters(item.value)
			}
		case "options":
			p.options(item.value)
		case "emeritus_approvers", "emeritus_reviewers":
			p.file.emeritus = append(p.file.emeritus, p.list(item.value, true)...)
		default:
			p.member(&plain, key, item.value)
		}
	}
	p.settle(plain)
}

// settle adds the plain section, or refuses it beside filters (F2).
func (p *parser) settle(plain section) {
	if plain.empty() {
		return
	}
	if len(p.file.sections) > 0 {
		p.file.add(fault{code: CodeMixed, line: plain.firstLine(), denies: true,
			msg: "people or labels stand beside filters; Prow drops the filters",
			fix: "move the lists into a filter \".*\""})
	}
	p.file.sections = slices.Insert(p.file.sections, 0, plain)
}

func (s *section) empty() bool {
	return len(s.approvers)+len(s.reviewers)+len(s.required)+len(s.labels) == 0
}

func (s *section) firstLine() int {
	for _, list := range [][]entry{s.approvers, s.reviewers, s.required, s.labels} {
		if len(list) > 0 {
			return list[0].line
		}
	}
	return s.line
}

// key returns the canonical form of a known key, or "" after a fault.
func (p *parser) key(n *yaml.Node, known []string) string {
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, n.Value) })
	switch {
	case i >= 0 && known[i] != n.Value:
		p.file.add(fault{code: CodeSpelling, line: n.Line, detail: known[i],
			msg: fmt.Sprintf("key %q is read as %s", clip(n.Value, 80), known[i]), fix: "write " + known[i]})
		return known[i]
	case i >= 0:
		return known[i]
	case !p.front:
		p.file.add(unknownKey(n, known))
	}
	return ""
}

func unknownKey(n *yaml.Node, known []string) fault {
	f := fault{code: CodeUnknownKey, line: n.Line, detail: clip(n.Value, 80),
		msg: fmt.Sprintf("unknown key %q is not read by anyone", clip(n.Value, 80)),
		fix: "remove it; known here: " + strings.Join(known, ", ")}
	if near := spell.Nearest(strings.ToLower(n.Value), known); near != "" {
		f.fix = fmt.Sprintf("did you mean %s?", near)
	}
	return f
}

func (p *parser) member(s *section, key string, value *yaml.Node) {
	switch key {
	case "approvers":
		s.approvers = p.list(value, true)
	case "reviewers":
		s.reviewers = p.list(value, true)
	case "required_reviewers":
		s.required = p.list(value, true)
	case "labels":
		s.labels = p.list(value, false)
	}
}

func (p *parser) options(n *yaml.Node) {
	items, err := pairs(n, strings.ToLower)
	if err != nil {
		p.fail(err)
		return
	}
	for _, item := range items {
		key := p.key(item.key, optionKeys)
		if key == "" {
			continue
		}
		value, canonical, err := boolean(item.value)
		if err != nil {
			p.fail(err)
			continue
		}
		if !canonical {
			p.file.add(fault{code: CodeSpelling, line: item.value.Line, detail: key,
				msg: fmt.Sprintf("%s: %s is read as %t", key, item.value.Value, value), fix: fmt.Sprintf("write %t", value)})
		}
		if key == "no_parent_owners" {
			p.file.noParent, p.file.noParentLine = value, item.key.Line
		} else {
			p.file.autoApprove = value
		}
	}
}

func (p *parser) filters(n *yaml.Node) {
	items, err := pairs(n, verbatim)
	if err != nil {
		p.fail(err)
		return
	}
	if len(items) > maxFilters {
		p.file.malformed(n.Line, fmt.Sprintf("more than %d filters", maxFilters))
		return
	}
	for _, item := range items {
		p.filter(item)
	}
}

func (p *parser) filter(item pair) {
	s := section{pattern: item.key.Value, line: item.key.Line}
	re, err := compilePattern(s.pattern)
	switch {
	case err != nil:
		p.file.add(fault{code: CodePattern, line: s.line, denies: true, detail: clip(s.pattern, 80),
			msg: fmt.Sprintf("filter \"%s\": %v", clip(s.pattern, 80), err), fix: "mend the regular expression (Go RE2 syntax)"})
	case s.pattern == "":
		// The empty pattern matches everything and is never meant.
		p.file.add(fault{code: CodePattern, line: s.line, denies: true,
			msg: "a filter is empty", fix: "write \".*\" for every file"})
	}
	s.re = re
	fields, err := pairs(item.value, strings.ToLower)
	if err != nil {
		p.fail(err)
		return
	}
	for _, field := range fields {
		p.member(&s, p.key(field.key, sectionKeys), field.value)
	}
	p.file.sections = append(p.file.sections, s)
}

// list reads a list of names (people) or of labels. An empty item is dropped
// with a fault; any other shape makes the file malformed.
func (p *parser) list(n *yaml.Node, people bool) []entry {
	n = follow(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		p.fail(atLine(n, "want a list, found %s", kindName(n)))
		return nil
	}
	if p.entries += len(n.Content); p.entries > maxEntries {
		p.fail(atLine(n, "more than %d entries", maxEntries))
		return nil
	}
	list := make([]entry, 0, len(n.Content))
	for _, item := range n.Content {
		if isNull(follow(item)) {
			p.file.add(fault{code: CodeBadLogin, line: item.Line, msg: "an empty entry", fix: "remove it"})
			continue
		}
		value, err := text(item)
		if err != nil {
			p.fail(err)
			return nil
		}
		if people {
			list = append(list, person(value, item.Line))
		} else {
			list = append(list, entry{name: value, text: value, line: item.Line})
		}
	}
	return list
}
