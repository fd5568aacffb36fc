// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package jobs is the list of what the steward binary can do.
package jobs

import (
	"context"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/imageaudit"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/jobs/audit"
	"sigs.k8s.io/steward/jobs/janitor"
	"sigs.k8s.io/steward/jobs/owners"
	"sigs.k8s.io/steward/jobs/promote"
	"sigs.k8s.io/steward/jobs/verify"
)

// Deps is what all jobs together need from outside.
type Deps struct {
	OpenCommit owners.OpenCommit           // reads a revision of a local repository
	Plugins    func() (*plugin.Set, error) // what steward.yaml chooses from
	Readers    Readers

	Promote PromoteAdapters // what promotion reaches production with
	// OpenGitHub connects with what opens pull requests.
	OpenGitHub func(GitHub) (Pulls, error)
	// Ancestor tells whether a commit of the repository at dir is another or comes before it.
	Ancestor func(ctx context.Context, dir, older, newer string) (bool, error)

	OpenState, OpenPublic func(ctx context.Context, address string) (state.Store, error)

	Accounts map[string]OpenAccount // what the janitor can sweep, by what it is
	OpenPool OpenPool               // nil: no pool can be asked
}

// What the janitor works on.
type (
	OpenAccount  = janitor.OpenAccount
	JanitorReach = janitor.Reach
	OpenPool     = func(ctx context.Context, address string) (Pool, error)
	Pool         = janitor.Pool
	Lease        = janitor.Lease
)

// What a Pool answers.
const (
	ErrNothing = janitor.ErrNothing
	ErrLost    = janitor.ErrLost
)

// What promotion reaches production with.
type (
	PromoteAdapters = promote.Adapters
	PromoteReach    = promote.Reach
	PromoteRegistry = promote.Registry
	SignWith        = promote.SignWith
	Believe         = promote.Believe
	Signer          = promote.Signer
	Verifier        = promote.Verifier
	GitHub          = promote.GitHub
	Pulls           = promote.Pulls
)

// What the audit reads with. Who constructs it sees the list of jobs only.
type (
	Readers     = audit.Readers
	Reach       = audit.Reach
	Buckets     = audit.Buckets
	Registry    = imageaudit.Registry
	NameServers = audit.NameServers
)

// All returns the jobs' commands, one per noun. A new job is a new line.
func All(deps Deps) []*cobra.Command {
	return []*cobra.Command{
		owners.Command(deps.OpenCommit),
		audit.Command(audit.Deps{OpenCommit: deps.OpenCommit, OpenState: deps.OpenState, OpenPublic: deps.OpenPublic, Readers: deps.Readers}),
		janitor.Command(janitor.Deps{OpenCommit: deps.OpenCommit, OpenState: deps.OpenState, Accounts: deps.Accounts, OpenPool: deps.OpenPool}),
		promote.Command(promote.Deps{OpenCommit: deps.OpenCommit, Ancestor: deps.Ancestor, OpenState: deps.OpenState, OpenGitHub: deps.OpenGitHub, Adapters: deps.Promote}),
		verify.Command(verify.Deps{OpenCommit: deps.OpenCommit, Plugins: deps.Plugins}),
	}
}

// PoolLint is a verb of the noun pool, whose other verbs ask a server.
func PoolLint(deps Deps) *cobra.Command {
	return verify.PoolLint(verify.Deps{OpenCommit: deps.OpenCommit, Plugins: deps.Plugins})
}
