// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package verify is the job behind `steward verify`, the one presubmit of a community's repository: the offline
// checks of a tree, and which of their findings a change brings.
//
// A part is a function from files to findings. The rules are those of the packages acl and policy; this one chooses
// the files, twice where a change is looked at.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/policy"
	"sigs.k8s.io/steward/internal/settings"
)

// Deps is what verify needs from outside.
type Deps struct {
	// OpenCommit returns the files of a revision of the repository whose top directory is dir, and the full id of the
	// commit. The files are used until done is called.
	OpenCommit func(ctx context.Context, dir, rev string) (files fs.FS, commit string, done func() error, err error)
	// Plugins is the set that steward.yaml chooses from.
	Plugins func() (*plugin.Set, error)
}

// source says what is verified. Paths that do not leave Dir are read from the tree, so that a base has its own; others
// are the same before and after a change.
type source struct {
	dir      string // a checkout
	base     string // empty: everything is reported
	markdown bool

	config, prowConfig, prowPlugins string

	// pointed says that one of these was given: then a file that is not there is no part that does not apply.
	pointed bool
	// pointedConfig and pointedProw say so of steward.yaml and of Prow's config.yaml.
	pointedConfig, pointedProw bool
}

// tree is one state of the files: those of the working tree, or of a commit.
type tree struct {
	files  fs.FS
	commit string
	source
	before *tree // what a change began with; nil where none is looked at
}

// part is one check. applies tells whether a tree has what it reads; it is asked where no part is named.
type part struct {
	name, short, long, example string

	applies func(tree) (bool, error)
	check   func(tree) ([]finding.Finding, error)
	change  func(base, head tree) ([]finding.Finding, error) // what is wrong with the step, after both were checked; nil for most
	prints  *printer                                         // nil for most
	// special parts are for some communities: where one does not apply, nothing needs to be said.
	special bool
}

// printer is what a part writes instead of findings where its flag is given.
type printer struct {
	flag, usage string
	text        func(tree) (string, error)
}

// parts is the visible list.
func parts(deps Deps) []part {
	return []part{
		{
			name: "owners", short: "Lint OWNERS files, as owners lint does",
			long:    "List faults of the OWNERS files and OWNERS_ALIASES. The codes are explained in docs/owners.md.",
			example: "  steward verify owners --base origin/main",
			applies: func(tree) (bool, error) { return true, nil },
			check:   lintOwners,
		},
		{
			name: "policy", short: "Find gates that Prow does not keep closed",
			long: `Find contexts of steward.yaml without which Tide would merge, gates that
GitHub's merge button goes round, and plugins that Prow forwards no events to.
The codes are explained in docs/policy.md.

Prow's files are read as they are, its supplemental files and jobs are not.`,
			example: `  steward verify policy
  steward verify policy --config steward.yaml --prow-config ~/test-infra/config/prow/config.yaml \
      --prow-plugins ~/test-infra/config/prow/plugins.yaml -o markdown`,
			applies: tree.hasPolicy,
			check:   func(t tree) ([]finding.Finding, error) { return checkPolicy(t, deps.Plugins) },
		},
		poolPart(),
		promotionPart(),
	}
}

func lintOwners(t tree) ([]finding.Finding, error) {
	owners, err := acl.Load(t.files, t.commit, acl.Options{MarkdownFrontMatter: t.markdown, ListFiles: true})
	if err != nil {
		return nil, err
	}
	return acl.Lint(owners), nil
}

