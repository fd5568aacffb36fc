// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package drift brings the audit's findings to the people whose files declare what
// they are about.
//
// `/infra drift` shows the findings of the latest stored report that concern a pull
// request, `/infra drift rerun` has the audit made again, and `/infra drift accept`
// opens a pull request that acknowledges one. The status steward/drift tells of known
// drift and never holds a pull request because of it: it fails only where the pull
// request itself writes acknowledgements that hold for nothing, or that nobody who
// may has given. The rules are D-1 … in docs/drift.md.
package drift

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

// Name is the plugin's name and the topic of its sticky.
const Name = "drift"

// Context is the commit status of every open pull request.
const Context = "steward/drift"

// Reports gives the latest report of a repository's audit, and when it was last seen
// to be the latest. The error says for people why there is none; it names no address.
type Reports interface {
	Report(ctx context.Context, repo thread.Repo) (r *report.Report, fetched time.Time, err error)
}

// Files reads a file at a commit. The error is fs.ErrNotExist where the commit has no
// such file, fs.ErrInvalid where it is no regular file, and another one where that is
// not known.
type Files interface {
	File(ctx context.Context, repo thread.Repo, commit, path string) ([]byte, error)
}

// Jobs tells about the job that makes a repository's report. An error means that it is
// not known now.
type Jobs interface {
	Job(ctx context.Context, repo thread.Repo) (thread.PeriodicJob, error)
}

// Deps is what the plugin needs.
type Deps struct {
	Reports    Reports
	Files      Files
	Jobs       Jobs
	Page       func(thread.Repo) string // where people read the whole report; may be empty
	Links      func() string            // base of web addresses: https://github.com
	Unreviewed func() []string          // logins whose pull requests are merged without review
}

// New makes the plugin.
func New(deps Deps) plugin.Plugin {
	d := drift{deps}
	const anywhere = thread.OpenPull | thread.MergedPull | thread.OpenIssue
	return plugin.Plugin{
		Name:     Name,
		Summary:  "Shows what the audit found, to whom it concerns, and keeps the list of what owners know of.",
		Contexts: []string{Context},
		Watch:    plugin.Watch(d.loadWatch, d.watch),
		Rows: []command.Row{
			{
				Verb: "drift", Args: "[gcs|images|dns]", Where: anywhere, Who: command.Member(),
				Help: "Shows the latest findings of the audit by owner: those about files of the pull request, on an issue all of them.",
				Examples: []command.Example{
					{Line: "/infra drift", Reply: "www.example.org. A"},
					{Line: "/infra drift gcs", Reply: "gs://example-web-site"},
					{Line: "/infra drift gsc", Reply: "There is no part `gsc`. Did you mean `gcs`?"},
				},
				Run: command.Run(d.loadReport, d.show),
			},
			{
				Verb: "drift rerun", Where: anywhere, Acts: true,
				Who:      command.ApproverOf("approvers of "+ack.File, func(*thread.Snapshot, command.Call) []string { return []string{ack.File} }),
				Help:     "Starts the job that makes the report, or tells when it starts by itself.",
				Examples: []command.Example{{Line: "/infra drift rerun", Reply: "`periodic-steward-audit` is started."}},
				Run:      command.Run(d.loadRerun, d.rerun),
			},
			{
				Verb: "drift accept", Args: "ID until DATE REASON…", Where: anywhere, Acts: true,
				Who:  command.ApproverOfRead("approvers of the file that the finding is about", d.concerned),
				Help: "Opens a pull request that acknowledges a finding as it is now, until a day at most 180 days ahead.",
				Examples: []command.Example{
					{Line: "/infra drift accept b70c31ebee0f68d3 until 2026-03-01 the registrar is slow", Reply: "`DNS-1` of `www.example.org. A` is acknowledged until 2026-03-01"},
					{Line: "/infra drift accept b70c31ebee0f68d3 until 2027-01-01 never mind", Reply: "more than 180 days ahead"},
				},
				Run: command.Run(d.loadAccept, d.accept),
			},
		},
	}
}

type drift struct{ Deps }

// latest is a report, or why there is none.
type latest struct {
	*report.Report
	fetched time.Time
	problem string // for people; "": there is a report
}

// latest reads the report. That it cannot be read is something to say and not a
// reason to wait: whoever asks would wait for somebody who does not know.
func (d drift) latest(ctx context.Context, repo thread.Repo) (latest, error) {
	r, fetched, err := d.Reports.Report(ctx, repo)
	switch {
	case ctx.Err() != nil:
		return latest{}, ctx.Err()
	case err != nil:
		return latest{problem: err.Error()}, nil
	}
	return latest{Report: r, fetched: fetched}, nil
}

func (d drift) loadReport(ctx context.Context, s *thread.Snapshot, _ command.Call) (latest, error) {
	return d.latest(ctx, s.Repo)
}

// find returns the finding with an id.
func (l latest) find(id string) (report.Item, bool) {
	if l.Report == nil {
		return report.Item{}, false
	}
	i := slices.IndexFunc(l.Items, func(item report.Item) bool { return item.ID == id })
	if i < 0 {
		return report.Item{}, false
	}
	return l.Items[i], true
}

// file reads the acknowledgements of a commit; nil is an absent file.
func (d drift) file(ctx context.Context, repo thread.Repo, commit string) ([]byte, error) {
	content, err := d.Files.File(ctx, repo, commit, ack.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", ack.File, commit, err)
	}
	return content, nil
}

// repository is the address of a repository.
func (d drift) repository(repo thread.Repo) string {
	return strings.TrimSuffix(d.Links(), "/") + "/" + repo.String()
}
