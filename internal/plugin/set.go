// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/thread"
)

// Set is plugins whose names, verbs and contexts do not collide. It is immutable
// and may be used concurrently.
type Set struct {
	plugins []Plugin
	verbs   map[string]entry
}

// entry is a row with its owner.
type entry struct {
	plugin string
	row    command.Row
}

// Members tells whether GitHub lists a login as a collaborator of a repository.
// An error means that it is not known.
type Members interface {
	Member(ctx context.Context, repo thread.Repo, login string) (bool, error)
}

// Options is what one repository wants.
type Options struct {
	Enabled []string          // names of plugins, in the order of its settings
	Aliases map[string]string // short form without the slash -> verb
	Members Members
	// Here tells whether this process runs an enabled plugin; nil means all of
	// them. What belongs to no plugin is answered by the process that runs the
	// first one, so that several processes give one answer.
	Here func(plugin string) bool
}

func (o Options) here(name string) bool {
	return slices.Contains(o.Enabled, name) && (o.Here == nil || o.Here(name))
}

// first tells whether this process answers what belongs to no plugin.
func (o Options) first() bool { return len(o.Enabled) > 0 && o.here(o.Enabled[0]) }

// legalName fits a URL path, a topic of thread.Sticky and the key of a record.
var legalName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,29}$`)

// ContextPrefix begins every commit status of ours.
const ContextPrefix = "steward/"

// NewSet checks the plugins against each other. The error names every collision.
func NewSet(plugins []Plugin) (*Set, error) {
	t := &Set{plugins: slices.Clone(plugins), verbs: map[string]entry{}}
	errs := t.add(Plugin{Name: command.Topic, Summary: "builtin", Rows: []command.Row{command.Help(nil, nil)}})
	names := map[string]bool{command.Topic: true}
	contexts := map[string]string{}
	for _, p := range plugins {
		if !legalName.MatchString(p.Name) || names[p.Name] {
			errs = append(errs, fmt.Errorf("plugin %q: the name is not a lower-case word, or is taken", p.Name))
		}
		names[p.Name] = true
		errs = append(errs, t.add(p)...)
		errs = append(errs, t.orphans(p)...)
		for _, c := range p.Contexts {
			if !strings.HasPrefix(c, ContextPrefix) || contexts[c] != "" || p.Watch == nil {
				errs = append(errs, fmt.Errorf("plugin %s: context %q does not begin with %s, is taken, or nothing sets it", p.Name, c, ContextPrefix))
			}
			contexts[c] = p.Name
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("list of plugins: %w", err)
	}
	return t, nil
}

func (t *Set) add(p Plugin) []error {
	var errs []error
	for _, row := range p.Rows {
		complete := row.Run != nil && row.Where != 0 && row.Help != "" && row.Who.String() != "" && len(row.Examples) > 0
		if !command.LegalVerb(row.Verb) || !complete {
			errs = append(errs, fmt.Errorf("plugin %s: row %q is not complete", p.Name, row.Verb))
		}
		if other, taken := t.verbs[row.Verb]; taken {
			errs = append(errs, fmt.Errorf("plugin %s: verb %q is that of plugin %s", p.Name, row.Verb, other.plugin))
		}
		t.verbs[row.Verb] = entry{p.Name, row}
	}
	if p.Summary == "" {
		errs = append(errs, fmt.Errorf("plugin %s: no summary", p.Name))
	}
	return errs
}

// orphans finds verbs of two words without a row for the first one, which answers
// when the second is mistyped or missing.
func (t *Set) orphans(p Plugin) []error {
	var errs []error
	for _, row := range p.Rows {
		if first, _, two := strings.Cut(row.Verb, " "); two && t.verbs[first].plugin != p.Name {
			errs = append(errs, fmt.Errorf("plugin %s: there is no row %q for the first word of %q", p.Name, first, row.Verb))
		}
	}
	return errs
}

// Check finds everything wrong with the settings of one repository.
func (t *Set) Check(opts Options) error {
	var errs []error
	for i, name := range opts.Enabled {
		switch {
		case slices.Contains(opts.Enabled[:i], name):
			errs = append(errs, fmt.Errorf("plugin %q is listed twice", name))
		case !slices.ContainsFunc(t.plugins, func(p Plugin) bool { return p.Name == name }):
			errs = append(errs, fmt.Errorf("there is no plugin %q; there are %s", name, strings.Join(t.names(), ", ")))
		}
	}
	var verbs []string
	for verb := range t.verbs {
		verbs = append(verbs, verb)
	}
	slices.Sort(verbs)
	return errors.Join(append(errs, command.CheckAliases(opts.Aliases, verbs))...)
}

func (t *Set) names() []string {
	var names []string
	for _, p := range t.plugins {
		names = append(names, p.Name)
	}
	return names
}

// enabled returns the plugins of a repository in the order of the set.
func (t *Set) enabled(names []string) []Plugin {
	return slices.DeleteFunc(slices.Clone(t.plugins), func(p Plugin) bool { return !slices.Contains(names, p.Name) })
}

// Contexts lists the commit statuses that have to be required on a repository
// with these plugins, sorted.
func (t *Set) Contexts(enabled []string) []string {
	var all []string
	for _, p := range t.enabled(enabled) {
		all = append(all, p.Contexts...)
	}
	slices.Sort(all)
	return all
}

// Families groups the rows of the named plugins for help and documentation,
// after the ones that every repository has. No names mean all plugins.
func (t *Set) Families(enabled ...string) []command.Family {
	plugins := t.plugins
	if len(enabled) > 0 {
		plugins = t.enabled(enabled)
	}
	all := []command.Family{{
		Name: command.Topic, Summary: "What every repository has.", Rows: []command.Row{command.Help(nil, nil)},
	}}
	for _, p := range plugins {
		all = append(all, command.Family{Name: p.Name, Summary: p.Summary, Contexts: p.Contexts, Rows: p.Rows})
	}
	return all
}

// Help is what Prow's help page says about one plugin. All texts are plain.
type Help struct {
	Plugin   string
	Summary  string
	Contexts []string
	Commands []CommandHelp
}

// CommandHelp is one row for Prow's help page.
type CommandHelp struct {
	Usage    string // with the short form of the repository, if any
	Help     string
	Where    string
	Who      string
	Examples []string
}

// Help describes the enabled plugins of a repository.
func (t *Set) Help(opts Options) []Help {
	var all []Help
	for _, p := range t.enabled(opts.Enabled) {
		h := Help{Plugin: p.Name, Summary: p.Summary, Contexts: p.Contexts}
		for _, r := range p.Rows {
			h.Commands = append(h.Commands, commandHelp(r, opts.Aliases))
		}
		all = append(all, h)
	}
	return all
}

func commandHelp(r command.Row, aliases map[string]string) CommandHelp {
	h := CommandHelp{Usage: r.Usage(), Help: r.Help, Where: r.Where.String(), Who: r.Who.String()}
	if short := r.Short(aliases); short != "" {
		h.Usage += " or " + short
	}
	for _, e := range r.Examples {
		h.Examples = append(h.Examples, e.Line)
	}
	return h
}
