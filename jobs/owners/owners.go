// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package owners is the job behind `steward owners`: it lints the OWNERS files
// of a repository and explains who may approve what. The rules are those of
// package acl (docs/owners.md); this package chooses the tree and the words.
package owners

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
)

// OpenCommit returns the files of a revision of the repository whose top
// directory is dir, and the full id of the commit. The files are used until
// done is called.
type OpenCommit func(ctx context.Context, dir, rev string) (files fs.FS, commit string, done func() error, err error)

// Source says which OWNERS files are read.
type Source struct {
	Dir  string     // a checkout, or a bare repository when Rev is set
	Rev  string     // empty: the working tree as it is
	Open OpenCommit // needed with Rev only
	// Markdown lets the front matter of *.md files own them.
	Markdown bool
}

// load reads the tree; with files it can be linted.
func (s Source) load(ctx context.Context, files bool) (tree *acl.Tree, err error) {
	opts := acl.Options{MarkdownFrontMatter: s.Markdown, ListFiles: files}
	if s.Rev == "" {
		return s.workingTree(opts)
	}
	fsys, commit, done, err := s.Open(ctx, s.Dir, s.Rev)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return acl.Load(fsys, commit, opts)
}

// workingTree refuses what is not a directory, because an empty tree would look
// like a repository without OWNERS files.
func (s Source) workingTree(opts acl.Options) (*acl.Tree, error) {
	info, err := os.Stat(s.Dir)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("read directory %s: it is a file", s.Dir)
	}
	return acl.Load(os.DirFS(s.Dir), "", opts)
}

// Lint returns the commit that was read ("" for a working tree) and every fault
// of its OWNERS files.
func Lint(ctx context.Context, s Source) (commit string, all []finding.Finding, err error) {
	tree, err := s.load(ctx, true)
	if err != nil {
		return "", nil, err
	}
	return tree.Commit(), acl.Lint(tree), nil
}

// Why explains for each path, in the given order, whether user may approve it.
func Why(ctx context.Context, s Source, user string, paths ...string) ([]acl.Explanation, error) {
	tree, err := s.load(ctx, false)
	if err != nil {
		return nil, err
	}
	all := make([]acl.Explanation, len(paths))
	for i, path := range paths {
		all[i] = tree.Explain(user, path)
	}
	return all, nil
}
