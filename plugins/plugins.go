// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugins is the list of what steward-hook can do. Adding a command family
// is adding a folder here and a line below.
package plugins

//go:generate go test . -count=1 -run TestCommandsPageIsFresh -update

import (
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/plugins/drift"
	"sigs.k8s.io/steward/plugins/freeze"
	"sigs.k8s.io/steward/plugins/owners"
	"sigs.k8s.io/steward/plugins/pool"
	"sigs.k8s.io/steward/plugins/promote"
)

// Deps is what all plugins together need. Every field has to be set.
type Deps struct {
	Owners  owners.Trees
	Members owners.Members
	Files   freeze.Files
	Scopes  func(thread.Repo) map[string][]string // what can be frozen: names to folders
	Links   func() string                         // base of web addresses: https://github.com

	Reports    drift.Reports
	Jobs       drift.Jobs
	ReportPage func(thread.Repo) string // where people read the whole report; may be empty
	Unreviewed func() []string          // logins whose pull requests are merged without review

	Pool       pool.Pool
	PoolHurdle func(acts bool) string // why the pool cannot be asked, or told to do something
	PoolFiles  func() []string        // that configure it

	Promotion   func(thread.Repo) PromoteSettings
	PromoteJobs promote.Jobs
	Staging     promote.Staging
}

// PromoteSettings is what plugin promote wants to know of steward.yaml.
type PromoteSettings = promote.Settings

// What pool.Pool tells, for whoever implements it.
type (
	PoolType     = pool.Type
	PoolResource = pool.Resource
	PoolEnded    = pool.Ended
)

// All lists the plugins in the order in which help shows them.
func All(deps Deps) []plugin.Plugin {
	return []plugin.Plugin{
		owners.New(owners.Deps{Trees: deps.Owners, Members: deps.Members, Links: deps.Links}),
		freeze.New(freeze.Deps{Files: deps.Files, Scopes: deps.Scopes, Links: deps.Links}),
		drift.New(drift.Deps{
			Reports: deps.Reports, Files: deps.Files, Jobs: deps.Jobs, Page: deps.ReportPage, Links: deps.Links, Unreviewed: deps.Unreviewed,
		}),
		promote.New(promote.Deps{Files: deps.Files, Settings: deps.Promotion, Jobs: deps.PromoteJobs, Staging: deps.Staging}),
		pool.New(pool.Deps{Pool: deps.Pool, Hurdle: deps.PoolHurdle, Files: deps.PoolFiles}),
	}
}
