// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/web"
)

// Overview writes the page of the whole pool (PG-2).
func Overview(out io.Writer, p *Pool, u *Usage) error {
	w := &writer{p.Now}
	if len(p.Types) == 0 {
		return w.page(out, "Pool", nil, nil, web.Prose("The pool is empty: its configuration lists no resource. steward-pool "+
			"reads the file that --config names, and reads it again when it changes."))
	}
	sick := p.sick()
	nav := []web.Link{
		{Text: "Types", Href: "#types"}, {Text: "Sick resources", Href: "#sick"},
		{Text: "Reservations", Href: "#reservations"}, {Text: "Accounts", Href: "#accounts"},
	}
	return w.page(out, "Pool", w.facts(p, len(sick)), nav,
		web.Section("types", "Types", w.cards(p, u)...),
		web.Section("sick", "Sick resources", w.sickTable(sick)),
		web.Section("reservations", "Reservations", w.reservations(p)),
		web.Section("accounts", "Accounts", w.accounts(p, u)))
}

func (w *writer) facts(p *Pool, sick int) []web.Fact {
	all, free, held, waiting := 0, 0, 0, 0
	for i := range p.Types {
		n, _ := p.Types[i].waiting()
		waiting += n
		all += len(p.Types[i].Resources)
		for _, r := range p.Types[i].Resources {
			if r.Held() {
				held++
			} else if r.State == lease.Free {
				free++
			}
		}
	}
	return []web.Fact{
		{Name: "Resources", Value: grouped(all)}, {Name: "Free", Value: grouped(free)}, {Name: "Held", Value: grouped(held)},
		{Name: "Requests that wait", Value: grouped(waiting)}, {Name: "Sick", Value: grouped(sick)},
	}
}

// card is a type on the overview, and the head of its own page.
type card struct {
	Name, Href, Size, Waiting string
	Crowded                   bool
	Bar                       bar
	Plot                      plot
}

func (w *writer) card(t *Type, u *Usage) card {
	c := card{Name: w.name(t.Name), Href: typePath(t.Name), Size: count(len(t.Resources), "resource"), Bar: w.bar(t.Resources)}
	size := len(t.Resources)
	if t.Most > 0 {
		c.Size += fmt.Sprintf(", made when wanted, at most %s", grouped(t.Most))
		size = max(size, t.Most)
	}
	if n, first := t.waiting(); n > 0 {
		c.Waiting, c.Crowded = count(n, "request")+" in the queue, the oldest for "+w.age(first), true
	} else {
		c.Waiting = "nobody waits"
	}
	c.Plot = u.plot(t.Name, size)
	return c
}

func (w *writer) cards(p *Pool, u *Usage) []web.Block {
	cards := make([]card, 0, min(len(p.Types), maxTypes))
	for i := range p.Types[:min(len(p.Types), maxTypes)] {
		cards = append(cards, w.card(&p.Types[i], u))
	}
	blocks := []web.Block{w.block("cards", cards)}
	if more := cut(len(cards), len(p.Types), "type"); more != "" {
		blocks = append(blocks, web.Prose(more))
	}
	return blocks
}

// payer is an account's row.
type payer struct {
	name  string
	held  map[string]int // type → leases
	total int
	first time.Time // when its oldest lease began
	hours float64
}

func payers(p *Pool, u *Usage) []*payer {
	all := map[string]*payer{}
	find := func(name string) *payer {
		if all[name] == nil {
			all[name] = &payer{name: name, held: map[string]int{}}
		}
		return all[name]
	}
	for _, t := range p.Types {
		for _, r := range t.Resources {
			if !r.Held() {
				continue
			}
			a := find(account(r))
			a.held[t.Name]++
			a.total++
			if begun := since(r); a.first.IsZero() || begun.Before(a.first) {
				a.first = begun
			}
		}
	}
	for name, h := range u.accounts {
		if name != "" {
			find(name).hours = h
		}
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *payer) int {
		return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(b.hours, a.hours), strings.Compare(a.name, b.name))
	})
}

