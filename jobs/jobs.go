// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobs is the list of what the steward binary can do.
package jobs

import (
	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/jobs/owners"
	"sigs.k8s.io/steward/jobs/verify"
)

// Deps is what all jobs together need from outside.
type Deps struct {
	OpenCommit owners.OpenCommit           // reads a revision of a local repository
	Plugins    func() (*plugin.Set, error) // what steward.yaml chooses from
}

// All returns the jobs' commands, one per noun. A new job is a new line.
func All(deps Deps) []*cobra.Command {
	return []*cobra.Command{
		owners.Command(deps.OpenCommit),
		verify.Command(verify.Deps{OpenCommit: deps.OpenCommit, Plugins: deps.Plugins}),
	}
}
