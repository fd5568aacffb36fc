// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package statetest is the suite that every state.Store passes.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/state"
)

// Run tests a store. open returns a view of one empty store; it is called several
// times and each view has to show the same objects.
func Run(t *testing.T, open func(t *testing.T) state.Store) {
	for name, test := range map[string]func(*testing.T, state.Store, state.Store){
		"Versions": versions, "List": list, "Keys": keys, "Race": race, "Lock": lock, "Update": update,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			test(t, s, open(t))
		})
	}
}

func put(t *testing.T, s state.Store, key, content string, v state.Version) state.Version {
	t.Helper()
	next, err := s.Put(t.Context(), key, []byte(content), v)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return next
}

func want(t *testing.T, s state.Store, key, content string) state.Version {
	t.Helper()
	got, v, err := s.Get(t.Context(), key)
	if err != nil || string(got) != content {
		t.Errorf("%s is %q, %v; want %q", key, got, err, content)
	}
	return v
}

func versions(t *testing.T, s, other state.Store) {
	ctx := t.Context()
	if _, _, err := s.Get(ctx, "versions/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that is not there: %v", err)
	}
	first := put(t, s, "versions/a", "1", state.Absent)
	if v := want(t, other, "versions/a", "1"); v != first {
		t.Errorf("version %q, want %q", v, first)
	}
	second := put(t, other, "versions/a", "2", first)
	for _, stale := range []state.Version{first, state.Absent} {
		if _, err := s.Put(ctx, "versions/a", []byte("3"), stale); !errors.Is(err, state.ErrConflict) {
			t.Errorf("put over a version that is gone: %v", err)
		}
		if stale != state.Absent {
			if err := s.Delete(ctx, "versions/a", stale); !errors.Is(err, state.ErrConflict) {
				t.Errorf("delete of a version that is gone: %v", err)
			}
		}
	}
	want(t, s, "versions/a", "2")
	if err := s.Delete(ctx, "versions/a", second); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := s.Delete(ctx, "versions/a", second); err != nil {
		t.Errorf("delete again: %v", err)
	}
	if _, err := s.Put(ctx, "versions/a", nil, second); !errors.Is(err, state.ErrConflict) {
		t.Errorf("put over what was deleted: %v", err)
	}
	put(t, s, "versions/a", "", state.Absent)
	want(t, other, "versions/a", "")
	if err := errors.Join(s.Delete(ctx, "versions/a", state.Any), s.Delete(ctx, "versions/a", state.Any)); err != nil {
		t.Errorf("delete whatever is there: %v", err)
	}
	if _, _, err := other.Get(ctx, "versions/a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it: %v", err)
	}
}

func list(t *testing.T, s, other state.Store) {
	for _, key := range []string{"list/b/2.json", "list/b/1.json", "list/a", "lister"} {
		put(t, s, key, key, state.Absent)
	}
	for prefix, wanted := range map[string][]string{
		"list/":   {"list/a", "list/b/1.json", "list/b/2.json"},
		"list/b/": {"list/b/1.json", "list/b/2.json"},
		"none/":   nil,
	} {
		if got, err := other.List(t.Context(), prefix); err != nil || !slices.Equal(got, wanted) {
			t.Errorf("list %s: %v, %v; want %v", prefix, got, err, wanted)
		}
	}
}

func keys(t *testing.T, s, _ state.Store) {
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", "A", "a b", ".a", "a/.b", "a\x00"} {
		if _, err := s.Put(t.Context(), key, nil, state.Absent); err == nil {
			t.Errorf("put of key %q is accepted", key)
		}
		if _, _, err := s.Get(t.Context(), key); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("get of key %q: %v", key, err)
		}
	}
}

// race lets many write one key: of those that name one version, one wins.
func race(t *testing.T, s, other state.Store) {
	const writers, rounds = 8, 5
	version := put(t, s, "race/a", "start", state.Absent)
	for round := range rounds {
		var mu sync.Mutex
		var won []state.Version
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				view := []state.Store{s, other}[w%2]
				v, err := view.Put(t.Context(), "race/a", []byte(fmt.Sprint(round, w)), version)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won = append(won, v)
				case !errors.Is(err, state.ErrConflict):
					t.Errorf("put: %v", err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("%d writers replaced one version", len(won))
		}
		version = won[0]
	}
}

func lock(t *testing.T, s, other state.Store) {
	ctx := t.Context()
	mine, err := state.Acquire(ctx, s, "lock/a", "me", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var held *state.HeldError
	if _, err := state.Acquire(ctx, other, "lock/a", "you", time.Hour); !errors.As(err, &held) || held.Holder != "me" {
		t.Errorf("a held lock: %v", err)
	}
	if err := mine.Renew(ctx); err != nil {
		t.Errorf("renew: %v", err)
	}
	// A write of ours whose answer was lost.
	content, version, err := s.Get(ctx, "lock/a")
	if err != nil {
		t.Fatal(err)
	}
	put(t, other, "lock/a", string(content)+" ", version)
	if err := mine.Renew(ctx); err != nil {
		t.Errorf("renew over a write of our own: %v", err)
	}
	if err := mine.Release(ctx); err != nil {
		t.Errorf("release: %v", err)
	}
	late, err := state.Acquire(ctx, s, "lock/a", "late", -time.Second) // expired at once
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Acquire(ctx, other, "lock/a", "you", time.Hour); err != nil {
		t.Errorf("an expired lock: %v", err)
	}
	if err := late.Renew(ctx); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a lost lock is renewed: %v", err)
	}
	if err := late.Release(ctx); !errors.Is(err, state.ErrConflict) {
		t.Errorf("a lost lock is released: %v", err)
	}
}

func update(t *testing.T, s, other state.Store) {
	const each = 10
	count := func(ctx context.Context, view state.Store) error {
		return state.Update(ctx, view, "update/n", func(old []byte) ([]byte, error) {
			n, err := strconv.Atoi("0" + string(old))
			return []byte(strconv.Itoa(n + 1)), err
		})
	}
	var all sync.WaitGroup
	for _, view := range []state.Store{s, other} {
		all.Go(func() {
			for range each {
				if err := count(t.Context(), view); err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	all.Wait()
	want(t, s, "update/n", strconv.Itoa(2*each))
	if err := state.Replace(t.Context(), other, "update/n", []byte("7")); err != nil {
		t.Errorf("replace: %v", err)
	}
	want(t, s, "update/n", "7")
}