// hasPolicy asks for all files, because Prow's often live in another repository.
func (t tree) hasPolicy() (bool, error) {
	if t.pointed {
		return true, nil
	}
	for _, name := range []string{t.config, t.prowConfig, t.prowPlugins} {
		_, err := t.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

func checkPolicy(t tree, plugins func() (*plugin.Set, error)) ([]finding.Finding, error) {
	var contents [3][]byte
	var errs []error
	for i, name := range []string{t.config, t.prowConfig, t.prowPlugins} {
		content, err := t.read(name)
		contents[i], errs = content, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	set, err := plugins()
	if err != nil {
		return nil, err
	}
	s, err := settings.Parse(contents[0])
	if err == nil {
		err = known(s, set)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", t.config, err)
	}
	prow, prowErr := policy.ParseProw(t.prowConfig, contents[1], t.prowPlugins, contents[2])
	if err := errors.Join(err, prowErr); err != nil {
		return nil, err
	}
	return policy.Check(s, prow, set.Contexts), nil
}

// known refuses plugins that do not exist: nothing would be asked about them.
func known(s *settings.Settings, set *plugin.Set) error {
	var errs []error
	for _, repo := range s.List() {
		r := s.For(repo)
		if err := set.Check(plugin.Options{Enabled: r.Plugins, Aliases: r.Aliases}); err != nil {
			errs = append(errs, fmt.Errorf("repos: %s: %w", repo, err))
		}
	}
	return errors.Join(errs...)
}

// read reads a file of the tree, or of the disk where the path leaves the tree.
func (t tree) read(name string) ([]byte, error) {
	switch {
	case filepath.IsLocal(name):
		return fs.ReadFile(t.files, filepath.ToSlash(filepath.Clean(name)))
	case filepath.IsAbs(name):
		return os.ReadFile(name)
	}
	return os.ReadFile(filepath.Join(t.dir, name))
}

// result is what a run found; notes say what it left out.
type result struct {
	found []finding.Finding
	notes []string
}

// verify runs the parts on the working tree. With a base only findings that the base does not have remain. Where no
// part was named, those run that apply before or after the change: one that takes the files of a part away does not
// silence it.
func verify(ctx context.Context, deps Deps, src source, all []part, named bool) (r result, err error) {
	trees, closeBase, err := src.open(ctx, deps)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, closeBase()) }()
	var errs []error
	for _, p := range all {
		applies, err := p.appliesTo(trees, named)
		if err == nil && !applies && !p.special {
			r.notes = append(r.notes, p.name+" was not verified: there are not all of its files (see verify "+p.name+" --help)")
		}
		if err == nil && applies {
			err = r.add(p, trees)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("verify %s: %w", p.name, err))
		}
	}
	return r, errors.Join(errs...)
}

// open returns the working tree, and behind it the base if there is one.
func (s source) open(ctx context.Context, deps Deps) (trees []tree, closeBase func() error, err error) {
	info, err := os.Stat(s.dir)
	if err != nil {
		return nil, nil, fmt.Errorf("read directory: %w", err)
	}
	if !info.IsDir() {
		return nil, nil, fmt.Errorf("read directory %s: it is a file", s.dir)
	}
	trees = []tree{{files: os.DirFS(s.dir), source: s}}
	if s.base == "" {
		return trees, func() error { return nil }, nil
	}
	files, commit, closeBase, err := deps.OpenCommit(ctx, s.dir, s.base)
	if err != nil {
		return nil, nil, fmt.Errorf("flag --base: %w", err)
	}
	before := tree{files: files, commit: commit, source: s}
	trees[0].before = &before
	return append(trees, before), closeBase, nil
}

func (p part) appliesTo(trees []tree, named bool) (bool, error) {
	if named {
		return true, nil
	}
	for _, t := range trees {
		if applies, err := p.applies(t); applies || err != nil {
			return applies, err
		}
	}
	return false, nil
}

// add appends what the part finds. A base that cannot be checked excuses nothing.
func (r *result) add(p part, trees []tree) error {
	found, err := p.check(trees[0])
	if err != nil {
		return err
	}
	for _, base := range trees[1:] {
		before, err := p.check(base)
		if err != nil {
			r.notes = append(r.notes, fmt.Sprintf("all findings of %s are shown, because those of %s are not known: %v", p.name, base.base, err))
		}
		found = finding.New(before, found)
		if p.change != nil {
			step, err := p.change(base, trees[0])
			if err != nil {
				return err
			}
			found = append(found, step...)
		}
	}
	r.found = append(r.found, found...)
	return nil
}
