// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package freeze is the brake: `/infra freeze dns REASON` holds every pull request
// that changes the folders of a scope, and every job that applies them, until
// `/infra unfreeze dns`.
//
// The state is one record per scope in the repository itself, so that jobs read it
// without asking a server. Of two commands the later one counts, by GitHub's time,
// on whatever threads they were given and in whatever order they arrive. The rules
// of what is frozen are in internal/freeze.
package freeze

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/thread"
)

// Name is the plugin's name.
const Name = "freeze"

// Context is the commit status of every open pull request.
const Context = "steward/freeze"

// Files reads a file at a commit. The error is fs.ErrNotExist where the commit
// has no such file, and another one where that is not known.
type Files interface {
	File(ctx context.Context, repo thread.Repo, commit, path string) ([]byte, error)
}

// Deps is what the plugin needs.
type Deps struct {
	Files  Files
	Scopes func(thread.Repo) map[string][]string // names to folders
	Links  func() string                         // base of web addresses: https://github.com
}

// New makes the plugin.
func New(deps Deps) plugin.Plugin {
	f := freezer{deps}
	const anywhere = thread.OpenPull | thread.MergedPull | thread.OpenIssue
	return plugin.Plugin{
		Name:     Name,
		Summary:  "Holds pull requests and jobs that change a part of the repository while it is frozen.",
		Contexts: []string{Context},
		Watch:    plugin.Watch(f.load, f.watch),
		Rows: []command.Row{
			{
				Verb: "freeze", Args: "SCOPE REASON…", Where: anywhere, Acts: true,
				Who:  command.ApproverOf("approvers of every folder of the scope; of the root for all", f.paths),
				Help: "Freezes a scope: pull requests that change its folders are held, and nothing in them is applied.",
				Examples: []command.Example{
					{Line: "/infra freeze dns zone transfer is broken", Reply: "`dns` is frozen: zone transfer is broken"},
					{Line: "/infra freeze dsn zone transfer is broken", Reply: "There is no scope `dsn`. Did you mean `dns`?"},
				},
				Run: command.Pure(f.freeze),
			},
			{
				Verb: "unfreeze", Args: "SCOPE [REASON…]", Where: anywhere, Acts: true,
				Who:      command.ApproverOf("approvers of every folder of the scope; of the root for all", f.paths),
				Help:     "Lifts the freeze of a scope that a command froze.",
				Examples: []command.Example{{Line: "/infra unfreeze dns all servers agree", Reply: "`dns` is not frozen by command any more"}},
				Run:      command.Pure(f.unfreeze),
			},
			{
				Verb: "frozen", Where: anywhere, Who: command.Member(),
				Help:     "Lists what is frozen, why, and by whom.",
				Examples: []command.Example{{Line: "/infra frozen", Reply: "Nothing is frozen."}},
				Run:      command.Run(f.loadAnyway, f.frozen),
			},
		},
	}
}

type freezer struct{ Deps }

func (f freezer) scopes(s *thread.Snapshot) freeze.Scopes { return f.Scopes(s.Repo) }

// load reads freeze.yaml where the watcher needs it.
func (f freezer) load(ctx context.Context, s *thread.Snapshot) ([]byte, error) {
	if s.Where != thread.OpenPull {
		return nil, nil
	}
	return f.file(ctx, s)
}

func (f freezer) loadAnyway(ctx context.Context, s *thread.Snapshot, _ command.Call) ([]byte, error) {
	return f.file(ctx, s)
}

func (f freezer) file(ctx context.Context, s *thread.Snapshot) ([]byte, error) {
	file, err := f.Files.File(ctx, s.Repo, s.BaseCommit, freeze.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", freeze.File, s.BaseCommit, err)
	}
	return file, nil
}

// watch sets the status of a pull request and keeps the records as they should be.
func (f freezer) watch(s *thread.Snapshot, file []byte, now time.Time) []thread.Action {
	actions := f.restore(s)
	if s.Where == thread.OpenPull {
		// The set holds what could not be read; its error says nothing more.
		set, _ := freeze.Load(s.Records, file, f.scopes(s), now)
		actions = append(actions, f.status(s, set))
	}
	return actions
}

// restore puts back what people did to the issue of a record by hand, and brings
// the oldest issue of a scope up to date where two processes have opened one each.
func (f freezer) restore(s *thread.Snapshot) []thread.Action {
	var actions []thread.Action
	for _, r := range s.Records {
		state, err := freeze.Decode(r)
		if err != nil {
			continue // not a freeze, or not readable: everything is frozen and says so
		}
		newest, _ := freeze.Newest(s.Records, state.Scope)
		first, _ := s.Record(r.Key)
		if newest.Number == r.Number && (r.Number == s.Number || first.Number != r.Number) {
			actions = append(actions, f.record(s, state, r.Stamp))
		}
	}
	return actions
}
