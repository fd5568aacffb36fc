// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package thread

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Action is one thing a plugin wants to be true. The list is closed: whatever
// steward does to GitHub, to Prow or to the pool is one of the types in this file, in pull.go
// and in pool.go.
type Action interface{ isAction() }

// Sticky is the standing part of the one comment a topic has on a thread. An
// empty body means that there is nothing to say.
type Sticky struct {
	Topic string
	Body  string
}

// Answer is the reply to the commands of one comment. It is kept in the topic's
// sticky, where it is also the record that the commands were carried out: it is
// written last, and a command with an answer is never run again.
type Answer struct {
	Topic   string
	Comment int64
	Body    string
}

// State of a Status, in GitHub's words.
type State string

// The states a commit status can have.
const (
	Success State = "success"
	Failure State = "failure"
	Pending State = "pending"
	Errored State = "error"
)

// Status is a commit status of the pull request's head.
type Status struct {
	Context     string
	State       State
	Description string // cut to 140 characters, GitHub's limit
	URL         string
}

// Issue is a Record as it should be, one per Key and repository. Of two versions
// the one with the higher Stamp wins, whichever arrives last.
type Issue struct {
	Key   string // for example freeze/dns
	Title string
	Text  string // Markdown for people
	Data  []byte // for programs, at most 8 KiB
	Open  bool
	Stamp Stamp
}

func (Sticky) isAction() {}
func (Answer) isAction() {}
func (Status) isAction() {}
func (Issue) isAction()  {}

// Stamp orders commands over all threads of a repository by GitHub's time, then
// by comment id, so that the order of delivery decides nothing.
type Stamp struct {
	Unix    int64 `json:"unix"`
	Comment int64 `json:"comment"`
}

// StampOf is the stamp of the commands in c.
func StampOf(c Comment) Stamp { return Stamp{Unix: c.Created.Unix(), Comment: c.ID} }

// After tells whether s is newer than t.
func (s Stamp) After(t Stamp) bool {
	return s.Unix > t.Unix || s.Unix == t.Unix && s.Comment > t.Comment
}

// Write is one missing effect. Writes are performed in the order Diff gives.
type Write interface{ isWrite() }

// The writes.
type (
	// PostComment creates the sticky of a topic.
	PostComment struct{ Topic, Body string }
	// EditComment replaces the body of the comment ID.
	EditComment struct {
		ID   int64
		Body string
	}
	// DeleteComment removes a second sticky, or one with nothing left to say.
	DeleteComment struct{ ID int64 }
	// PostStatus sets a commit status on Head.
	PostStatus struct {
		Head string
		Status
	}
	// CreateIssue opens the issue of a record.
	CreateIssue struct{ Issue }
	// EditIssue replaces title, body and state of a record's issue.
	EditIssue struct {
		Number int
		Issue
	}
)

func (PostComment) isWrite()   {}
func (EditComment) isWrite()   {}
func (DeleteComment) isWrite() {}
func (PostStatus) isWrite()    {}
func (CreateIssue) isWrite()   {}
func (EditIssue) isWrite()     {}

// descriptionLimit is the longest status description GitHub accepts, in characters.
const descriptionLimit = 140

// Diff returns what is missing for the actions to hold on s: records first, then
// statuses, then pull requests, jobs and calls of the pool, then comments, because an answer is the
// record that the rest is done. Of several actions on the same context, standing
// part, branch or job the last one counts, of those on the same record the one with
// the highest stamp.
func Diff(s *Snapshot, actions []Action) []Write {
	var issues, statuses, comments []Write
	records := newestRecords(actions)
	topics := map[string]*change{}
	var order []string
	topic := func(name string) *change {
		if topics[name] == nil {
			topics[name] = &change{answers: map[int64]string{}}
			order = append(order, name)
		}
		return topics[name]
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Issue:
			if records[a.Key] == a.Stamp {
				delete(records, a.Key) // of two equal ones the first is enough
				issues = append(issues, diffIssue(s, a)...)
			}
		case Status:
			statuses = appendStatus(statuses, s, a)
		case Sticky:
			topic(a.Topic).standing = &a.Body
		case Answer:
			topic(a.Topic).answers[a.Comment] = a.Body
		}
	}
	for _, name := range s.doubled() {
		topic(name)
	}
	for _, name := range order {
		comments = append(comments, diffTopic(s, name, topics[name])...)
	}
	return slices.Concat(issues, statuses, outside(actions), comments)
}

func newestRecords(actions []Action) map[string]Stamp {
	newest := map[string]Stamp{}
	for _, a := range actions {
		if i, ok := a.(Issue); ok {
			if stamp, seen := newest[i.Key]; !seen || i.Stamp.After(stamp) {
				newest[i.Key] = i.Stamp
			}
		}
	}
	return newest
}

func appendStatus(writes []Write, s *Snapshot, want Status) []Write {
	if s.Head == "" || s.Where != OpenPull {
		return writes
	}
	want.Description = clipRunes(basicPlane(want.Description), descriptionLimit)
	writes = slices.DeleteFunc(writes, func(w Write) bool {
		p, ok := w.(PostStatus)
		return ok && p.Context == want.Context
	})
	if s.Statuses[want.Context] == want {
		return writes
	}
	return append(writes, PostStatus{Head: s.Head, Status: want})
}

// basicPlane replaces what GitHub refuses in a description: "doesn't accept 4-byte
// Unicode". A refused status would leave the former one standing.
func basicPlane(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xFFFF {
			return '\u25a1' // a white square
		}
		return r
	}, s)
}

func clipRunes(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
