// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pool lets people see the compute that tests borrow, and lets those who own
// its configuration act on it.
//
// `/infra pool status` tells what there is; the other commands are for approvers of the
// files that configure the pool, by OWNERS at the base commit. They change a lease that
// was there when they were said, and none that began later: so carrying one out twice
// does no more than once. The rules are PO-1 … in docs/pool-commands.md.
package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

// Name is the plugin's name and the topic of its sticky.
const Name = "pool"

// Pool tells what there is. An error means that it is not known now.
type Pool interface {
	Types(ctx context.Context) ([]Type, error)
	// Resources lists those of a type; "" is every one.
	Resources(ctx context.Context, typ string) ([]Resource, error)
	// Resource returns one; the error is fs.ErrNotExist where there is none.
	Resource(ctx context.Context, name string) (Resource, error)
	Reservations(ctx context.Context) ([]lease.Reservation, error)
}

// Type is a kind of resources.
type Type struct {
	Name    string
	Size    int
	Max     int // of a dynamic one
	States  map[string]int
	Waiting int
}

// Resource is something that is lent.
type Resource struct {
	Name, Type, State string
	Owner             string // "": nobody holds it
	Account           string
	Since, Until      time.Time // of its lease; Until may be zero
	Epoch             uint64
	Sick              *lease.Sick
	Last              Ended
}

// Ended is the lease that ended last.
type Ended struct {
	Owner, Why, Note string
}

// Deps is what the plugin needs.
type Deps struct {
	Pool Pool
	// Hurdle says why the pool cannot be asked, or cannot be told to do something, as a sentence without its end; "" if it can.
	Hurdle func(acts bool) string
	// Files are those that configure the pool: who may approve all of them may act.
	Files func() []string
}

// New makes the plugin.
func New(deps Deps) plugin.Plugin {
	p := lender{deps}
	return plugin.Plugin{
		Name:    Name,
		Summary: "Shows the compute that tests borrow, and lets the owners of its configuration release, reserve and repair it.",
		Rows:    append(p.readers(), p.actors()...),
	}
}

const anywhere = thread.OpenPull | thread.MergedPull | thread.OpenIssue

func (p lender) readers() []command.Row {
	return []command.Row{
		{
			Verb: "pool", Args: "VERB…", Where: anywhere, Who: command.Anyone(),
			Help:     "Shows what there is by type, as pool status does.",
			Examples: []command.Example{{Line: "/infra pool relaese x", Reply: "Did you mean `/infra pool release`?"}},
			Run:      command.Run(p.loadStatus, p.bare),
		},
		{
			Verb: "pool status", Args: "[TYPE]", Where: anywhere, Who: command.Anyone(),
			Help: "Shows how many resources there are by type and state, and how many wait; of one type also who holds what.",
			Examples: []command.Example{
				{Line: "/infra pool status", Reply: "| `gpu-project` |"},
				{Line: "/infra pool status gpu-projekt", Reply: "There is no type `gpu-projekt`. Did you mean `gpu-project`?"},
			},
			Run: command.Run(p.loadStatus, p.status),
		},
	}
}

// actors are the rows that change something.
func (p lender) actors() []command.Row {
	rows := []command.Row{
		{
			Verb: "pool release", Args: "NAME REASON…", Help: "Ends the lease of a resource, which is cleaned then.",
			Examples: []command.Example{{Line: "/infra pool release gpu-1 its job hangs", Reply: "`gpu-1` is taken from `ci-gpu/7`"}},
			Run:      command.Run(p.loadOne, p.release),
		},
		{
			Verb: "pool extend", Args: "NAME DURATION", Help: "Lets the lease of a resource go on for at least so long, at most 24h.",
			Examples: []command.Example{{Line: "/infra pool extend gpu-1 2h", Reply: "`gpu-1`, held by `ci-gpu/7`, lasts at least until"}},
			Run:      command.Run(p.loadOne, p.extend),
		},
		{
			Verb: "pool reserve", Args: "TYPE COUNT for ACCOUNT FROM..UNTIL REASON…",
			Help: "Keeps resources free for an account in a window of days in UTC, or of times such as 2026-12-01T08:00Z.",
			Examples: []command.Example{
				{Line: "/infra pool reserve gpu-project 1 for release 2026-01-05..2026-01-06 the release", Reply: "kept for `release` from 2026-01-05 00:00 UTC until 2026-01-07 00:00 UTC"},
			},
			Run: command.Run(p.loadReserve, p.reserve),
		},
		{
			Verb: "pool unreserve", Args: "ID", Help: "Ends a reservation; leases that were taken under it go on.",
			Examples: []command.Example{{Line: "/infra pool unreserve r1", Reply: "`r1` is ended"}},
			Run:      command.Run(p.loadReserve, p.unreserve),
		},
		{
			Verb: "pool quarantine", Args: "NAME REASON…", Help: "Takes a resource out of use: now, or when its lease ends.",
			Examples: []command.Example{{Line: "/infra pool quarantine gpu-2 billing is off", Reply: "`gpu-2` goes to quarantine"}},
			Run:      command.Run(p.loadOne, p.quarantine),
		},
		{
			Verb: "pool heal", Args: "NAME", Help: "Takes a resource out of quarantine; it is cleaned then.",
			Examples: []command.Example{{Line: "/infra pool heal gpu-3", Reply: "`gpu-3` leaves quarantine"}},
			Run:      command.Run(p.loadOne, p.heal),
		},
	}
	for i := range rows {
		rows[i].Where, rows[i].Acts = anywhere, true
		rows[i].Who = command.ApproverOf("approvers of the files that configure the pool", p.files)
	}
	return rows
}