func (w *writer) accounts(p *Pool, u *Usage) web.Block {
	all := payers(p, u)
	if len(all) == 0 {
		return web.Prose("Nobody holds anything, and nobody has in the last 7 days.")
	}
	t := table{
		Caption: "Who holds what, and for how long; lease-hours of the last 7 days",
		Columns: []string{"account", "holds", "of", "oldest lease", "lease-hours"},
		More:    cut(maxAccounts, len(all), "account"),
	}
	for _, a := range all[:min(len(all), maxAccounts)] {
		held := number("")
		if a.total > 0 {
			held = number(grouped(a.total))
		}
		t.Rows = append(t.Rows, []field{plain(w.name(a.name)), held, plain(w.parts(a.held)), w.since(a.first), number(hours(a.hours))})
	}
	return w.table(t)
}

// parts is "3 gce-project, 1 gpu-project".
func (w *writer) parts(counts map[string]int) string {
	const most = 6
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if len(parts) == most {
			parts = append(parts, fmt.Sprintf("and %s", count(len(counts)-most, "other type")))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s", grouped(counts[name]), w.name(name)))
	}
	return strings.Join(parts, ", ")
}

// sick are the resources that people have to look at: in quarantine, on the way there, not to be cleaned, or with cleanings
// that failed.
func (p *Pool) sick() []*lease.Resource {
	var all []*lease.Resource
	for _, t := range p.Types {
		for _, r := range t.Resources {
			bad := r.State == lease.Quarantined || r.State == lease.NoSchedule || r.Unusual() != ""
			if bad || r.Sick != nil || r.Failures > 0 {
				all = append(all, r)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *lease.Resource) int { return cmp.Compare(grade(a), grade(b)) })
	return all
}

// grade puts quarantine first.
func grade(r *lease.Resource) int {
	switch {
	case r.Sick != nil:
		return 0
	case r.Failures > 0:
		return 2
	}
	return 1
}

func (w *writer) sickTable(all []*lease.Resource) web.Block {
	if len(all) == 0 {
		return web.Prose("None: nothing is in quarantine, and no cleaning has failed since the last that did not.")
	}
	t := table{
		Caption: "In quarantine, or with cleanings that failed in a row",
		Columns: []string{"resource", "type", "state", "why", "failures", "since"},
		More:    cut(maxRows, len(all), "resource"),
	}
	for _, r := range all[:min(len(all), maxRows)] {
		why, from := w.why(r)
		failures := number("")
		if r.Failures > 0 {
			failures = number(grouped(r.Failures))
		}
		t.Rows = append(t.Rows, []field{w.resource(r.Name), w.typ(r.Type), w.state(r.State), why, failures, w.since(from)})
	}
	return w.table(t)
}

// why says what is wrong with a resource, and since when.
func (w *writer) why(r *lease.Resource) (field, time.Time) {
	switch {
	case r.Sick != nil:
		note := "by " + w.name(r.Sick.By)
		if r.State != lease.Quarantined {
			note += "; goes to quarantine when its lease ends"
		}
		return field{Text: w.prose(r.Sick.Reason), Note: note}, r.Sick.At
	case r.Unusual() != "":
		return plain(r.Unusual()), r.Updated
	case r.State == lease.NoSchedule:
		return plain("its janitor says that it is not to be used"), r.Updated
	case r.State == lease.Quarantined:
		return plain("put into this state by a client, without a reason"), r.Updated
	}
	f := plain("its last cleanings failed")
	if e := r.Last; e != nil && e.Note != "" {
		f.Note = "the last one: " + w.prose(e.Note)
	}
	return f, r.Updated
}

func (w *writer) reservations(p *Pool) web.Block {
	if len(p.Reservations) == 0 {
		return web.Prose("None.")
	}
	t := table{
		Caption: "What is kept free, and for whom",
		Columns: []string{"type", "resources", "for", "from", "until", "reason"},
		More:    cut(maxRows, len(p.Reservations), "reservation"),
	}
	for _, r := range p.Reservations[:min(len(p.Reservations), maxRows)] {
		begin := w.at(r.From)
		if r.From.After(p.Now) {
			begin.Note = "in " + span(r.From.Sub(p.Now))
		} else {
			begin.Note = "active"
		}
		t.Rows = append(t.Rows, []field{
			w.typ(r.Type), number(grouped(r.Count)), plain(w.name(r.Account)), begin, w.at(r.Until),
			{Text: w.prose(r.Reason), Note: "by " + w.name(r.By)},
		})
	}
	return w.table(t)
}
