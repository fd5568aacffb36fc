// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// shrink returns a smaller subject for which fails still holds: without files, lines and settings that do not
// matter. It stops when nothing more can go.
func shrink(s subject, fails func(subject) bool) subject {
	for again := true; again; {
		again = false
		for _, smaller := range s.smaller() {
			if fails(smaller) {
				s, again = smaller, true
				break
			}
		}
	}
	return s
}

// smaller lists the subjects that lack one thing, the largest things first.
func (s subject) smaller() []subject {
	var all []subject
	for _, name := range slices.Sorted(maps.Keys(s.tree)) {
		t := maps.Clone(s.tree)
		delete(t, name)
		all = append(all, subject{t, s.settings, s.collaborators})
	}
	if s.collaborators != nil {
		all = append(all, subject{s.tree, s.settings, nil})
	}
	if s.settings.denylist != nil {
		plain := s.settings
		plain.denylist = nil
		all = append(all, subject{s.tree, plain, s.collaborators})
	}
	for _, name := range slices.Sorted(maps.Keys(s.tree)) {
		lines := strings.SplitAfter(s.tree[name], "\n")
		for i := range lines {
			if lines[i] == "" {
				continue
			}
			t := maps.Clone(s.tree)
			t[name] = strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
			all = append(all, subject{t, s.settings, s.collaborators})
		}
	}
	return all
}

// String shows a tree in the form of a txtar archive.
func (t tree) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(t)) {
		b.WriteString("-- " + name + " --\n" + t[name])
	}
	return b.String()
}

func TestShrink(t *testing.T) {
	s := newSubject(1)
	s.tree["deep/down/OWNERS"] = "approvers:\n- ann\n- culprit\n"
	got := shrink(s, func(s subject) bool { return strings.Contains(s.tree["deep/down/OWNERS"], "culprit") })
	if want := "-- deep/down/OWNERS --\n- culprit\n"; got.tree.String() != want {
		t.Errorf("shrunk to\n%s", got.tree)
	}
}

// One seed makes one tree, so that a reported seed can be run again.
func TestGeneratorIsDeterministic(t *testing.T) {
	distinct := map[string]bool{}
	for seed := range uint64(50) {
		a, b := newSubject(seed), newSubject(seed)
		if a.tree.String() != b.tree.String() {
			t.Errorf("seed %d makes two trees", seed)
		}
		distinct[a.tree.String()] = true
	}
	if len(distinct) < 45 {
		t.Errorf("50 seeds make only %d trees", len(distinct))
	}
}
