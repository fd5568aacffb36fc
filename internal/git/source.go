// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"sigs.k8s.io/steward/internal/gitfs"
)

// FS returns the tree of a commit, given by full id (see Resolve). Reads stop
// when ctx ends. It is safe for concurrent use, symbolic links are not followed,
// and the Sys value of entries has an ObjectID method (package gitfs).
func (r *Repo) FS(ctx context.Context, commit string) (fs.FS, error) {
	o, err := r.batch.get(ctx, commit)
	if err != nil {
		return nil, fmt.Errorf("open commit: %w", err)
	}
	line, _, _ := strings.Cut(string(o.data), "\n")
	tree, ok := strings.CutPrefix(line, "tree ")
	if o.kind != "commit" || !ok || !isID(tree) {
		return nil, fmt.Errorf("open commit: object %s is not a commit", commit)
	}
	return gitfs.New(source{ctx, r}, tree), nil
}

// At opens the repository at dir, resolves rev in it and returns the files of
// that commit with its id. Whoever calls done ends the use of them all.
func At(ctx context.Context, dir, rev string) (files fs.FS, commit string, done func() error, err error) {
	r, err := Open(ctx, dir)
	if err != nil {
		return nil, "", nil, err
	}
	commit, err = r.Resolve(ctx, rev)
	if err == nil {
		files, err = r.FS(ctx, commit)
	}
	if err != nil {
		return nil, "", nil, errors.Join(err, r.Close())
	}
	return files, commit, r.Close, nil
}

// source reads objects within the context of one operation: fs.FS has no place
// for one.
type source struct {
	ctx  context.Context
	repo *Repo
}

// Tree returns the entries of a tree object, from the cache if it can.
func (s source) Tree(id string) ([]gitfs.Entry, error) {
	if known, ok := s.repo.trees.get(id); ok {
		return known, nil
	}
	o, err := s.repo.batch.get(s.ctx, id)
	if err != nil {
		return nil, err
	}
	if o.kind != "tree" || o.cut() {
		return nil, fmt.Errorf("object %s is a %s of %d bytes, not a readable tree", id, o.kind, o.size)
	}
	entries, err := parseTree(o.data, len(id)/2)
	if err != nil {
		return nil, fmt.Errorf("object %s: %w", id, err)
	}
	s.repo.trees.put(id, entries)
	return entries, nil
}

// Blob reads a whole file. One of more than maxObject bytes is a *SizeError.
func (s source) Blob(id string) ([]byte, error) {
	o, err := s.repo.batch.get(s.ctx, id)
	switch {
	case err != nil:
		return nil, err
	case o.kind != "blob":
		return nil, fmt.Errorf("object %s is a %s, not a blob", id, o.kind)
	case o.cut():
		return nil, &SizeError{ID: id, Size: o.size}
	}
	return o.data, nil
}

// SizeError refuses a blob that is not kept in memory.
type SizeError struct {
	ID   string
	Size int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("object %s has %d bytes, more than %d", e.ID, e.Size, maxObject)
}

// TooLarge tells readers that know no git that nothing is wrong with the
// repository: the content alone is out of bounds.
func (e *SizeError) TooLarge() bool { return true }
