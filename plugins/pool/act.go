// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

func (p lender) release(s *thread.Snapshot, c command.Call, o one, _ time.Time) command.Reply {
	if refusal := o.refusal(c, "pool release NAME REASON…", 2); refusal != "" {
		return command.Reply{Text: refusal}
	}
	taken := func(owner string) string {
		return fmt.Sprintf("%s is taken from %s, and is cleaned. Whoever still uses it is told at its next sign of life.",
			markdown.Code(o.Name), markdown.Code(owner))
	}
	if o.Last.Why == lease.Forced && strings.Contains(o.Last.Note, stamp(s, c)) {
		return command.Reply{Text: taken(o.Last.Owner)} // it was done, and the answer was lost
	}
	if gone := o.gone(c); gone != "" {
		return command.Reply{Text: gone}
	}
	a := o.call(s, c, thread.PoolRelease)
	a.Epoch, a.Reason = o.Epoch, strings.Join(c.Args[1:], " ")
	return command.Reply{Text: taken(o.Owner), Actions: []thread.Action{a}}
}

// maxExtension is what the pool allows.
const maxExtension = 24 * time.Hour

func (p lender) extend(s *thread.Snapshot, c command.Call, o one, now time.Time) command.Reply {
	if refusal := o.refusal(c, "pool extend NAME DURATION", 2); refusal != "" {
		return command.Reply{Text: refusal}
	}
	by, err := time.ParseDuration(c.Args[1])
	if err != nil || by <= 0 || by > maxExtension {
		return notDone(fmt.Sprintf("%s is not a duration such as 2h, at most 24h", markdown.Code(clip(c.Args[1]))))
	}
	if gone := o.gone(c); gone != "" {
		return command.Reply{Text: gone}
	}
	until := c.Comment.Created.Add(by) // and not from now: done twice it is the same time
	text := fmt.Sprintf("%s, held by %s, lasts at least until %s.", markdown.Code(o.Name), markdown.Code(o.Owner), instant(until))
	if !o.Until.IsZero() && !o.Until.Before(until) || !until.After(now) {
		return command.Reply{Text: text}
	}
	a := o.call(s, c, thread.PoolExtend)
	a.Epoch, a.Until = o.Epoch, until
	return command.Reply{Text: text, Actions: []thread.Action{a}}
}

func (p lender) quarantine(s *thread.Snapshot, c command.Call, o one, _ time.Time) command.Reply {
	if refusal := o.refusal(c, "pool quarantine NAME REASON…", 2); refusal != "" {
		return command.Reply{Text: refusal}
	}
	when := "now"
	if o.Owner != "" {
		when = "when the lease of " + markdown.Code(o.Owner) + " ends"
	}
	text := fmt.Sprintf("%s goes to quarantine %s. `%s pool heal %s` takes it out.", markdown.Code(o.Name), when, command.Prefix, plainName(o.Name))
	switch {
	case o.Sick != nil && strings.Contains(o.Sick.By, stamp(s, c)):
		return command.Reply{Text: text} // it was done, and the answer was lost
	case o.Sick != nil:
		return command.Reply{Text: fmt.Sprintf("Nothing to do: it was put into quarantine at %s: %s.", instant(o.Sick.At), markdown.Text(o.Sick.Reason))}
	}
	a := o.call(s, c, thread.PoolQuarantine)
	a.Reason = strings.Join(c.Args[1:], " ")
	return command.Reply{Text: text, Actions: []thread.Action{a}}
}

// plainName is a name inside a code span of ours: the pool takes names of hosts only, but another program may have written it.
func plainName(name string) string {
	if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return "NAME"
	}
	return name
}

func (p lender) heal(s *thread.Snapshot, c command.Call, o one, _ time.Time) command.Reply {
	if refusal := o.refusal(c, "pool heal NAME", 1); refusal != "" {
		return command.Reply{Text: refusal}
	}
	switch {
	case o.Sick == nil && o.State != lease.Quarantined:
		return command.Reply{Text: fmt.Sprintf("Nothing to do: %s is not in quarantine, it is %s.", markdown.Code(o.Name), markdown.Code(o.State))}
	case o.Sick != nil && o.Sick.At.After(said(c)):
		return command.Reply{Text: fmt.Sprintf("Not done: it was put into quarantine at %s, after this was said: %s.", instant(o.Sick.At), markdown.Text(o.Sick.Reason))}
	}
	text := fmt.Sprintf("%s leaves quarantine, and is cleaned.", markdown.Code(o.Name))
	return command.Reply{Text: text, Actions: []thread.Action{o.call(s, c, thread.PoolHeal)}}
}

