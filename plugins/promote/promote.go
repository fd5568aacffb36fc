// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promote tells on a pull request what its merge will bring into production.
//
// Where a pull request touches promoter manifests, the sticky lists what it declares anew, digest by digest, with the tags and the
// number of mirrors, and who may approve it; the status steward/promote holds what no promotion could do: a tag that moves, a
// digest that is none, a manifest that cannot be read, an image that staging does not hold. Both sides are read as files; staging is
// asked about what is new, as anybody may ask it. `promote retry` starts the job that brings what was merged into production. The
// rules are PP-1 … in docs/promote-plugin.md.
package promote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/thread"
)

// Name is the plugin's name and the topic of its sticky.
const Name = "promote"

// Context is the commit status of every open pull request.
const Context = "steward/promote"

// Files reads a file at a commit. The error is fs.ErrNotExist where the commit has no
// such file, fs.ErrInvalid where it is no regular file, and another one where that is
// not known.
type Files interface {
	File(ctx context.Context, repo thread.Repo, commit, path string) ([]byte, error)
}

// Deps is what the plugin needs.
type Deps struct {
	Files    Files
	Settings func(thread.Repo) Settings
	Jobs     Jobs
	Staging  Staging
}

// Settings is what steward.yaml says of promotion.
type Settings struct {
	Tree      string        // where images are declared
	Mirrors   []string      // where they may go
	Retention time.Duration // how long staging keeps them; 0: not known
}

// New makes the plugin.
func New(deps Deps) plugin.Plugin {
	p := promote{deps}
	return plugin.Plugin{
		Name:     Name,
		Summary:  "Tells what a pull request brings into production, and holds what no promotion could do.",
		Contexts: []string{Context},
		Watch:    plugin.Watch(p.load, p.watch),
		Rows: []command.Row{{
			Verb: "promote", Args: "[plan]", Where: thread.OpenPull | thread.MergedPull | thread.OpenIssue, Who: command.Member(),
			Help: "Lists all images that an open pull request declares anew, with their mirrors.",
			Examples: []command.Example{
				{Line: "/infra promote plan", Reply: "Only an open pull request has a plan"},
				{Line: "/infra promote now", Reply: "There is no `promote now`"},
			},
			Run: command.Run(func(ctx context.Context, s *thread.Snapshot, _ command.Call) (facts, error) { return p.load(ctx, s) }, p.plan),
		}, {
			Verb: "promote retry", Args: "[PROJECT]", Where: thread.MergedPull | thread.OpenIssue, Acts: true,
			Who:  command.ApproverOf("approvers of the images that the pull request changed", p.retried),
			Help: "Starts the job that promotes what is missing, or tells when it starts by itself.",
			Examples: []command.Example{
				{Line: "/infra promote retry", Reply: "Nothing was promoted by this"},
			},
			Run: command.Run(p.loadRetry, p.retry),
		}},
	}
}

type promote struct{ Deps }

// maxProjects bounds what is read for one pull request: two files of each at two commits.
const maxProjects = 25

// facts is a pull request's manifests before and after.
type facts struct {
	projects []string // whose files change, sorted
	many     bool     // more than are read
	tree     string   // of the manifests
	changed  []string // all that the pull request touches

	retention time.Duration // of staging

	base, head *manifest.Set   // of these projects; nil without any manifest
	refused    map[string]bool // projects of which nothing would be promoted
	fresh      []promoted      // what the head declares and the base does not, by path
	found      []finding.Finding
}

// load reads the projects that the pull request touches, at its base and at its head.
func (p promote) load(ctx context.Context, s *thread.Snapshot) (facts, error) {
	conf := p.Settings(s.Repo)
	tree, mirrors := conf.Tree, conf.Mirrors
	f := facts{tree: tree, retention: conf.Retention}
	if s.Where != thread.OpenPull || s.FilesLost > 0 {
		return f, nil
	}
	f.changed = s.Changed()
	f.projects = projects(tree, s)
	if f.many = len(f.projects) > maxProjects; f.many || len(f.projects) == 0 {
		return f, nil
	}
	var before, after []finding.Finding
	var err error
	if f.base, before, err = p.read(ctx, s.Repo, s.BaseCommit, f, mirrors); err != nil {
		return facts{}, err
	}
	if f.head, after, err = p.read(ctx, s.Repo, s.Head, f, mirrors); err != nil {
		return facts{}, err
	}
	f.found = finding.New(before, after)
	if f.base != nil && f.head != nil {
		f.found = append(f.found, manifest.Change(f.base, f.head)...)
	}
	f.refused = map[string]bool{}
	if f.head != nil {
		compared := promotion.Compare(f.head, after, nil)
		for _, m := range f.head.Manifests {
			f.refused[m.Name] = compared.Broken(m)
		}
	}
	f.fresh = p.look(ctx, f, f.news())
	f.found = append(f.found, doubts(f.fresh)...)
	return f, nil
}

// projectOf is the folder of a promoter manifest or its list of images.
func projectOf(tree, file string) (string, bool) {
	rest, ok := strings.CutPrefix(file, tree+"/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return "", false
	}
	kind := parts[0] + "/" + parts[2]
	return parts[1], kind == "images/images.yaml" || kind == "manifests/promoter-manifest.yaml"
}

// read loads some projects of a commit; the set is nil where none of them has a manifest.
func (p promote) read(ctx context.Context, repo thread.Repo, commit string, f facts, mirrors []string) (*manifest.Set, []finding.Finding, error) {
	files := fstest.MapFS{path.Join(f.tree, "images"): &fstest.MapFile{Mode: fs.ModeDir | 0o755}}
	some := false
	var odd []finding.Finding
	for _, project := range f.projects {
		for _, name := range []string{path.Join(f.tree, "manifests", project, "promoter-manifest.yaml"), path.Join(f.tree, "images", project, "images.yaml")} {
			content, err := p.Files.File(ctx, repo, commit, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case errors.Is(err, fs.ErrInvalid):
				odd = append(odd, finding.Finding{
					Rule: "MANIFEST-1", Severity: finding.Error, Object: name, File: name, Fix: "put a file there", Message: "it is no regular file, or too large",
				})
			case err != nil:
				return nil, nil, fmt.Errorf("read %s at %s: %w", name, commit, err)
			default:
				files[name] = &fstest.MapFile{Data: content}
				some = some || strings.HasPrefix(name, f.tree+"/manifests/")
			}
		}
	}
	if !some {
		return nil, odd, nil
	}
	set, found, err := manifest.Load(files, f.tree, mirrors...)
	if err != nil {
		return nil, nil, fmt.Errorf("manifests at %s: %w", commit, err)
	}
	return set, slices.Concat(odd, found, set.Halves(mirrors)), nil
}
