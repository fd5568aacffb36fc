// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/thread"
)

// Prow is what the rules of docs/policy.md need of a Prow's config.yaml and plugins.yaml. ParseProw makes it.
type Prow struct {
	config  document
	plugins document

	tide       tide
	protection protection
	external   map[string][]external // by org or org/repo
}

// ParseProw reads the two files; the names are those that findings carry. A file whose stanzas have another type than
// Prow expects is an error.
func ParseProw(configFile string, config []byte, pluginsFile string, plugins []byte) (*Prow, error) {
	var c struct {
		Protection protection `yaml:"branch-protection"`
		Tide       struct {
			ContextOptions tide `yaml:"context_options"`
		} `yaml:"tide"`
	}
	var p struct {
		External map[string][]external `yaml:"external_plugins"`
	}
	configDoc, err := decode(configFile, config, &c)
	if err != nil {
		return nil, err
	}
	pluginsDoc, err := decode(pluginsFile, plugins, &p)
	if err != nil {
		return nil, err
	}
	return &Prow{configDoc, pluginsDoc, c.Tide.ContextOptions, c.Protection, p.External}, nil
}

// place is where a rule is asked: a branch of a repository, or with "" all branches that no stanza names.
type place struct {
	thread.Repo
	branch string
}

func (p place) String() string {
	if p.branch == "" {
		return p.Repo.String()
	}
	return p.Repo.String() + "@" + p.branch
}

// at is the path of a stanza's part for the place, below its root.
func (p place) at(root ...string) []string {
	path := append(root, "orgs", p.Org, "repos", p.Name)
	if p.branch != "" {
		path = append(path, "branches", p.branch)
	}
	return path
}

// options is one level of tide.context_options.
type options struct {
	SkipUnknown          *bool    `yaml:"skip-unknown-contexts"`
	FromBranchProtection *bool    `yaml:"from-branch-protection"`
	Required             []string `yaml:"required-contexts"`
	RequiredIfPresent    []string `yaml:"required-if-present-contexts"`
	Optional             []string `yaml:"optional-contexts"`
	OptionalRegex        []string `yaml:"optional-regex-contexts"`
}

// tide is tide.context_options with its four levels.
type tide struct {
	options `yaml:",inline"`
	Orgs    map[string]struct {
		options `yaml:",inline"`
		Repos   map[string]struct {
			options  `yaml:",inline"`
			Branches map[string]options `yaml:"branches"`
		} `yaml:"repos"`
	} `yaml:"orgs"`
}

// merged is what Prow makes of the levels: lists add up, of booleans the innermost counts
// (pkg/config/tide.go, ParseTideContextPolicyOptions).
func (t tide) merged(at place) options {
	org := t.Orgs[at.Org]
	repo := org.Repos[at.Name]
	all := options{}
	for _, level := range []options{t.options, org.options, repo.options, repo.Branches[at.branch]} {
		all.SkipUnknown = inner(all.SkipUnknown, level.SkipUnknown)
		all.FromBranchProtection = inner(all.FromBranchProtection, level.FromBranchProtection)
		all.Required = append(all.Required, level.Required...)
		all.RequiredIfPresent = append(all.RequiredIfPresent, level.RequiredIfPresent...)
		all.Optional = append(all.Optional, level.Optional...)
		all.OptionalRegex = append(all.OptionalRegex, level.OptionalRegex...)
	}
	return all
}

func inner(outer, inner *bool) *bool {
	if inner == nil {
		return outer
	}
	return inner
}

func is(b *bool) bool { return b != nil && *b }

// optional says by which setting a context is optional, or "" (pkg/config/tide.go, IsOptional). An expression that does
// not compile makes everything optional: Prow refuses it, so that nothing is known.
func (o options) optional(context string, required bool) string {
	if slices.Contains(o.Optional, context) {
		return "optional-contexts"
	}
	for _, pattern := range o.OptionalRegex {
		if re, err := regexp.Compile(pattern); err != nil || re.MatchString(context) {
			return "optional-regex-contexts"
		}
	}
	if !required && !slices.Contains(o.RequiredIfPresent, context) && is(o.SkipUnknown) {
		return "skip-unknown-contexts"
	}
	return ""
}

// branchPolicy is one level of branch-protection.
type branchPolicy struct {
	Unmanaged *bool `yaml:"unmanaged"`
	Protect   *bool `yaml:"protect"`
	Checks    struct {
		Contexts []string `yaml:"contexts"`
	} `yaml:"required_status_checks"`
}

// protection is branch-protection with its four levels.
type protection struct {
	branchPolicy `yaml:",inline"`
	Orgs         map[string]struct {
		branchPolicy `yaml:",inline"`
		Repos        map[string]struct {
			branchPolicy `yaml:",inline"`
			Branches     map[string]branchPolicy `yaml:"branches"`
		} `yaml:"repos"`
	} `yaml:"orgs"`
}

// merged is the policy of a branch as Prow merges it; of an organization that is not named, none
// (pkg/config/branch_protection.go, GetBranchProtection).
func (p protection) merged(at place) branchPolicy {
	org, named := p.Orgs[at.Org]
	if !named {
		return branchPolicy{}
	}
	repo := org.Repos[at.Name]
	all := branchPolicy{}
	for _, level := range []branchPolicy{p.branchPolicy, org.branchPolicy, repo.branchPolicy, repo.Branches[at.branch]} {
		all.Unmanaged = inner(all.Unmanaged, level.Unmanaged)
		all.Protect = inner(all.Protect, level.Protect)
		all.Checks.Contexts = append(all.Checks.Contexts, level.Checks.Contexts...)
	}
	return all
}

// branches lists the branches of a repository that some stanza names, sorted, after "" for all others.
func (p *Prow) branches(repo thread.Repo) []string {
	names := []string{""}
	for name := range p.tide.Orgs[repo.Org].Repos[repo.Name].Branches {
		names = append(names, name)
	}
	for name := range p.protection.Orgs[repo.Org].Repos[repo.Name].Branches {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// external is one entry of external_plugins.
type external struct {
	Name     string   `yaml:"name"`
	Endpoint string   `yaml:"endpoint"`
	Events   []string `yaml:"events"`

	line int
}

// UnmarshalYAML keeps the line.
func (e *external) UnmarshalYAML(n *yaml.Node) error {
	type plain external
	e.line = n.Line
	return n.Decode((*plain)(e))
}

// entries are those that Prow forwards a repository's events to (pkg/hook/server.go, needDemux).
func (p *Prow) entries(repo thread.Repo) []external {
	return slices.Concat(p.external[repo.String()], p.external[repo.Org])
}
