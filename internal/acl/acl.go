// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package acl answers who may approve a change of a file, from the OWNERS files
// of one commit of a repository.
//
// The rules are numbered in docs/owners.md (O-1 …). Load reads a file system
// once and returns an immutable Tree; every query is then a pure function of the
// tree, the path and, where the caller has them, facts about membership. A file
// that cannot be read as OWNERS never makes Load fail and never widens access:
// it denies everything it would have decided, under a stable code (rules.go).
//
// Names and results of the queries equal those of Prow's repoowners.RepoOwner.
// In Strict mode they are its safe subset; in Compat mode they equal it where
// approvers, reviewers, required reviewers, labels and options are concerned,
// its twelve ways to fail open included.
package acl

import (
	"fmt"
	"regexp"
	"strings"
)

// Mode says whose rules hold.
type Mode int

// Strict fails closed (docs/owners.md). Compat repeats Prow's repoowners, for
// comparisons and for a switch in two steps; it must not guard anything.
const (
	Strict Mode = iota
	Compat
)

// String is "strict" or "compat".
func (m Mode) String() string {
	if m == Compat {
		return "compat"
	}
	return "strict"
}

// Filenames are the names of the two kinds of files, as Prow's
// owners.filenames setting. Empty fields mean OWNERS and OWNERS_ALIASES.
type Filenames struct {
	Owners  string
	Aliases string
}

// Options choose how Load reads. The zero value is strict, with Prow's default
// file names and denylist, and no cache.
type Options struct {
	Mode      Mode
	Filenames Filenames
	// MarkdownFrontMatter lets the YAML header of a *.md file own that file
	// (Prow: owners.mdyamlrepos).
	MarkdownFrontMatter bool
	// DirDenylist holds regular expressions, unanchored, matched against the
	// slash-separated path of each directory ("." is the root). A directory that
	// matches is not read, nor is anything below it. The list adds to
	// DefaultDirDenylist unless IgnoreDefaultDenylist is set.
	DirDenylist           []string
	IgnoreDefaultDenylist bool
	// ListFiles remembers the names of all files, so that Lint can find filters
	// that match nothing. It costs memory for each file of the repository.
	ListFiles bool
	// Cache, when set, is shared between loads: objects with a known id are not
	// read twice. See Load.
	Cache *Cache
}

// DefaultDirDenylist is Prow's preconfigured list.
func DefaultDirDenylist() []string {
	return []string{`\.git$`, `_output$`, `vendor/.*/.*`}
}

// compiled is Options after validation, in the form the loader uses.
type compiled struct {
	Options
	denied []*regexp.Regexp
	key    string // distinguishes cached objects of different options
}

func (o Options) compile() (compiled, error) {
	c := compiled{Options: o}
	if c.Filenames.Owners == "" {
		c.Filenames.Owners = "OWNERS"
	}
	if c.Filenames.Aliases == "" {
		c.Filenames.Aliases = "OWNERS_ALIASES"
	}
	patterns := o.DirDenylist
	if !o.IgnoreDefaultDenylist {
		patterns = append(patterns[:len(patterns):len(patterns)], DefaultDirDenylist()...)
	}
	for _, pattern := range patterns {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return compiled{}, fmt.Errorf("directory denylist %q: %w", pattern, err)
		}
		c.denied = append(c.denied, re)
	}
	c.key = fmt.Sprintf("%d|%q|%q|%t|%t|%q|", o.Mode, c.Filenames.Owners, c.Filenames.Aliases,
		o.MarkdownFrontMatter, o.ListFiles, strings.Join(patterns, "\x00"))
	return c, nil
}

// Tree is the access rules of one commit. It is immutable: all methods may be
// called concurrently, and WithMembers returns another tree.
type Tree struct {
	commit  string
	opts    compiled
	root    *node
	aliases *aliasFile
	members Members
}

// Commit is the commit given to Load; every decision records it.
func (t *Tree) Commit() string { return t.commit }

// Mode is the mode the tree was loaded in.
func (t *Tree) Mode() Mode { return t.opts.Mode }

// Filenames are the names the tree was read by, never empty.
func (t *Tree) Filenames() Filenames { return t.opts.Filenames }

// node is a directory that holds something for the queries, or a marker in the
// cache for one that does not.
type node struct {
	path     string // "" for the root
	owners   *ownersFile
	markdown map[string]*ownersFile // by file name
	children map[string]*node
	files    []string   // names of regular files, with Options.ListFiles only
	aliases  *aliasFile // root only
	stray    bool       // an aliases file where none is read
}

func (n *node) empty() bool {
	return n.owners == nil && len(n.markdown) == 0 && len(n.children) == 0 && len(n.files) == 0 && n.aliases == nil && !n.stray
}
