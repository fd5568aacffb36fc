// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// aliasFile is OWNERS_ALIASES: groups of logins, one level deep.
type aliasFile struct {
	groups map[string]*group   // by normalised name
	of     map[string][]string // login to the names of its groups
	faults []fault
	broken *fault // F7: no group grants anything
	// Of a broken file only: which of its words stand where an alias name could
	// stand, and which are items of a list.
	names   map[string]bool
	members map[string]bool
}

// group is one alias.
type group struct {
	name    string
	text    string
	line    int
	members []entry
}

func newAliasFile() *aliasFile {
	return &aliasFile{groups: map[string]*group{}, of: map[string][]string{}}
}

func (a *aliasFile) put(g *group) { a.groups[g.name] = g }

// index fills of. A login listed twice in a group counts once.
func (a *aliasFile) index() {
	for name, g := range a.groups {
		seen := make(map[string]bool, len(g.members))
		for _, m := range g.members {
			if !seen[m.name] {
				seen[m.name] = true
				a.of[m.name] = append(a.of[m.name], name)
			}
		}
	}
}

// parseAliases reads OWNERS_ALIASES strictly (O-10). One fault that Prow would
// stop at breaks the whole file, because what Prow keeps then is random (F7).
func parseAliases(b []byte) *aliasFile {
	a := newAliasFile()
	if err := a.parse(b); err != nil {
		return brokenAliases(b, lineOf(err), err.Error())
	}
	a.index()
	return a
}

func (a *aliasFile) parse(b []byte) error {
	top, err := document(b)
	if err != nil || top == nil {
		return err
	}
	items, err := pairs(top, strings.ToLower)
	if err != nil {
		return err
	}
	for _, item := range items {
		if !strings.EqualFold(item.key.Value, "aliases") {
			a.faults = append(a.faults, unknownKey(item.key, []string{"aliases"}))
			continue
		}
		if err := a.parseGroups(item.value); err != nil {
			return err
		}
	}
	return nil
}

func (a *aliasFile) parseGroups(n *yaml.Node) error {
	items, err := pairs(n, NormLogin)
	if err != nil {
		return err
	}
	total := 0
	for _, item := range items {
		g := &group{name: NormLogin(item.key.Value), text: item.key.Value, line: item.key.Line}
		if g.members, err = aliasMembers(item.value); err != nil {
			return err
		}
		if total += len(g.members); total > maxEntries {
			return atLine(item.key, "more than %d members", maxEntries)
		}
		a.put(g)
	}
	return nil
}

// aliasMembers reads a list; nothing is an empty alias, and the keys of a
// mapping without values ({a, b}) are members, as Prow has it.
func aliasMembers(n *yaml.Node) ([]entry, error) {
	n = follow(n)
	var items []*yaml.Node
	switch {
	case isNull(n):
	case n.Kind == yaml.SequenceNode:
		items = n.Content
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !isNull(n.Content[i+1]) {
				return nil, atLine(n.Content[i], "an alias cannot contain another mapping")
			}
			items = append(items, n.Content[i])
		}
	default:
		return nil, atLine(n, "an alias must be a list of logins, found %s", kindName(n))
	}
	members := make([]entry, 0, len(items))
	for _, item := range items {
		value := follow(item)
		if value.Kind != yaml.ScalarNode || value.Tag != "!!str" {
			return nil, atLine(item, "an alias member must be text, found %s", kindName(value))
		}
		members = append(members, person(value.Value, item.Line))
	}
	return members, nil
}

var (
	aliasWord   = regexp.MustCompile(`[@A-Za-z0-9][A-Za-z0-9_.-]*`)
	aliasMember = regexp.MustCompile(`^\s*-\s+["']?(@?[A-Za-z0-9][A-Za-z0-9-]*)["']?\s*(?:#.*)?$`)
)

// brokenAliases salvages from the text which names must not be taken for logins:
// every word that is not plainly an item of a block list. It grants nothing.
func brokenAliases(b []byte, line int, why string) *aliasFile {
	a := newAliasFile()
	a.broken = &fault{code: CodeAliases, line: line, denies: true, msg: why,
		fix: "mend the file; until then no alias grants anything"}
	a.faults = []fault{*a.broken}
	a.names, a.members = map[string]bool{}, map[string]bool{}
	for text := range strings.Lines(string(b)) {
		text = strings.TrimRight(text, "\r\n")
		if m := aliasMember.FindStringSubmatch(text); m != nil {
			a.members[NormLogin(m[1])] = true
			continue
		}
		for _, word := range aliasWord.FindAllString(text, -1) {
			a.names[NormLogin(word)] = true
		}
	}
	return a
}

// isLogin reports whether a name in an OWNERS file, or a member of an alias, may
// stand for the account of that name (O-11). While the aliases file is broken a
// name with a hyphen must be seen there as a member to count.
func (a *aliasFile) isLogin(name string) bool {
	return a.groups[name] == nil && plausible(name) && !a.lost(name)
}

// lost reports whether name may be an alias that a broken file defined.
func (a *aliasFile) lost(name string) bool {
	return a.broken != nil && (a.names[name] || strings.Contains(name, "-") && !a.members[name])
}

// whyNotLogin words the answer of isLogin for people.
func (a *aliasFile) whyNotLogin(name, aliasesName string) string {
	switch {
	case a.groups[name] != nil:
		return fmt.Sprintf("is an alias of %s, not a login", aliasesName)
	case !legalLogin(name):
		return "is not a legal GitHub login"
	case aliasShaped(name):
		return fmt.Sprintf("looks like an alias, and %s does not define it", aliasesName)
	default:
		return fmt.Sprintf("could be an alias that got lost in the broken %s", aliasesName)
	}
}
