// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"cmp"
	"os"
	"path/filepath"
	"syscall"
)

const (
	scratchPrefix = "steward-spool-"
	scratchLock   = "LOCK"
)

// scratch makes a folder for one copy, and removes those of copies that were killed: each may have gigabytes. One that is in use has
// a lock, which ends with its process.
func scratch(parent string) (dir string, remove func(), err error) {
	parent = cmp.Or(parent, os.TempDir())
	sweepScratch(parent)
	if dir, err = os.MkdirTemp(parent, scratchPrefix); err != nil {
		return "", nil, err
	}
	lock, err := lockScratch(dir)
	if err != nil {
		_ = os.RemoveAll(dir) // the other error is the one to tell
		return "", nil, err
	}
	return dir, func() {
		_ = os.RemoveAll(dir) // what is left the next copy removes
		_ = lock.Close()
	}, nil
}

// lockScratch takes the lock before it is to be seen: nobody takes a folder that is just made for one that was left.
func lockScratch(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, scratchLock))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweepScratch removes folders whose lock nobody holds. What cannot be removed stays; it may be somebody else's.
func sweepScratch(parent string) {
	left, err := filepath.Glob(filepath.Join(parent, scratchPrefix+"*"))
	if err != nil {
		return // a parent that is no pattern's: nothing is known to be left
	}
	for _, dir := range left {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(dir, scratchLock), os.O_RDWR|syscall.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}
