// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/thread"
)

// L-5: a record that another process overwrote with an older state, between our last read and now, is noticed by
// the process that wrote the newer one. What a person wrote over it is left alone.
func TestOvertaken(t *testing.T) {
	fake, ours := start(t)
	theirs := client(t, fake.URL)
	record := func(unix int64) thread.Issue {
		return thread.Issue{Key: "freeze/dns", Title: "Frozen: dns", Text: "for a reason", Open: true, Stamp: thread.Stamp{Unix: unix, Comment: unix}}
	}
	if err := ours.Execute(t.Context(), snapshot(t, ours, 2), thread.CreateIssue{Issue: record(5)}); err != nil {
		t.Fatal(err)
	}
	s := snapshot(t, ours, 2)
	if lost := ours.Overtaken(s); len(lost) != 0 {
		t.Errorf("overtaken before anything happened: %v", lost)
	}
	number := s.Records[len(s.Records)-1].Number
	if err := theirs.editRecord(t.Context(), s.Repo, number, record(3)); err != nil {
		t.Fatal(err)
	}
	s = snapshot(t, ours, 2)
	if lost := ours.Overtaken(s); len(lost) != 1 || lost[0].(thread.Issue).Stamp.Unix != 5 {
		t.Errorf("overtaken by an older state: %v", lost)
	}
	if lost := theirs.Overtaken(s); len(lost) != 0 {
		t.Errorf("who never wrote the newer state restores %v", lost)
	}
	if err := theirs.editRecord(t.Context(), s.Repo, number, record(7)); err != nil {
		t.Fatal(err)
	}
	if lost := ours.Overtaken(snapshot(t, ours, 2)); len(lost) != 0 {
		t.Errorf("overtaken by a newer state: %v", lost)
	}
	if _, err := fake.Act(ghfake.Act{As: "alice", Do: "edit", Repo: s.Repo.String(), Number: number, Body: record(1).Render()}); err != nil {
		t.Fatal(err)
	}
	if lost := ours.Overtaken(snapshot(t, ours, 2)); len(lost) != 0 {
		t.Errorf("what a person wrote is overwritten: %v", lost)
	}
}
