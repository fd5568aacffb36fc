// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"fmt"
	"testing"

	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/thread"
)

// BenchmarkDecide is a command on a pull request with 30 files and 40 comments,
// the work between reading a thread and writing to it.
func BenchmarkDecide(b *testing.B) {
	w := newWorld(&testing.T{})
	s := w.pull(1)
	s.Files = nil
	for i := range 30 {
		s.Files = append(s.Files, thread.File{Path: fmt.Sprintf("dns/zone-configs/%d.yaml", i), Status: "modified"})
	}
	for second := range int64(40) {
		w.say(1, second+1, "carol", "Looks good, but what about `x`?\n\n> quoted\n\nSee above.")
	}
	w.say(1, 50, "carol", "/infra why @bob")
	snapshot := w.snapshot(1)
	var actions []thread.Action
	for b.Loop() {
		var err error
		if actions, err = w.set.Decide(b.Context(), snapshot, w.options(), w.now); err != nil {
			b.Fatal(err)
		}
	}
	if len(thread.Diff(snapshot, actions)) != 4 {
		b.Errorf("writes %v", thread.Diff(snapshot, actions))
	}
}

// BenchmarkWatch is the same thread when nobody asks for anything.
func BenchmarkWatch(b *testing.B) {
	w := newWorld(&testing.T{})
	w.pull(1)
	snapshot := w.snapshot(1)
	opts := plugin.Options{Enabled: w.options().Enabled, Members: w}
	for b.Loop() {
		if _, err := w.set.Decide(b.Context(), snapshot, opts, w.now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDriftWatch is what a pull request costs while the audit has 10,000 findings.
func BenchmarkDriftWatch(b *testing.B) {
	w := newWorld(&testing.T{})
	s := w.pull(1)
	for i := range 300 {
		s.Files = append(s.Files, thread.File{Path: fmt.Sprintf("audit/projects/p%d/iam.json", i), Status: "modified"})
	}
	for i := range 10_000 {
		item := w.report.Items[0]
		item.File = fmt.Sprintf("audit/projects/p%d/iam.json", i)
		w.report.Items = append(w.report.Items, item)
	}
	snapshot := w.snapshot(1)
	opts := plugin.Options{Enabled: []string{"drift"}, Members: w}
	for b.Loop() {
		if _, err := w.set.Decide(b.Context(), snapshot, opts, w.now); err != nil {
			b.Fatal(err)
		}
	}
}
