// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
)

func openFolder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := t.TempDir()
	f := OpenFolder(dir)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f, dir
}

func TestFolder(t *testing.T) {
	filestoretest.Run(t, func(t *testing.T) filestore.Store {
		f, _ := openFolder(t)
		return f
	})
}

// What somebody changed by hand has no proof any more, and links do not lead out.
func TestFolderBelievesNobody(t *testing.T) {
	f, dir := openFolder(t)
	if err := filestoretest.Put(t.Context(), f, "a/x", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a", "x"), []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if o, err := f.Stat(t.Context(), "a/x"); err != nil || o.SHA256 != "" {
		t.Errorf("%+v, %v", o, err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	if err := filestoretest.Put(t.Context(), f, "out/x", "", []byte("one")); err == nil {
		t.Error("a link led out")
	}
	if err := filestoretest.Put(t.Context(), f, ".steward/lock", "", nil); err == nil {
		t.Error("the lock was replaced")
	}
}
