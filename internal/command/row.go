// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command is what people type: `/infra why @alice dns/` in a comment.
//
// A command is a Row of a table. Parsing, the access check, deduplication, the
// one answer, `/infra help`, Prow's help page and docs/commands.md with its
// tested examples all derive from the row; adding a command is adding a row.
package command

import (
	"context"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// Row is one command.
type Row struct {
	Verb     string       // the word after /infra, for example "why", or two: "drift accept"
	Args     string       // usage, for example "[@user] [path…]"
	Where    thread.Where // the situations in which it works
	Who      Who          // who may use it
	Acts     bool         // changes more than its own answer: expires, see Freshness
	Help     string       // one sentence, no markup
	Examples []Example
	Run      Handler
}

// Example is a command line with what its answer contains. The examples are
// tests: they are run against the example repository.
type Example struct {
	Line  string
	Reply string
}

// Freshness is how long a command that acts stays executable. A comment that
// nobody could process for longer is answered with a request to repeat it: what
// was meant yesterday must not happen by surprise today.
const Freshness = 24 * time.Hour

// Call is one command line of one comment, with its row found.
type Call struct {
	Line    Line
	Args    []string
	Comment thread.Comment
}

// Reply is what a command wants to say and do. Text is Markdown in which
// everything a person typed went through package markdown.
type Reply struct {
	Text    string
	Actions []thread.Action
}

// Handler carries out a call. An error means that a fact could not be read: the
// call is tried again later, nothing is said and nothing is done.
type Handler func(context.Context, *thread.Snapshot, Call, time.Time) (Reply, error)

// Run joins the two halves of a row: load reads facts, decide is pure.
func Run[F any](
	load func(context.Context, *thread.Snapshot, Call) (F, error),
	decide func(*thread.Snapshot, Call, F, time.Time) Reply,
) Handler {
	return func(ctx context.Context, s *thread.Snapshot, c Call, now time.Time) (Reply, error) {
		facts, err := load(ctx, s, c)
		if err != nil {
			return Reply{}, err
		}
		return decide(s, c, facts, now), nil
	}
}

// Pure is a row that needs nothing but the snapshot.
func Pure(decide func(*thread.Snapshot, Call, time.Time) Reply) Handler {
	return func(_ context.Context, s *thread.Snapshot, c Call, now time.Time) (Reply, error) {
		return decide(s, c, now), nil
	}
}

// Who says who may use a row.
type Who struct {
	text   string
	anyone bool
	paths  Paths // nil: any member
}

// Paths is what the author of a call has to be an approver of. An error means that a
// fact could not be read.
type Paths func(context.Context, *thread.Snapshot, Call) ([]string, error)

// Anyone needs no rights at all. It is for rows that read and tell what is public.
func Anyone() Who { return Who{text: "anyone", anyone: true} }

// Member is anyone whom GitHub lists as a collaborator of the repository; in an
// organization that includes its members.
func Member() Who { return Who{text: "members of the organization"} }

// ApproverOf is a member who may approve every one of the paths, by OWNERS at
// the base commit; "." is the root. The text completes "who may use it". A call
// that is about no path, because its arguments say nothing known, is run for its
// explanation only: it may not act.
func ApproverOf(text string, paths func(*thread.Snapshot, Call) []string) Who {
	return ApproverOfRead(text, func(_ context.Context, s *thread.Snapshot, c Call) ([]string, error) {
		return paths(s, c), nil
	})
}

// ApproverOfRead is ApproverOf where the paths have to be looked up, because the
// arguments name something by an id.
func ApproverOfRead(text string, paths Paths) Who { return Who{text: text, paths: paths} }

// String is for help: who may use the row, in words.
func (w Who) String() string { return w.text }

// NeedsMember tells rows for members from rows for anyone.
func (w Who) NeedsMember() bool { return !w.anyone }

// Paths is what the author of the call has to be an approver of; limited is
// false where the row asks for no approver.
func (w Who) Paths(ctx context.Context, s *thread.Snapshot, c Call) (paths []string, limited bool, err error) {
	if w.paths == nil {
		return nil, false, nil
	}
	paths, err = w.paths(ctx, s, c)
	return paths, true, err
}

// Usage is the command line to type: "/infra why [@user] [path…]".
func (r Row) Usage() string {
	return strings.TrimSpace(Prefix + " " + r.Verb + " " + r.Args)
}
