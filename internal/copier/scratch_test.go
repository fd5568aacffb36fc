// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"os"
	"path/filepath"
	"testing"
)

// CP-3: what killed copies left is removed by the next, and nothing that is in use, or is no such folder.
func TestScratch(t *testing.T) {
	parent, elsewhere := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(parent, scratchPrefix+name) }
	write := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	used, remove, err := scratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(used, "blob"))
	write(filepath.Join(at("killed"), scratchLock))
	write(filepath.Join(at("killed"), "blob"))
	write(filepath.Join(at("young"), "new-1")) // its lock is not there yet
	write(at("file"))
	write(filepath.Join(elsewhere, scratchLock))
	for from, to := range map[string]string{at("link"): elsewhere, filepath.Join(at("lock"), scratchLock): filepath.Join(elsewhere, scratchLock)} {
		if err := os.MkdirAll(filepath.Dir(from), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	mine, removeMine, err := scratch(parent)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		used + "/blob": true, mine: true, at("killed"): false, at("young"): true, at("file"): true, at("link"): true, at("lock"): true,
		filepath.Join(elsewhere, scratchLock): true,
	} {
		if _, err := os.Lstat(name); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	remove()
	removeMine()
	for _, name := range []string{used, mine} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if _, _, err := scratch(filepath.Join(parent, "nowhere")); err == nil {
		t.Error("a folder that is not there")
	}
}
