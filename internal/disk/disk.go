// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package disk is a state.Store in a directory: file:// for one machine, the demo and
// tests.
//
// A key is a file. Writers of one directory take turns through a lock on the file
// .lock, in several processes too; a file is replaced by rename after it was synced,
// so that a crash leaves the old content or the new one.
package disk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sigs.k8s.io/steward/internal/state"
)

// Store is a directory. It holds nothing in memory.
type Store struct {
	dir  string
	mode fs.FileMode // of files
}

// Open makes the directory where it does not exist. Nobody else may read in it.
func Open(dir string) (*Store, error) { return open(dir, 0o600) }

// OpenPublic makes a directory in which everybody may read.
func OpenPublic(dir string) (*Store, error) { return open(dir, 0o644) }

func open(dir string, mode fs.FileMode) (*Store, error) {
	if err := os.MkdirAll(dir, folder(mode)); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	return &Store{dir, mode}, nil
}

// folder is the mode of a folder of files of a mode: whoever may read may also enter.
func folder(mode fs.FileMode) fs.FileMode { return mode | mode>>2&0o111 }

const (
	lockName = ".lock" // no key begins with a dot
	tempName = ".new-*"
)

func (s *Store) path(key string) (string, error) {
	if err := state.CheckKey(key); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(key)), nil
}

func versionOf(content []byte) state.Version {
	sum := sha256.Sum256(content)
	return state.Version(hex.EncodeToString(sum[:]))
}

// Get reads a key.
func (s *Store) Get(_ context.Context, key string) ([]byte, state.Version, error) {
	path, err := s.path(key)
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, state.MaxObject+1))
	if err != nil {
		return nil, "", err
	}
	if len(content) > state.MaxObject {
		return nil, "", fmt.Errorf("read %s: more than %d bytes", path, state.MaxObject)
	}
	return content, versionOf(content), nil
}

// Put replaces a version.
func (s *Store) Put(ctx context.Context, key string, content []byte, v state.Version) (state.Version, error) {
	path, err := s.path(key)
	if err != nil {
		return "", err
	}
	err = s.locked(func() error {
		if err := s.expect(ctx, key, v); err != nil {
			return err
		}
		return replace(path, content, s.mode)
	})
	if err != nil {
		return "", err
	}
	return versionOf(content), nil
}

// Delete removes a version.
func (s *Store) Delete(ctx context.Context, key string, v state.Version) error {
	path, err := s.path(key)
	if err != nil {
		return err
	}
	return s.locked(func() error {
		_, now, err := s.Get(ctx, key)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case now != v && v != state.Any:
			return state.ErrConflict
		}
		return os.Remove(path)
	})
}

// expect fails where a key does not have version v.
func (s *Store) expect(ctx context.Context, key string, v state.Version) error {
	_, now, err := s.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		now, err = state.Absent, nil
	}
	if err == nil && now != v {
		err = state.ErrConflict
	}
	return err
}

// locked runs do while no other process or goroutine writes.
func (s *Store) locked(do func() error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // which unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return do()
}

// replace writes beside path, then renames; both are on disk when it returns.
func replace(path string, content []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	if err := makeDirs(dir, folder(mode)); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, tempName)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // left behind it is ignored
		}
	}()
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// makeDirs is os.MkdirAll with every new name on disk.
func makeDirs(dir string, mode fs.FileMode) error {
	err := os.Mkdir(dir, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeDirs(filepath.Dir(dir), mode); err == nil {
			err = os.Mkdir(dir, mode)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist): // a file in its place fails the next step
		return nil
	case err != nil:
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List walks the directory.
func (s *Store) List(_ context.Context, prefix string) ([]string, error) {
	var keys []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.dir, path)
		if key := filepath.ToSlash(rel); err == nil && strings.HasPrefix(key, prefix) && state.CheckKey(key) == nil {
			keys = append(keys, key)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list state: %w", err)
	}
	slices.Sort(keys)
	return keys, nil
}
