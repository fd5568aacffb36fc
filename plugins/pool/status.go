// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/thread"
)

// overview is what there is, and of one type what is in it.
type overview struct {
	hurdle       string
	types        []Type
	resources    []Resource
	reservations []lease.Reservation
}

// unread is what people are told where the pool does not answer: why is in the log.
const unread = "the pool cannot be asked now"

func (p lender) loadStatus(ctx context.Context, _ *thread.Snapshot, c command.Call) (overview, error) {
	if hurdle := p.Hurdle(false); hurdle != "" {
		return overview{hurdle: hurdle}, nil
	}
	o := overview{}
	var err error
	o.types, err = p.Pool.Types(ctx)
	if err == nil {
		o.reservations, err = p.Pool.Reservations(ctx)
	}
	if err == nil && len(c.Args) > 0 && slices.ContainsFunc(o.types, func(t Type) bool { return t.Name == c.Args[0] }) {
		o.resources, err = p.Pool.Resources(ctx, c.Args[0])
	}
	switch {
	case ctx.Err() != nil:
		return overview{}, ctx.Err()
	case err != nil:
		return overview{hurdle: unread}, nil // whoever asks would wait for somebody who does not know
	}
	return o, nil
}

// bare answers `/infra pool` with words that are no verb.
func (p lender) bare(s *thread.Snapshot, c command.Call, o overview, now time.Time) command.Reply {
	if len(c.Args) == 0 {
		return p.status(s, c, o, now)
	}
	verbs := []string{"status"}
	for _, r := range p.actors() {
		verbs = append(verbs, strings.TrimPrefix(r.Verb, Name+" "))
	}
	text := fmt.Sprintf("There is no command %s.", markdown.Code("pool "+clip(c.Args[0])))
	if near := spell.Nearest(strings.ToLower(c.Args[0]), verbs); near != "" {
		text += fmt.Sprintf(" Did you mean `%s pool %s`?", command.Prefix, near)
	}
	return command.Reply{Text: fmt.Sprintf("%s The commands are `%s pool %s`.", text, command.Prefix, strings.Join(verbs, "`, `"))}
}

func (p lender) status(_ *thread.Snapshot, c command.Call, o overview, now time.Time) command.Reply {
	if o.hurdle != "" {
		return command.Reply{Text: fmt.Sprintf("There is nothing to show: %s.", markdown.Text(o.hurdle))}
	}
	types := o.types
	if len(c.Args) > 0 {
		t, refusal := find(o.types, c.Args[0])
		if refusal != "" {
			return command.Reply{Text: refusal}
		}
		types = []Type{t}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "The pool at %s:\n\n", instant(now))
	tableOf(&b, types)
	if len(c.Args) > 0 {
		held(&b, o.resources)
		sick(&b, o.resources)
	}
	booked := slices.DeleteFunc(slices.Clone(o.reservations), func(r lease.Reservation) bool {
		return !slices.ContainsFunc(types, func(t Type) bool { return t.Name == r.Type })
	})
	reservations(&b, booked)
	return command.Reply{Text: strings.TrimSpace(b.String())}
}

// What a list shows at the most; the rest is counted.
const (
	typesShown = 100
	rowsShown  = 20
)

// list writes lines for the first of all, and counts the others.
func list[T any](b *strings.Builder, all []T, most int, line func(T) string) {
	for _, one := range all[:min(len(all), most)] {
		b.WriteString(line(one))
	}
	if more := len(all) - most; more > 0 {
		fmt.Fprintf(b, "\nAnd %d more.\n", more)
	}
}

func tableOf(b *strings.Builder, types []Type) {
	states := []string{lease.Free, lease.Busy, lease.Dirty, lease.Cleaning, lease.Quarantined}
	b.WriteString("| type | " + strings.Join(states, " | ") + " | other | all | waiting |\n|---|" + strings.Repeat("---:|", len(states)+3) + "\n")
	list(b, types, typesShown, func(t Type) string {
		text, other := "| "+markdown.Cell(clip(t.Name))+" |", t.Size
		for _, state := range states {
			text, other = text+fmt.Sprintf(" %d |", t.States[state]), other-t.States[state]
		}
		return text + fmt.Sprintf(" %d | %d | %d |\n", other, t.Size, t.Waiting)
	})
}

func held(b *strings.Builder, all []Resource) {
	all = slices.DeleteFunc(slices.Clone(all), func(r Resource) bool { return r.Owner == "" })
	if len(all) == 0 {
		return
	}
	slices.SortStableFunc(all, func(a, b Resource) int { return a.Since.Compare(b.Since) })
	b.WriteString("\nHeld, the oldest first:\n\n")
	list(b, all, rowsShown, func(r Resource) string {
		account := ""
		if r.Account != "" && r.Account != r.Owner {
			account = " for " + markdown.Code(clip(r.Account))
		}
		until := ""
		if !r.Until.IsZero() {
			until = ", until " + instant(r.Until)
		}
		return fmt.Sprintf("- %s by %s%s since %s%s\n", markdown.Code(clip(r.Name)), markdown.Code(clip(r.Owner)), account, instant(r.Since), until)
	})
}

func sick(b *strings.Builder, all []Resource) {
	all = slices.DeleteFunc(slices.Clone(all), func(r Resource) bool { return r.Sick == nil })
	if len(all) == 0 {
		return
	}
	b.WriteString("\nIn quarantine, or going there:\n\n")
	list(b, all, rowsShown, func(r Resource) string {
		return fmt.Sprintf("- %s since %s: %s\n", markdown.Code(clip(r.Name)), instant(r.Sick.At), markdown.Text(markdown.Clip(r.Sick.Reason, 200, "…")))
	})
}

func reservations(b *strings.Builder, all []lease.Reservation) {
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b lease.Reservation) int { return cmp.Or(a.From.Compare(b.From), cmp.Compare(a.ID, b.ID)) })
	b.WriteString("\nReserved:\n\n")
	list(b, all, rowsShown, func(r lease.Reservation) string {
		return fmt.Sprintf("- %d of %s for %s from %s until %s: %s (%s)\n", r.Count, markdown.Code(clip(r.Type)), markdown.Code(clip(r.Account)),
			instant(r.From), instant(r.Until), markdown.Text(markdown.Clip(r.Reason, 200, "…")), markdown.Code(clip(r.ID)))
	})
}