// booked is what a reservation is judged by.
type booked struct {
	barred       string
	types        []Type
	reservations []lease.Reservation
}

func (p lender) loadReserve(ctx context.Context, _ *thread.Snapshot, _ command.Call) (booked, error) {
	if barred := p.barred(); barred != "" {
		return booked{barred: barred}, nil
	}
	types, err := p.Pool.Types(ctx)
	if err != nil {
		return booked{}, err
	}
	all, err := p.Pool.Reservations(ctx)
	return booked{types: types, reservations: all}, err
}

func (p lender) reserve(s *thread.Snapshot, c command.Call, b booked, now time.Time) command.Reply {
	if b.barred != "" {
		return notDone(markdown.Text(b.barred))
	}
	if len(c.Args) < 6 || !strings.EqualFold(c.Args[2], "for") {
		return notDone(fmt.Sprintf("`%s pool reserve TYPE COUNT for ACCOUNT FROM..UNTIL REASON…`", command.Prefix))
	}
	t, refusal := find(b.types, c.Args[0])
	if refusal != "" {
		return command.Reply{Text: refusal}
	}
	count, err := strconv.Atoi(c.Args[1])
	if most := max(t.Size, t.Max); err != nil || count < 1 || count > most {
		return notDone(fmt.Sprintf("%s is not a number from 1 to %d, of which there are no more of %s", markdown.Code(clip(c.Args[1])), most, markdown.Code(t.Name)))
	}
	from, until, err := lease.ParseWindow(c.Args[4])
	switch {
	case err != nil:
		return notDone(markdown.Text(clip(err.Error())))
	case !until.After(now):
		return notDone(fmt.Sprintf("the window ends at %s, which is over", instant(until)))
	}
	a := call(s, c, thread.PoolReserve)
	a.Type, a.Count, a.Account, a.From, a.Until, a.Reason = t.Name, count, c.Args[3], from, until, strings.Join(c.Args[5:], " ")
	text := fmt.Sprintf("%d of %s are kept for %s from %s until %s, as far as they become free. `%s pool status %s` shows the id, which ends it with `%s pool unreserve ID`.",
		count, markdown.Code(t.Name), markdown.Code(a.Account), instant(from), instant(until), command.Prefix, plainName(t.Name), command.Prefix)
	return command.Reply{Text: text, Actions: []thread.Action{a}}
}

// find returns a type, or says that there is none.
func find(types []Type, name string) (Type, string) {
	names := make([]string, len(types))
	for i, t := range types {
		if names[i] = t.Name; t.Name == name {
			return t, ""
		}
	}
	text := fmt.Sprintf("There is no type %s.", markdown.Code(clip(name)))
	if near := spell.Nearest(name, names); near != "" {
		text += fmt.Sprintf(" Did you mean %s?", markdown.Code(near))
	}
	return Type{}, text
}

func (p lender) unreserve(s *thread.Snapshot, c command.Call, b booked, _ time.Time) command.Reply {
	switch {
	case b.barred != "":
		return notDone(markdown.Text(b.barred))
	case len(c.Args) == 0:
		return notDone(fmt.Sprintf("`%s pool unreserve ID`", command.Prefix))
	case !slices.ContainsFunc(b.reservations, func(r lease.Reservation) bool { return r.ID == c.Args[0] }):
		return command.Reply{Text: fmt.Sprintf("There is no reservation %s, or not any more.", markdown.Code(clip(c.Args[0])))}
	}
	a := call(s, c, thread.PoolUnreserve)
	a.Resource = c.Args[0]
	return command.Reply{Text: fmt.Sprintf("The reservation %s is ended.", markdown.Code(c.Args[0])), Actions: []thread.Action{a}}
}
