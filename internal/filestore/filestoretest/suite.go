// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package filestoretest is what every filestore.Store has to pass.
package filestoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/filestore"
)

// Sum is the sha256 of a content, in hexadecimal.
func Sum(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Put writes a file through a store.
func Put(ctx context.Context, s filestore.Store, name, version string, content []byte) error {
	sink, err := s.Create(ctx, name, version, filestore.Content{Size: int64(len(content)), SHA256: Sum(content)})
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(content, filestore.PieceSize) {
		if _, err := sink.Write(piece); err != nil {
			sink.Abort()
			return err
		}
	}
	return sink.Commit()
}

// Get reads a file through a store.
func Get(ctx context.Context, s filestore.Store, name string) ([]byte, filestore.Object, error) {
	r, o, err := s.Open(ctx, name)
	if err != nil {
		return nil, o, err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return content, o, err
}

// List reads a list.
func List(ctx context.Context, s filestore.Store, prefix string) (map[string]filestore.Object, error) {
	all := map[string]filestore.Object{}
	for o, err := range s.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		all[o.Name] = o
	}
	return all, nil
}

// Run checks a store; open returns an empty one.
func Run(t *testing.T, open func(t *testing.T) filestore.Store) {
	for name, test := range map[string]func(*testing.T, filestore.Store){
		"absent": absent, "write": write, "sizes": sizes, "abort": abort, "conditions": conditions, "keep": keep, "list": list, "race": race, "cancel": cancel,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func absent(t *testing.T, s filestore.Store) {
	ctx := t.Context()
	if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, filestore.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	if _, _, err := s.Open(ctx, "a/b"); !errors.Is(err, filestore.ErrNotFound) {
		t.Errorf("open: %v", err)
	}
	if all, err := List(ctx, s, ""); err != nil || len(all) != 0 {
		t.Errorf("list: %v, %v", all, err)
	}
	for _, name := range []string{"", "../x", "/x", "a//b", "a/../b", "."} {
		if err := Put(ctx, s, name, "", nil); err == nil {
			t.Errorf("%q was written", name)
		}
		if _, _, err := s.Open(ctx, name); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
}

func write(t *testing.T, s filestore.Store) {
	ctx, content := t.Context(), []byte("the content")
	if err := Put(ctx, s, "v1.0/linux/tool name.tar.gz", "", content); err != nil {
		t.Fatal(err)
	}
	got, opened, err := Get(ctx, s, "v1.0/linux/tool name.tar.gz")
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%q, %v", got, err)
	}
	stat, err := s.Stat(ctx, "v1.0/linux/tool name.tar.gz")
	if err != nil || stat != opened || stat.Size != int64(len(content)) || stat.Version == "" || stat.Name != "v1.0/linux/tool name.tar.gz" {
		t.Errorf("stat %+v, opened %+v, %v", stat, opened, err)
	}
	if stat.SHA256 != Sum(content) {
		t.Errorf("the store does not know what it was told: %+v", stat)
	}
}

func sizes(t *testing.T, s filestore.Store) {
	for _, size := range []int{0, 1, filestore.PieceSize - 1, filestore.PieceSize, filestore.PieceSize + 1, 2*filestore.PieceSize + 17} {
		content := bytes.Repeat([]byte{'0', '1', '2', byte(size)}, size/4+1)[:size]
		name := Sum(content)
		if err := Put(t.Context(), s, name, "", content); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if got, o, err := Get(t.Context(), s, name); err != nil || !bytes.Equal(got, content) || o.SHA256 != name {
			t.Errorf("%d bytes: %d came, %+v, %v", size, len(got), o, err)
		}
	}
}

// abort: what was not finished was never there.
func abort(t *testing.T, s filestore.Store) {
	for _, pieces := range []int{0, 1, 2} {
		sink, err := s.Create(t.Context(), "a", "", filestore.Content{Size: 3 * filestore.PieceSize})
		if err != nil {
			t.Fatal(err)
		}
		for range pieces {
			if _, err := sink.Write(make([]byte, filestore.PieceSize)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, filestore.ErrNotFound) {
			t.Errorf("half of it is there: %v", err)
		}
		sink.Abort()
		if all, err := List(t.Context(), s, ""); err != nil || len(all) != 0 {
			t.Errorf("after %d pieces: %v, %v", pieces, all, err)
		}
	}
}

func conditions(t *testing.T, s filestore.Store) {
	ctx := t.Context()
	if err := Put(ctx, s, "a", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	first, err := s.Stat(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := Put(ctx, s, "a", "", []byte("two")); !errors.Is(err, filestore.ErrChanged) {
		t.Errorf("created again: %v", err)
	}
	if err := Put(ctx, s, "a", first.Version, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := Put(ctx, s, "a", first.Version, []byte("three")); !errors.Is(err, filestore.ErrChanged) {
		t.Errorf("replaced what is not there: %v", err)
	}
	if err := Put(ctx, s, "b", first.Version, []byte("three")); !errors.Is(err, filestore.ErrChanged) {
		t.Errorf("replaced nothing: %v", err)
	}
	got, o, err := Get(ctx, s, "a")
	if err != nil || string(got) != "two" || o.Version == first.Version {
		t.Errorf("%q %+v, %v", got, o, err)
	}
}

// keep copies, once, and only what it was told.
func keep(t *testing.T, s filestore.Store) {
	ctx := t.Context()
	if err := Put(ctx, s, "a", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	first, err := s.Stat(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Keep(ctx, "a", first.Version, ".replaced/a.1"); err != nil {
			t.Fatal(err)
		}
	}
	if got, o, err := Get(ctx, s, ".replaced/a.1"); err != nil || string(got) != "one" || o.SHA256 != first.SHA256 {
		t.Errorf("%q %+v, %v", got, o, err)
	}
	if err := Put(ctx, s, "a", first.Version, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(ctx, "a", first.Version, ".replaced/a.2"); !errors.Is(err, filestore.ErrChanged) {
		t.Errorf("kept what is not there: %v", err)
	}
}

func list(t *testing.T, s filestore.Store) {
	ctx := t.Context()
	for _, name := range []string{"a", "a/b", "a/c/d", "ab", "b/x"} {
		if name == "a" {
			continue // a directory cannot have both
		}
		if err := Put(ctx, s, name, "", []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string][]string{"": {"a/b", "a/c/d", "ab", "b/x"}, "a/": {"a/b", "a/c/d"}, "a/c/": {"a/c/d"}, "c/": nil} {
		all, err := List(ctx, s, prefix)
		if got := slices.Sorted(maps.Keys(all)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", prefix, got, err)
		}
		for name, o := range all {
			stat, err := s.Stat(ctx, name)
			if o.SHA256 == "" { // a list may tell less
				stat.SHA256 = ""
			}
			if err != nil || o != stat {
				t.Errorf("%s: listed as %+v, is %+v, %v", name, o, stat, err)
			}
		}
	}
}

// race: of many who create one file one does, and the others are told.
func race(t *testing.T, s filestore.Store) {
	const writers = 8
	errs := make([]error, writers)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() { errs[i] = Put(t.Context(), s, "a", "", []byte{byte('0' + i)}) })
	}
	all.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("%d and %d have both created it", won, i)
		case err == nil:
			won = i
		case !errors.Is(err, filestore.ErrChanged):
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if got, _, err := Get(t.Context(), s, "a"); err != nil || won < 0 || string(got) != string(rune('0'+won)) {
		t.Errorf("%d won, and it is %q, %v", won, got, err)
	}
}

// cancel: a sink ends with its context.
func cancel(t *testing.T, s filestore.Store) {
	ctx, stop := context.WithCancel(t.Context())
	sink, err := s.Create(ctx, "a", "", filestore.Content{Size: 4, SHA256: Sum([]byte("abcd"))})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	_, err = sink.Write([]byte("abcd"))
	if err == nil {
		err = sink.Commit()
	} else {
		sink.Abort()
	}
	if err == nil {
		t.Error("it was finished")
	}
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, filestore.ErrNotFound) {
		t.Errorf("it is there: %v", err)
	}
}
