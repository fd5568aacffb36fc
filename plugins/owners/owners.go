// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package owners explains and guards OWNERS files.
//
// `/infra why` says who may approve what, by which line of which file. The status
// steward/owners holds a pull request that makes OWNERS files worse, or that moves
// files out of a restricted folder without its owners, which Prow's approve plugin
// lets through: it looks at the new name of a renamed file only.
package owners

import (
	"context"
	"strings"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/thread"
)

// Name is the plugin's name and the topic of its sticky.
const Name = "owners"

// Context is the commit status of every open pull request.
const Context = "steward/owners"

// Trees loads the access rules of a commit. An error means that they could not be
// read, never that there are none.
type Trees interface {
	Owners(ctx context.Context, repo thread.Repo, commit string) (*acl.Tree, error)
}

// Members tells whether GitHub lists a login as a collaborator of a repository.
type Members interface {
	Member(ctx context.Context, repo thread.Repo, login string) (bool, error)
}

// Deps is what the plugin needs.
type Deps struct {
	Trees   Trees
	Members Members
	Links   func() string // base of web addresses: https://github.com
}

// New makes the plugin.
func New(deps Deps) plugin.Plugin {
	o := owners{deps}
	const anywhere = thread.OpenPull | thread.MergedPull | thread.ClosedPull | thread.OpenIssue
	return plugin.Plugin{
		Name:     Name,
		Summary:  "Explains who may approve what, and guards OWNERS files and restricted folders.",
		Contexts: []string{Context},
		Watch:    plugin.Watch(o.load, o.watch),
		Rows: []command.Row{{
			Verb: "why", Args: "[@user] [path…]", Where: anywhere, Who: command.Member(),
			Help: "Explains whether a user (you) may approve changes of paths (those of the pull request), and who else may.",
			Examples: []command.Example{
				{Line: "/infra why @dora dns/zone-configs/", Reply: "`dora` may approve `dns/zone-configs/`"},
				{Line: "/infra why @bob dns/OWNERS", Reply: "`bob` may not approve `dns/OWNERS`"},
				{Line: "/infra why @bob", Reply: "Which path?"},
			},
			Run: command.Pure(o.why),
		}},
	}
}

type owners struct{ Deps }

// blob is a link to a line of a file at the commit the decision was made by.
func (o owners) blob(repo thread.Repo, commit, file string, line int) string {
	return blobLink(strings.TrimSuffix(o.Links(), "/"), repo, commit, file, line)
}
