// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PoolFiles are the files of resources: those of the pool, or of the janitor where the pool names none. Who may approve all of
// them may act on the pool by command.
func (s *Settings) PoolFiles() []string {
	if len(s.Pool.Config) > 0 {
		return s.Pool.Config
	}
	return s.Janitor.Pool
}

// poolPeople finds what would leave open who may act on the pool. There is one pool, so one repository's OWNERS decide.
func (s *Settings) poolPeople() []error {
	var all []error
	var repos []string
	for name, r := range s.Repos {
		if r != nil && slices.Contains(r.Plugins, "pool") {
			repos = append(repos, name)
		}
	}
	slices.Sort(repos)
	if len(repos) > 0 && len(s.PoolFiles()) == 0 {
		all = append(all, errors.New("pool: config is missing: plugin pool lets those act who may approve the files that configure the pool"))
	}
	if len(repos) > 1 {
		all = append(all, fmt.Errorf("repos: plugin pool works in one repository, whose OWNERS decide about the pool, and not in %s", strings.Join(repos, " and ")))
	}
	return all
}
