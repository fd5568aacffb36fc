// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselog

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
)

func quiet() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return logrus.NewEntry(log)
}

func openHistory(t *testing.T, dir string) *History {
	t.Helper()
	h, err := OpenHistory(dir, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ended makes leases of one resource each, an hour apart.
func ended(n int) []*lease.Ended {
	at := time.Date(2026, 11, 25, 20, 0, 0, 0, time.UTC)
	all := make([]*lease.Ended, n)
	for i := range all {
		all[i] = &lease.Ended{
			Lease: fmt.Sprint("l", i), Epoch: 1, Resource: fmt.Sprint("r", i), Type: "project", Owner: "job", Holder: lease.Holder{Account: "sig"},
			Since: at, Until: at.Add(time.Duration(i) * time.Hour), Held: lease.Busy, Left: lease.Dirty, Why: lease.Released,
		}
	}
	return all
}

func names(t *testing.T, h *History, q lease.Query) []string {
	t.Helper()
	var all []string
	if err := h.Each(q, func(e *lease.Ended) bool { all = append(all, e.Resource); return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHistory(t *testing.T) {
	dir := t.TempDir()
	h := openHistory(t, dir)
	h.Append(ended(6))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHistory(t, dir)
	defer h.Close()
	if got, want := names(t, h, lease.Query{}), []string{"r4", "r5", "r0", "r1", "r2", "r3"}; !slices.Equal(got, want) {
		t.Errorf("all: %v, want the latest day first: %v", got, want)
	}
	midnight := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		q    lease.Query
		want int
	}{
		{lease.Query{Resource: "r2"}, 1}, {lease.Query{Account: "sig"}, 6}, {lease.Query{Account: "other"}, 0},
		{lease.Query{Type: "project", Since: midnight}, 2}, {lease.Query{Until: midnight}, 4},
	} {
		if got := names(t, h, test.q); len(got) != test.want {
			t.Errorf("%+v: %v, want %d", test.q, got, test.want)
		}
	}
	if err := h.Prune(midnight); err != nil {
		t.Fatal(err)
	}
	if got := names(t, h, lease.Query{}); len(got) != 2 {
		t.Errorf("after the first day was removed: %v", got)
	}
}

// TestHistoryMends (P-22): a line that was cut is dropped, and what the pool remembers and the files lack is written, once.
func TestHistoryMends(t *testing.T) {
	dir := t.TempDir()
	h := openHistory(t, dir)
	h.Append(ended(3))
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "2026-11-25.jsonl")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content[:len(content)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h = openHistory(t, dir)
		h.Resume(ended(3)) // the last lease of every resource, as at every start
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	content, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(content), "\n"); n != 3 {
		t.Errorf("%d lines, want each lease once:\n%s", n, content)
	}
}

// TestHistoryDamage: one damaged line costs one lease, not the history and not the start.
func TestHistoryDamage(t *testing.T) {
	dir := t.TempDir()
	lines := `{"resource":"r1"}` + "\nnot JSON\n" + `{"resource":"r2"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "2026-11-25.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	h := openHistory(t, dir)
	defer h.Close()
	if got := names(t, h, lease.Query{}); !slices.Equal(got, []string{"r1", "r2"}) {
		t.Errorf("read %v", got)
	}
}

// TestHistoryWaits: what cannot be written is kept and written once it can.
func TestHistoryWaits(t *testing.T) {
	dir := t.TempDir()
	h := openHistory(t, dir)
	obstacle := filepath.Join(dir, "2026-11-25.jsonl")
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	left, err := h.append(ended(3))
	if err == nil || len(left) != 3 {
		t.Fatalf("%d left, %v", len(left), err)
	}
	h.putBack(left)
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = openHistory(t, dir)
	defer h.Close()
	if got := names(t, h, lease.Query{}); len(got) != 3 {
		t.Errorf("read %v", got)
	}
}
