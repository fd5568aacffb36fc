// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselog

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/state"
)

// lossy stores, and may say that it did not.
type lossy struct {
	state.Store
	lies atomic.Bool
}

func (l *lossy) Put(ctx context.Context, key string, content []byte, v state.Version) (state.Version, error) {
	version, err := l.Store.Put(ctx, key, content, v)
	if l.lies.Load() {
		return "", errors.New("connection reset")
	}
	return version, err
}

func each(t *testing.T, o *Objects) []string {
	t.Helper()
	var all []string
	if err := o.Each(lease.Query{}, func(e *lease.Ended) bool { all = append(all, e.Resource); return true }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// TestObjects: every lease is in the history once, whatever was answered, before and after it was written.
func TestObjects(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 26, 2, 0, 0, 0, time.UTC)))
		files, err := disk.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		store := &lossy{Store: files}
		o := OpenObjects(store, "pod-0", quiet())
		want := []string{"r0", "r1", "r2", "r3", "r4", "r5"}
		o.Append(ended(6))
		if got := each(t, o); !slices.Equal(got, want) {
			t.Errorf("before it is written: %v", got)
		}
		store.lies.Store(true)
		time.Sleep(writeEvery + time.Second)
		if got := each(t, o); !slices.Equal(got, want) {
			t.Errorf("after a write of which nobody knows: %v", got)
		}
		store.lies.Store(false)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		// Another process takes over, and knows of two leases that nobody wrote.
		o = OpenObjects(store, "pod-1", quiet())
		o.Resume(append(ended(6), ended(8)[6:]...))
		time.Sleep(writeEvery + time.Second)
		want = append(want, "r6")
		if got := each(t, o); !slices.Equal(got, append(want, "r7")) {
			t.Errorf("after another took over: %v", got)
		}
		if err := o.Prune(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
		if got := each(t, o); !slices.Equal(got, []string{"r4", "r5", "r6", "r7"}) {
			t.Errorf("after the first day was removed: %v", got)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
