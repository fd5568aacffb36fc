// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gitfs presents a git tree as an fs.FS, over any source of objects: a
// local object database or GitHub's API.
//
// Listings are read when they are asked for, so that a walk which knows a
// subtree by its object id never pays for it.
package gitfs

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Source reads objects by id. Objects are immutable, so a source may cache for
// ever. A missing object is an error, never an empty one. An FS is as safe for
// concurrent use as its source.
type Source interface {
	Tree(id string) ([]Entry, error)
	Blob(id string) ([]byte, error)
}

// Entry is one name in a tree.
type Entry struct {
	Name string
	Mode fs.FileMode // fs.ModeDir, fs.ModeSymlink, fs.ModeIrregular (submodule) or 0
	ID   string
}

// ParseMode reads git's octal mode.
func ParseMode(mode string) fs.FileMode {
	switch mode {
	case "040000", "40000":
		return fs.ModeDir
	case "120000":
		return fs.ModeSymlink
	case "160000":
		return fs.ModeIrregular
	case "100755":
		return 0o755
	}
	return 0o644
}

// New returns the tree with the given object id. It implements fs.ReadDirFS,
// fs.ReadFileFS, fs.StatFS and fs.ReadLinkFS; the Sys value of entries implements
// interface{ ObjectID() string }. Symbolic links are listed and not followed.
func New(source Source, root string) fs.FS {
	return &treeFS{source: source, root: Entry{Name: ".", Mode: fs.ModeDir, ID: root}}
}

type treeFS struct {
	source Source
	root   Entry
}

// lookup walks from the root to name.
func (t *treeFS) lookup(op, name string) (Entry, error) {
	if !fs.ValidPath(name) {
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	at := t.root
	if name == "." {
		return at, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !at.Mode.IsDir() {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		entries, err := t.source.Tree(at.ID)
		if err != nil {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: err}
		}
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == part })
		if i < 0 {
			return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at = entries[i]
	}
	return at, nil
}

// Open returns a directory or a file whose content is read at once.
func (t *treeFS) Open(name string) (fs.File, error) {
	e, err := t.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if e.Mode.IsDir() {
		entries, err := t.ReadDir(name)
		return &dir{info: info{e}, rest: entries}, err
	}
	content, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &file{info: info{e}, Reader: bytes.NewReader(content)}, nil
}

// ReadDir lists a directory, sorted by name as fs.ReadDirFS demands (git sorts
// directories as if their names ended in a slash).
func (t *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := t.lookup("readdir", name)
	if err != nil {
		return nil, err
	}
	if !e.Mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	entries, err := t.source.Tree(e.ID)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	out := make([]fs.DirEntry, len(entries))
	for i, e := range entries {
		out[i] = fs.FileInfoToDirEntry(info{e})
	}
	slices.SortFunc(out, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return out, nil
}

// ReadFile returns a copy of a regular file's content.
func (t *treeFS) ReadFile(name string) ([]byte, error) {
	e, err := t.lookup("open", name)
	if err != nil {
		return nil, err
	}
	if !e.Mode.IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	content, err := t.source.Blob(e.ID)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return bytes.Clone(content), nil
}

// Stat does not read the file.
func (t *treeFS) Stat(name string) (fs.FileInfo, error) {
	e, err := t.lookup("stat", name)
	if err != nil {
		return nil, err
	}
	return info{e}, nil
}

// Lstat is Stat, which follows nothing.
func (t *treeFS) Lstat(name string) (fs.FileInfo, error) { return t.Stat(name) }

// maxLink is what git itself reads of a link.
const maxLink = 4096

// ReadLink returns where a symbolic link points.
func (t *treeFS) ReadLink(name string) (string, error) {
	e, err := t.lookup("readlink", name)
	if err != nil {
		return "", err
	}
	if e.Mode&fs.ModeSymlink == 0 {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	content, err := t.source.Blob(e.ID)
	if err == nil && len(content) > maxLink {
		err = fs.ErrInvalid
	}
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(content), nil
}

type info struct {
	entry Entry
}

func (i info) Name() string       { return path.Base(i.entry.Name) }
func (i info) Size() int64        { return 0 } // a tree does not tell sizes
func (i info) Mode() fs.FileMode  { return i.entry.Mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.entry.Mode.IsDir() }
func (i info) Sys() any           { return object(i.entry.ID) }

type object string

func (o object) ObjectID() string { return string(o) }

type file struct {
	info info
	*bytes.Reader
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

type dir struct {
	info info
	rest []fs.DirEntry
}

func (d *dir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dir) Close() error               { return nil }
func (d *dir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: fs.ErrInvalid}
}

func (d *dir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.rest)
	} else if len(d.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.rest))
	part := d.rest[:n]
	d.rest = d.rest[n:]
	return part, nil
}
