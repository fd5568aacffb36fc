// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gitfs

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
)

type memory struct {
	trees map[string][]Entry
	blobs map[string][]byte
}

func (m memory) Tree(id string) ([]Entry, error) {
	t, ok := m.trees[id]
	if !ok {
		return nil, fmt.Errorf("no tree %s", id)
	}
	return t, nil
}

func (m memory) Blob(id string) ([]byte, error) {
	b, ok := m.blobs[id]
	if !ok {
		return nil, fmt.Errorf("no blob %s", id)
	}
	return b, nil
}

func sample() memory {
	return memory{
		trees: map[string][]Entry{
			"root": {
				{Name: "OWNERS", ID: "b1"}, {Name: "dns-x", ID: "b2"},
				{Name: "dns", Mode: ParseMode("040000"), ID: "sub"}, // after dns-x, as git sorts
			},
			"sub": {{Name: "OWNERS", Mode: ParseMode("100644"), ID: "b2"}},
		},
		blobs: map[string][]byte{"b1": []byte("one"), "b2": []byte("two")},
	}
}

func TestFS(t *testing.T) {
	fsys := New(sample(), "root")
	for _, name := range []string{"OWNERS", "dns/OWNERS", "dns-x"} {
		if _, err := fs.ReadFile(fsys, name); err != nil {
			t.Error(err)
		}
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil || len(entries) != 3 || entries[1].Name() != "dns" {
		t.Fatalf("%v, %v", entries, err)
	}
	fi, _ := entries[1].Info()
	if id := fi.Sys().(interface{ ObjectID() string }).ObjectID(); id != "sub" {
		t.Errorf("object id %q", id)
	}
	matches, err := fs.Glob(fsys, "*/OWNERS")
	if err != nil || len(matches) != 1 {
		t.Errorf("glob %v, %v", matches, err)
	}
	if err := fstest.TestFS(fsys, "OWNERS", "dns/OWNERS"); err != nil {
		t.Error(err)
	}
}

// A missing object is an I/O error, a missing name is not.
func TestErrors(t *testing.T) {
	m := sample()
	delete(m.trees, "sub")
	delete(m.blobs, "b1")
	fsys := New(m, "root")
	tests := map[string]bool{"OWNERS": false, "dns/OWNERS": false, "nope": true, "OWNERS/x": true}
	for name, missing := range tests {
		_, err := fs.ReadFile(fsys, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) != missing {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"../OWNERS", "/OWNERS", "dns//OWNERS"} {
		if _, err := fs.ReadFile(fsys, name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Links are told apart and read, never followed.
func TestLinks(t *testing.T) {
	m := sample()
	m.trees["root"] = append(m.trees["root"], Entry{Name: "link", Mode: ParseMode("120000"), ID: "b3"})
	m.blobs["b3"] = []byte("dns/OWNERS")
	fsys := New(m, "root")
	if info, err := fs.Lstat(fsys, "link"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("lstat: %v, %v", info, err)
	}
	if target, err := fs.ReadLink(fsys, "link"); err != nil || target != "dns/OWNERS" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if _, err := fs.ReadFile(fsys, "link"); err == nil {
		t.Error("a link was followed")
	}
	for name, want := range map[string]error{"OWNERS": fs.ErrInvalid, "nope": fs.ErrNotExist} {
		if _, err := fs.ReadLink(fsys, name); !errors.Is(err, want) {
			t.Errorf("readlink %s: %v", name, err)
		}
	}
}
