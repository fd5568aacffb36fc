// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasepage is what people see of a pool: an overview, a page for each type, and one for each resource with its
// history. It is given what there is and writes HTML.
//
// Everything on these pages is for everybody. Owners, jobs, reasons and states come from whoever talks to the pool, so they
// are cut, made visible and escaped. What would let somebody act as a holder is left out for good: the ids of leases, the
// UIDs of pods, and the user data of resources, in which Boskos's users keep credentials.
//
// The numbered rules (PG-1 and on) are in docs/pool-pages.md.
package leasepage

import (
	"cmp"
	_ "embed" // for the files below
	"html/template"
	"io"
	"net/url"
	"slices"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/web"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

// The bounds of a page. What is cut is counted below it (PG-6).
const (
	maxTypes    = 200
	maxRows     = 1000
	maxAccounts = 200
)

// Pool is a pool in one moment.
type Pool struct {
	Now          time.Time
	Types        []Type
	Reservations []lease.Reservation
}

// Type is what there is of one type, and who waits for it.
type Type struct {
	Name      string
	Resources []*lease.Resource // by name
	Queues    []Queue
	// Most is how many a dynamic type may have; 0 is a static one.
	Most int
}

// Queue is who waits for a state, in the order of service, and those behind them who are away.
type Queue struct {
	From    string
	Places  []Place // at most maxRows
	Waiting int
}

// Place is a waiter's. Ahead is -1 for one who is away.
type Place struct {
	Ahead                 int
	Account, Owner, Class string
	Arrived               time.Time
	Wants                 []lease.Want
}

// Look reads a pool. It belongs into an operation of the pool's keeper, and does no more there than it must: Arrange has to
// follow outside.
func Look(p *lease.Pool, now time.Time) *Pool {
	look := &Pool{Now: now}
	byType := map[string][]*lease.Resource{}
	for r := range p.All("") {
		byType[r.Type] = append(byType[r.Type], r)
	}
	for _, name := range p.Types() {
		t := Type{Name: name, Resources: byType[name]}
		if d := p.Dynamic(name); d != nil {
			t.Most = d.Max
		}
		for _, from := range p.WaitsFor(name) {
			t.Queues = append(t.Queues, queueOf(from, p.Queue(now, name, from)))
		}
		look.Types = append(look.Types, t)
	}
	for _, r := range p.Reservations() {
		look.Reservations = append(look.Reservations, *r)
	}
	return look
}

// Arrange puts what was read in order.
func (p *Pool) Arrange() *Pool {
	for _, t := range p.Types {
		slices.SortFunc(t.Resources, func(a, b *lease.Resource) int { return cmp.Compare(a.Name, b.Name) })
	}
	slices.SortStableFunc(p.Reservations, func(a, b lease.Reservation) int { return a.From.Compare(b.From) })
	return p
}

func queueOf(from string, places []lease.Place) Queue {
	q := Queue{From: from, Waiting: len(places)}
	for _, p := range places[:min(len(places), maxRows)] {
		w := p.Waiter
		q.Places = append(q.Places, Place{
			Ahead: p.Ahead, Account: cmp.Or(w.Account, w.Owner), Owner: w.Owner, Class: w.Class, Arrived: w.Arrived, Wants: w.Wants,
		})
	}
	return q
}

// Type returns a type by name, or nil.
func (p *Pool) Type(name string) *Type {
	for i := range p.Types {
		if p.Types[i].Name == name {
			return &p.Types[i]
		}
	}
	return nil
}

// Resource returns a resource by name, or nil.
func (p *Pool) Resource(name string) *lease.Resource {
	for _, t := range p.Types {
		i, found := slices.BinarySearchFunc(t.Resources, name, func(r *lease.Resource, name string) int { return cmp.Compare(r.Name, name) })
		if found {
			return t.Resources[i]
		}
	}
	return nil
}

// waiting counts who waits, and says when the first came.
func (t *Type) waiting() (n int, first time.Time) {
	for _, q := range t.Queues {
		n += q.Waiting
		for _, p := range q.Places {
			if first.IsZero() || p.Arrived.Before(first) {
				first = p.Arrived
			}
		}
	}
	return n, first
}

// account is who pays for a resource that is held.
func account(r *lease.Resource) string {
	if r.Lease != nil && r.Lease.Account != "" {
		return r.Lease.Account
	}
	return r.Owner
}

// since is when a lease began, or, of one that another program granted, the last that is known of it.
func since(r *lease.Resource) time.Time {
	if r.Lease != nil {
		return r.Lease.Since
	}
	return r.Updated
}

var templates = template.Must(template.New("pool").Parse(pageSource))

var secrets = secret.NewScanner()

// writer writes one page.
type writer struct{ now time.Time }

func (w *writer) block(name string, data any) web.Block { return web.Template(templates, name, data) }

func (w *writer) page(out io.Writer, title string, facts []web.Fact, nav []web.Link, body ...web.Block) error {
	return web.Page{
		Title: title, Facts: append(facts, web.Fact{Name: "As of", Value: clock(w.now)}), Nav: nav,
		Style:  template.CSS(pageStyle),
		Footer: "steward-pool. All times are UTC. What is shown here is shown to everybody.",
	}.Write(out, body...)
}

// The most characters of a text that somebody typed.
const (
	nameLimit  = 120
	proseLimit = 400
)

// name is what somebody calls something.
func (w *writer) name(s string) string { return w.text(s, nameLimit) }

// prose is what somebody says.
func (w *writer) prose(s string) string { return w.text(s, proseLimit) }

// text makes what others typed harmless; that it is escaped is for the template.
func (w *writer) text(s string, most int) string {
	clean, _ := secrets.Redact(s)
	return report.Shown(clean, most)
}

// The paths of the pages.
const (
	Root      = "/pool"
	types     = Root + "/types/"
	resources = Root + "/resources/"
)

func typePath(name string) string     { return types + url.PathEscape(name) }
func resourcePath(name string) string { return resources + url.PathEscape(name) }
