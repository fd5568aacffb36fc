// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"

	"sigs.k8s.io/steward/internal/thread"
)

// github is a thread that writes are applied to, as GitHub would.
type github struct {
	thread.Snapshot
	next int64
}

func (g *github) apply(writes []thread.Write) {
	for _, w := range writes {
		switch w := w.(type) {
		case thread.PostComment:
			g.next++
			g.Comments = append(slices.Clone(g.Comments), thread.Comment{ID: 1_000_000 + g.next, Author: "steward", Bot: true, Body: w.Body})
		case thread.EditComment:
			g.Comments = slices.Clone(g.Comments)
			i := slices.IndexFunc(g.Comments, func(c thread.Comment) bool { return c.ID == w.ID })
			g.Comments[i].Body = w.Body
		case thread.DeleteComment:
			g.Comments = slices.DeleteFunc(slices.Clone(g.Comments), func(c thread.Comment) bool { return c.ID == w.ID })
		case thread.PostStatus:
			g.Statuses[w.Context] = w.Status
		case thread.CreateIssue:
			g.next++
			g.setRecord(int(g.next), w.Issue)
		case thread.EditIssue:
			g.setRecord(w.Number, w.Issue)
		}
	}
}

func (g *github) setRecord(number int, issue thread.Issue) {
	r, ok := thread.ParseRecord(number, issue.Title, issue.Render(), issue.Open)
	r.Labelled = true
	if !ok {
		return
	}
	g.Records = append(slices.DeleteFunc(slices.Clone(g.Records), func(old thread.Record) bool { return old.Number == number }), r)
}
