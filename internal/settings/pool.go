// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/lease"
)

// Pool is what a community decides about the compute that it lends.
type Pool struct {
	FIFO        bool                   `yaml:"fifo"`        // in the order of arrival, whoever asks
	Classes     []string               `yaml:"classes"`     // most urgent first
	Aging       Duration               `yaml:"aging"`       // who waited longer goes first
	Accounts    map[string]PoolAccount `yaml:"accounts"`    // "default" is every other one
	Rules       []lease.Rule           `yaml:"rules"`       // the first that matches says whose a lease is
	History     Duration               `yaml:"history"`     // how long leases that ended are kept
	Credentials map[string]lease.Grant `yaml:"credentials"` // by type: what holders may ask for
	Operators   []string               `yaml:"operators"`   // users and service accounts who may release, quarantine and reserve

	// What the check of the pool's files needs (docs/pool-lint.md).
	Config    []string        `yaml:"config"`     // files of resources, relative to the repository; those of the janitor if empty
	CleanedBy map[string]Word `yaml:"cleaned-by"` // type -> who cleans it, where no janitor of ours or Boskos's does
	Janitor   []Word          `yaml:"janitor"`    // types that a janitor takes
	Cleaners  []string        `yaml:"cleaners"`   // files of Kubernetes or Prow that start janitors
	Queues    map[string]Word `yaml:"queues"`     // Prow's job queue -> the type whose size it has copied
}

// Word is a text that knows where it stands.
type Word struct {
	Text string
	Line int
}

// UnmarshalYAML keeps the line.
func (w *Word) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("line %d: a text is expected", n.Line)
	}
	w.Text, w.Line = n.Value, n.Line
	return nil
}

// PoolAccount is what one account may have.
type PoolAccount struct {
	Weight float64        `yaml:"weight"`
	Quota  map[string]int `yaml:"quota"` // by type
}

// DefaultHistory is how long leases that ended are kept.
const DefaultHistory = 90 * 24 * time.Hour

// Policy is what the pool works by.
func (p Pool) Policy() lease.Policy {
	out := lease.Policy{FIFO: p.FIFO, Classes: p.Classes, Aging: time.Duration(p.Aging), Accounts: map[string]lease.Account{}}
	for name, a := range p.Accounts {
		if name == "default" {
			name = ""
		}
		out.Accounts[name] = lease.Account{Weight: a.Weight, Quota: a.Quota}
	}
	return out
}

func (p Pool) problems() []error {
	var all []error
	fault := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for i, class := range p.Classes {
		if class == "" || slices.Contains(p.Classes[:i], class) {
			fault("classes: %q is empty or named twice", class)
		}
	}
	if p.Aging < 0 || p.History < 0 {
		fault("aging and history must not be negative")
	}
	for _, name := range slices.Sorted(maps.Keys(p.Accounts)) {
		a := p.Accounts[name]
		if a.Weight < 0 || a.Weight > 1e6 {
			fault("accounts: %s: weight %v is not between 0 and 1000000 (0 is the default, 1)", name, a.Weight)
		}
		for typ, n := range a.Quota {
			if n < 0 {
				fault("accounts: %s: quota of %s is negative", name, typ)
			}
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(p.Credentials)) {
		if err := p.Credentials[typ].Check(); err != nil {
			fault("credentials: %s: %w", typ, err)
		}
	}
	all = append(all, p.lintProblems()...)
	for i, r := range p.Rules {
		if err := r.Check(p.Classes); err != nil {
			fault("rules: rule %d: %w", i+1, err)
		}
	}
	return all
}

// lintProblems are those of the settings that only the check of files reads.
func (p Pool) lintProblems() []error {
	var all []error
	fault := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	for _, files := range []struct {
		key   string
		names []string
	}{{"config", p.Config}, {"cleaners", p.Cleaners}} {
		for _, name := range files.names {
			if !fs.ValidPath(name) || name == "." {
				fault("%s: %q is not a file of the repository", files.key, name)
			}
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(p.CleanedBy)) {
		if strings.TrimSpace(p.CleanedBy[typ].Text) == "" {
			fault("cleaned-by: %q: say who cleans it", typ)
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(p.Queues)) {
		if queue == "" || p.Queues[queue].Text == "" {
			fault("queues: %q: a queue of Prow and a type are needed", queue)
		}
	}
	return all
}
