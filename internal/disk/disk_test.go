// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package disk

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/state/statetest"
)

func TestStore(t *testing.T) {
	dirs := map[string]string{}
	statetest.Run(t, func(t *testing.T) state.Store {
		if dirs[t.Name()] == "" {
			dirs[t.Name()] = t.TempDir()
		}
		s, err := Open(dirs[t.Name()])
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// What a crash leaves behind is not listed and hinders nobody.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "a", []byte("x"), state.Absent); err != nil {
		t.Fatal(err)
	}
	if keys, err := s.List(t.Context(), ""); err != nil || len(keys) != 1 || keys[0] != "a" {
		t.Errorf("keys %v, %v", keys, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(dir, "file")); err == nil {
		t.Error("a file is opened as a directory")
	}
}
