// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/web"
)

// TypePage writes the page of one type (PG-3).
func TypePage(out io.Writer, p *Pool, t *Type, u *Usage) error {
	w := &writer{p.Now}
	body := []web.Block{w.block("head", w.card(t, u)), web.Section("queue", "Queue", w.queues(t)...)}
	if kept := p.keptOf(t.Name); len(kept) > 0 {
		body = append(body, web.Section("reservations", "Reservations", w.reservations(&Pool{Now: p.Now, Reservations: kept})))
	}
	body = append(body, web.Section("resources", "Resources", w.resources(t)))
	facts := []web.Fact{{Name: "All types", Value: "Pool", Href: Root}}
	nav := []web.Link{{Text: "Queue", Href: "#queue"}, {Text: "Resources", Href: "#resources"}}
	return w.page(out, w.name(t.Name), facts, nav, body...)
}

func (p *Pool) keptOf(typ string) []lease.Reservation {
	return slices.DeleteFunc(slices.Clone(p.Reservations), func(r lease.Reservation) bool { return r.Type != typ })
}

func (w *writer) queues(t *Type) []web.Block {
	var blocks []web.Block
	for _, q := range t.Queues {
		if q.Waiting > 0 {
			blocks = append(blocks, w.queue(t.Name, q))
		}
	}
	if len(blocks) == 0 {
		return []web.Block{web.Prose("Nobody waits. What is asked for now is given at once, if something is free.")}
	}
	return blocks
}

func (w *writer) queue(typ string, q Queue) web.Block {
	t := table{
		Caption: fmt.Sprintf("Requests for resources that are %s, in the order in which they are served as things stand", w.name(q.From)),
		Columns: []string{"place", "account", "class", "wants", "waits"},
		More:    cut(len(q.Places), q.Waiting, "request"),
	}
	for _, p := range q.Places {
		place := plain(grouped(p.Ahead + 1))
		if p.Ahead < 0 {
			place = plain("away")
		}
		who := plain(w.name(p.Account))
		if p.Owner != p.Account {
			who.Note = "owner " + w.name(p.Owner)
		}
		t.Rows = append(t.Rows, []field{place, who, plain(w.name(p.Class)), plain(w.wants(typ, p.Wants)), w.since(p.Arrived)})
	}
	return w.table(t)
}

// wants is how many of this type, and what else has to be there at once.
func (w *writer) wants(typ string, all []lease.Want) string {
	var parts []string
	for _, want := range all {
		if want.Type == typ {
			parts = append([]string{grouped(want.Count)}, parts...)
		} else {
			parts = append(parts, fmt.Sprintf("%s %s", grouped(want.Count), w.name(want.Type)))
		}
	}
	return strings.Join(parts, ", with ")
}

func (w *writer) resources(t *Type) web.Block {
	if len(t.Resources) == 0 {
		return web.Prose("There is none now. Resources of this type are made when somebody asks for one.")
	}
	list := table{
		Caption: count(len(t.Resources), "resource") + " by name",
		Columns: []string{"resource", "state", "owner", "for", "last sign of life", "remarks"},
		More:    cut(maxRows, len(t.Resources), "resource"),
	}
	for _, r := range t.Resources[:min(len(t.Resources), maxRows)] {
		row := []field{w.resource(r.Name), w.state(r.State), {}, w.since(since(r)), {}, plain(w.remarks(r))}
		if r.Held() {
			row[2], row[4] = w.who(r.Owner, account(r)), w.since(r.Updated)
			if r.Lease == nil {
				row[3] = plain("not known")
			}
		}
		list.Rows = append(list.Rows, row)
	}
	return w.table(list)
}

func (w *writer) remarks(r *lease.Resource) string {
	var parts []string
	switch {
	case r.Sick != nil:
		parts = append(parts, w.prose(r.Sick.Reason))
	case r.Failures > 0:
		parts = append(parts, count(r.Failures, "cleaning")+" failed")
	}
	if r.Leaving {
		parts = append(parts, "leaves the pool when its lease ends")
	}
	if !r.Expires.IsZero() {
		parts = append(parts, "is given up "+clock(r.Expires))
	}
	return strings.Join(parts, "; ")
}

// Past is the history of one resource: what ended since a time, the latest first.
type Past struct {
	Since time.Time
	ended []*lease.Ended
	day   string
	older int // how many of ended are of later days than day
	full  bool
}

// Days is how far back a resource's page looks.
const Days = 30

// Add takes leases as a history visits them: the latest day first, and each day from its morning. It tells whether it wants
// more, and keeps the latest.
func (p *Past) Add(e *lease.Ended) bool {
	if day := e.Until.UTC().Format(time.DateOnly); day != p.day {
		if len(p.ended) >= maxRows {
			p.full = true
			return false
		}
		p.day, p.older = day, len(p.ended)
	}
	p.ended = append(p.ended, e)
	if len(p.ended)-p.older > 2*maxRows {
		p.ended, p.full = slices.Delete(p.ended, p.older, p.older+maxRows), true
	}
	return true
}

