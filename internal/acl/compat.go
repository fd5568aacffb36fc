// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// The shapes Prow decodes (repoowners.SimpleConfig, FullConfig). Compat mode
// goes through the same library, because the differences that matter are in how
// YAML 1.1 becomes JSON: coerced numbers, folded and duplicate keys.
type prowSection struct {
	Approvers         []string `json:"approvers,omitempty"`
	Reviewers         []string `json:"reviewers,omitempty"`
	RequiredReviewers []string `json:"required_reviewers,omitempty"`
	Labels            []string `json:"labels,omitempty"`
}

type prowOptions struct {
	NoParentOwners               bool `json:"no_parent_owners,omitempty"`
	AutoApproveUnownedSubfolders bool `json:"auto_approve_unowned_subfolders,omitempty"`
}

type prowSimple struct {
	Options     prowOptions `json:"options,omitempty"`
	prowSection `json:",inline"`
}

type prowFull struct {
	Options prowOptions            `json:"options,omitempty"`
	Filters map[string]prowSection `json:"filters,omitempty"`
}

func (s *prowSection) empty() bool {
	return len(s.Approvers) == 0 && len(s.Reviewers) == 0 && len(s.RequiredReviewers) == 0 && len(s.Labels) == 0
}

// compatOwners reads an OWNERS file as Prow does: the plain form wins when it
// says anything, a bad pattern drops its filter, and a file that is neither form
// says nothing.
func compatOwners(b []byte) *ownersFile {
	var simple prowSimple
	if err := yaml.Unmarshal(b, &simple); err == nil && !simple.empty() {
		return compatPlain(simple)
	}
	var full prowFull
	if err := yaml.Unmarshal(b, &full); err != nil {
		return &ownersFile{}
	}
	f := &ownersFile{noParent: full.Options.NoParentOwners, autoApprove: full.Options.AutoApproveUnownedSubfolders}
	for pattern, config := range full.Filters {
		if pattern == ".*" {
			f.sections = append(f.sections, config.section(pattern, nil))
		} else if re, err := regexp.Compile(pattern); err == nil {
			f.sections = append(f.sections, config.section(pattern, re))
		}
	}
	slices.SortFunc(f.sections, func(a, b section) int { return strings.Compare(a.pattern, b.pattern) })
	return f
}

func compatPlain(simple prowSimple) *ownersFile {
	return &ownersFile{
		noParent:    simple.Options.NoParentOwners,
		autoApprove: simple.Options.AutoApproveUnownedSubfolders,
		sections:    []section{simple.section("", nil)},
	}
}

func (s *prowSection) section(pattern string, re *regexp.Regexp) section {
	return section{
		pattern: pattern, re: re,
		approvers: compatEntries(s.Approvers, NormLogin),
		reviewers: compatEntries(s.Reviewers, NormLogin),
		required:  compatEntries(s.RequiredReviewers, NormLogin),
		labels:    compatEntries(s.Labels, verbatim),
	}
}

func compatEntries(names []string, norm func(string) string) []entry {
	entries := make([]entry, len(names))
	for i, name := range names {
		entries[i] = entry{name: norm(name), text: name}
	}
	return entries
}

// compatFrontMatter is Prow's reading of a *.md file.
func compatFrontMatter(b []byte) *ownersFile {
	head, ok := compatHead(b)
	var simple prowSimple
	if !ok || yaml.Unmarshal(head, &simple) != nil {
		return nil
	}
	return compatPlain(simple)
}

// compatHead is Prow's greedy pattern: all up to the last "\n---".
func compatHead(b []byte) ([]byte, bool) {
	const head, fence = "---\n", "\n---"
	if !bytes.HasPrefix(b, []byte(head)) {
		return nil, false
	}
	last := bytes.LastIndex(b[len(head):], []byte(fence))
	if last < 0 {
		return nil, false
	}
	return b[:len(head)+last+len(fence)], true
}

// compatAliases reads OWNERS_ALIASES as Prow does. Where Prow's result depends
// on the order of a map (F7), this takes the one that keeps all readable groups.
func compatAliases(b []byte) *aliasFile {
	a := newAliasFile()
	var config struct {
		Data map[string]any `json:"aliases,omitempty"`
	}
	if err := yaml.Unmarshal(b, &config); err != nil {
		return a
	}
	for _, alias := range slices.Sorted(maps.Keys(config.Data)) {
		if names, ok := compatMembers(config.Data[alias]); ok {
			a.put(&group{name: NormLogin(alias), text: alias, members: compatEntries(names, NormLogin)})
		}
	}
	a.index()
	return a
}

func compatMembers(value any) (names []string, ok bool) {
	switch v := value.(type) {
	case nil:
		return nil, true
	case []any:
		for _, member := range v {
			name, ok := member.(string)
			if !ok {
				return nil, false
			}
			names = append(names, name)
		}
		return names, true
	case map[string]any:
		return slices.Sorted(maps.Keys(v)), true
	}
	return nil, false
}
