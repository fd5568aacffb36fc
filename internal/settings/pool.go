// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"maps"
	"slices"
	"time"

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
	for i, r := range p.Rules {
		if err := r.Check(p.Classes); err != nil {
			fault("rules: rule %d: %w", i+1, err)
		}
	}
	return all
}