func (p *Past) latest() []*lease.Ended {
	slices.SortStableFunc(p.ended, func(a, b *lease.Ended) int { return b.Until.Compare(a.Until) })
	return p.ended[:min(len(p.ended), maxRows)]
}

// ResourcePage writes the page of one resource (PG-3). r is nil for one that is in the history only.
func ResourcePage(out io.Writer, now time.Time, name string, r *lease.Resource, past *Past) error {
	w := &writer{now}
	var body []web.Block
	facts := []web.Fact{{Name: "All types", Value: "Pool", Href: Root}}
	if r == nil {
		body = append(body, w.block("alarm", alarm{Title: "The pool does not have it any more"}))
	} else {
		facts = append(facts, web.Fact{Name: "Type", Value: w.name(r.Type), Href: typePath(r.Type)})
		if a, needed := w.alarm(r); needed {
			body = append(body, w.block("alarm", a))
		}
		body = append(body, web.Section("now", "Now", w.block("facts", w.present(r))))
	}
	body = append(body, web.Section("history", "History", w.history(past)))
	return w.page(out, w.name(name), facts, nil, body...)
}

// alarm is a box that stands out.
type alarm struct {
	Title, Text string
	Notes       []string
}

func (w *writer) alarm(r *lease.Resource) (alarm, bool) {
	switch {
	case r.Sick != nil && r.State == lease.Quarantined:
		return alarm{Title: "In quarantine", Text: w.prose(r.Sick.Reason), Notes: w.byWhom(r.Sick)}, true
	case r.Sick != nil:
		return alarm{Title: "Goes to quarantine when its lease ends", Text: w.prose(r.Sick.Reason), Notes: w.byWhom(r.Sick)}, true
	case r.Failures > 0 || r.State == lease.Quarantined || r.State == lease.NoSchedule || r.Unusual() != "":
		why, _ := w.why(r)
		return alarm{Title: "Look at this", Text: why.Text, Notes: slices.DeleteFunc([]string{why.Note}, func(s string) bool { return s == "" })}, true
	}
	return alarm{}, false
}

func (w *writer) byWhom(s *lease.Sick) []string {
	return []string{"by " + w.name(s.By), "since " + clock(s.At) + ", " + w.age(s.At)}
}

// fact is a line of what a resource is now.
type fact struct {
	Name string
	field
}

func (w *writer) present(r *lease.Resource) []fact {
	facts := []fact{{"state", w.state(r.State)}}
	add := func(name string, f field) {
		if f.Text != "" {
			facts = append(facts, fact{name, f})
		}
	}
	timed := func(name string, t time.Time) {
		if !t.IsZero() {
			f := w.at(t)
			f.Note = w.age(t) + " ago"
			if t.After(w.now) {
				f.Note = "in " + span(t.Sub(w.now))
			}
			add(name, f)
		}
	}
	if r.Held() {
		add("owner", plain(w.name(r.Owner)))
		if account(r) != r.Owner {
			add("account", plain(w.name(account(r))))
		}
		if l := r.Lease; l != nil {
			add("job", plain(w.name(l.Job)))
			add("build", plain(w.name(l.Build)))
			timed("held since", l.Since)
			timed("lease ends unless renewed", l.Until)
		} else {
			add("held since", plain("not known: another program granted it"))
		}
		timed("last sign of life", r.Updated)
	} else {
		add("owner", plain("nobody"))
		timed("in this state since", r.Updated)
	}
	if r.Failures > 0 {
		add("cleanings that failed", plain(grouped(r.Failures)+" in a row"))
	}
	timed("is given up", r.Expires)
	if r.Leaving {
		add("configuration", plain("does not list it any more: it leaves the pool when its lease ends"))
	}
	return facts
}

func (w *writer) history(past *Past) web.Block {
	rows := past.latest()
	if len(rows) == 0 {
		return web.Prose(fmt.Sprintf("No lease of it has ended since %s.", clock(past.Since)))
	}
	t := table{
		Caption: "Leases that ended since " + clock(past.Since) + ", the latest first",
		Columns: []string{"ended", "owner", "job", "lasted", "state", "how it ended"},
	}
	if past.full || len(past.ended) > len(rows) {
		t.More = fmt.Sprintf("The latest %s. Earlier ones are in the pool's history.", grouped(len(rows)))
	}
	for _, e := range rows {
		how := plain(w.ending(e))
		how.Note = w.prose(e.Note)
		t.Rows = append(t.Rows, []field{
			w.at(e.Until), w.who(e.Owner, cmp.Or(e.Account, e.Owner)), w.run(e.Job, e.Build), short(span(e.Until.Sub(e.Since))),
			w.state(e.Held), how,
		})
	}
	return w.table(t)
}

// ending is how a lease ended, and the state that it left.
func (w *writer) ending(e *lease.Ended) string {
	text := w.name(e.Why)
	if e.Left != "" {
		text += ", " + w.name(e.Left)
	}
	return text
}
