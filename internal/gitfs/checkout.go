// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gitfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Checkout is the files of a directory and nothing else: a link that leads out of it is
// not followed, because what it leads to would stand in a public report, and what is
// neither a file nor a folder is not opened, because a pipe would never end.
type Checkout struct {
	root  *os.Root
	files fs.ReadLinkFS
}

// OpenCheckout opens a working tree. Close it to end the reading.
func OpenCheckout(dir string) (*Checkout, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkout: %w", err)
	}
	files, ok := root.FS().(fs.ReadLinkFS)
	if !ok {
		return nil, errors.Join(errors.New("this build of Go cannot read links below a directory"), root.Close())
	}
	return &Checkout{root, files}, nil
}

// Open opens a file or a folder. The error is fs.ErrInvalid for anything else.
func (c *Checkout) Open(name string) (fs.File, error) {
	info, err := c.root.Stat(filepath.FromSlash(name))
	switch {
	case err == nil && (info.Mode().IsRegular() || info.IsDir()):
		return c.files.Open(name)
	case err == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("it is no file: %w", fs.ErrInvalid)}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, err
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("it leads out of the repository, or round in circles: %w", fs.ErrInvalid)}
}

// ReadLink is for readers that follow links themselves, and so is Lstat.
func (c *Checkout) ReadLink(name string) (string, error) { return c.files.ReadLink(name) }

// Lstat implements fs.ReadLinkFS.
func (c *Checkout) Lstat(name string) (fs.FileInfo, error) { return c.files.Lstat(name) }

// Close ends the reading.
func (c *Checkout) Close() error { return c.root.Close() }