type lender struct{ Deps }

func (p lender) files(*thread.Snapshot, command.Call) []string { return p.Files() }

// barred says why a command that acts cannot be carried out, or "".
func (p lender) barred() string {
	if hurdle := p.Hurdle(true); hurdle != "" {
		return hurdle
	}
	if len(p.Files()) == 0 {
		return "the settings name no file that configures the pool, so nobody can be asked"
	}
	return ""
}

func notDone(why string) command.Reply { return command.Reply{Text: "Not done: " + why + "."} }

// one is the resource that a command names.
type one struct {
	barred string
	known  bool
	near   string // what may have been meant, where it is not known
	Resource
}

func (p lender) loadOne(ctx context.Context, _ *thread.Snapshot, c command.Call) (one, error) {
	barred := p.barred()
	if barred != "" || len(c.Args) == 0 {
		return one{barred: barred}, nil
	}
	r, err := p.Pool.Resource(ctx, c.Args[0])
	if !errors.Is(err, fs.ErrNotExist) {
		return one{known: true, Resource: r}, err
	}
	all, err := p.Pool.Resources(ctx, "")
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Name
	}
	return one{near: spell.Nearest(c.Args[0], names)}, err
}

// refusal is the answer to a call that names nothing, or what cannot be acted on.
func (o one) refusal(c command.Call, usage string, words int) string {
	switch {
	case o.barred != "":
		return notDone(markdown.Text(o.barred)).Text
	case len(c.Args) < words:
		return fmt.Sprintf("Not done: `%s %s`.", command.Prefix, usage)
	case !o.known:
		text := fmt.Sprintf("There is no resource %s.", markdown.Code(clip(c.Args[0])))
		if o.near != "" {
			text += fmt.Sprintf(" Did you mean %s?", markdown.Code(o.near))
		}
		return text
	}
	return ""
}

// gone is the answer where nobody holds a resource, or not any more who held it when the command was said (PO-3).
func (o one) gone(c command.Call) string {
	switch {
	case o.Owner == "":
		return fmt.Sprintf("Nothing to do: nobody holds %s, which is %s.", markdown.Code(o.Name), markdown.Code(o.State))
	case o.Since.After(said(c)):
		return fmt.Sprintf("Not done: %s has it only since %s, after this was said. Say it again if that lease is meant.",
			markdown.Code(o.Owner), o.Since.UTC().Format(time.RFC3339))
	}
	return ""
}

// said is when a command was said. GitHub tells whole seconds.
func said(c command.Call) time.Time { return c.Comment.Created.Add(time.Second) }

// stamp is the comment that asks, as the pool's history has it.
func stamp(s *thread.Snapshot, c command.Call) string {
	return fmt.Sprintf("(%s, comment %d)", s.Key, c.Comment.ID)
}

// call is an action in the name of the comment's author.
func call(s *thread.Snapshot, c command.Call, verb thread.PoolVerb) thread.PoolCall {
	return thread.PoolCall{
		Key:  fmt.Sprintf("%s/%s-%d %s", Name, verb, c.Comment.ID, strings.Join(c.Args, " ")),
		Verb: verb, For: c.Comment.Author + " " + stamp(s, c),
	}
}

func (o one) call(s *thread.Snapshot, c command.Call, verb thread.PoolVerb) thread.PoolCall {
	a := call(s, c, verb)
	a.Resource = o.Name
	return a
}

const wordShown = 60

func clip(word string) string { return markdown.Clip(word, wordShown, "…") }

func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
