// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"

	"sigs.k8s.io/steward/internal/thread"
)

// uncreated is the number of a record that exists in this decision only.
const uncreated = -1

// withRecords is s as the next command sees it: with the records that the
// actions create or change. Without any, it is s itself.
func withRecords(s *thread.Snapshot, actions []thread.Action) *thread.Snapshot {
	for _, a := range actions {
		if issue, ok := a.(thread.Issue); ok {
			s = withRecord(s, issue)
		}
	}
	return s
}

func withRecord(s *thread.Snapshot, want thread.Issue) *thread.Snapshot {
	have, exists := s.Record(want.Key)
	if exists && have.Stamp.After(want.Stamp) {
		return s
	}
	next := thread.Record{
		Number: uncreated, Key: want.Key, Stamp: want.Stamp, Data: want.Data,
		Title: want.Title, Body: want.Render(), Open: want.Open, Labelled: true,
	}
	if exists {
		next.Number = have.Number
	}
	view := *s
	view.Records = append(slices.DeleteFunc(slices.Clone(s.Records), func(r thread.Record) bool {
		return r.Key == next.Key && r.Number == next.Number
	}), next)
	return &view
}

// newestRecords keeps one action per record, the one with the highest stamp and
// of equals the last, in the place of the first.
func newestRecords(actions []thread.Action) []thread.Action {
	place := map[string]int{}
	var kept []thread.Action
	for _, a := range actions {
		issue, ok := a.(thread.Issue)
		i, seen := place[issue.Key]
		switch {
		case !ok:
			kept = append(kept, a)
		case !seen:
			place[issue.Key] = len(kept)
			kept = append(kept, a)
		case !kept[i].(thread.Issue).Stamp.After(issue.Stamp):
			kept[i] = a
		}
	}
	return kept
}
