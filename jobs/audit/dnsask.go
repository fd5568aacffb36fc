// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/zone"
)

// Bounds of asking a server that gives no transfer.
const (
	askedAtOnce = 16 // names
	maxUnasked  = 20 // queries that fail, after which the server is left alone
)

// zoneReader reads a zone from one server.
type zoneReader struct {
	*dns
	unit   string
	zone   *zone.Zone
	server zone.Server

	mu       sync.Mutex
	view     zone.View
	gaps     []finding.Gap
	failures int
	unasked  int // names that were given up
}

// gap notes what could not be read.
func (r *zoneReader) gap(what string, err error) {
	r.gaps = append(r.gaps, audit.GapOf(r.unit+" "+what, err))
}

// ask fills the view by queries. An error means that the server says nothing of the
// zone.
func (r *zoneReader) ask(ctx context.Context) error {
	soa, err := r.query(ctx, r.zone.Name, "SOA")
	if err != nil {
		return err
	}
	if soa.Kind != zone.Data {
		r.view.Lame = true
		r.gap("zone", &audit.Unread{Reason: finding.NotFound, Err: errNotServed})
		return nil
	}
	r.view.Serial = soa.Serial
	questions := make(chan zone.Question)
	var workers sync.WaitGroup
	for range askedAtOnce {
		workers.Go(func() {
			for q := range questions {
				r.name(ctx, q)
			}
		})
	}
	for _, q := range r.zone.Questions() {
		questions <- q
	}
	close(questions)
	workers.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !r.zone.Wildcard() && !r.tired() {
		r.probe(ctx)
	}
	if r.unasked > 0 {
		r.gap(fmt.Sprintf("%d names", r.unasked), audit.Fail(finding.Unavailable, "not asked after %d queries had failed", r.failures))
	}
	r.tidy()
	return ctx.Err()
}

func (r *zoneReader) query(ctx context.Context, name, kind string) (zone.Answer, error) {
	return r.reader.Query(ctx, r.server, r.zone.Name, name, kind)
}

// tired tells that the server failed so often that it is left alone.
func (r *zoneReader) tired() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failures >= maxUnasked
}

// name asks for all types at one name, until an answer says that there is no more to
// learn.
func (r *zoneReader) name(ctx context.Context, q zone.Question) {
	if r.tired() || ctx.Err() != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unasked++
		r.view.Unknown = append(r.view.Unknown, zone.Key{Name: q.Name})
		return
	}
	for _, kind := range q.Types {
		answer, err := r.query(ctx, q.Name, kind)
		switch {
		case err == nil && answer.Kind == zone.Lame:
			err = &audit.Unread{Reason: finding.Malformed, Err: errNotServed}
		case err == nil && answer.Kind == zone.NoName && q.Name == r.zone.Name:
			err = audit.Fail(finding.Malformed, "the server says that the zone does not exist, of which it gave the SOA")
		}
		if err != nil {
			r.failed(zone.Key{Name: q.Name, Type: kind}, err)
			if r.tired() {
				r.giveUp(q, kind)
				return
			}
			continue
		}
		if r.learn(q, kind, answer) {
			return
		}
	}
}

func (r *zoneReader) failed(key zone.Key, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures++
	r.view.Unknown = append(r.view.Unknown, key)
	r.gap(key.String(), err)
}

// giveUp marks the types after the one that failed.
func (r *zoneReader) giveUp(q zone.Question, failed string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kind := range q.Types[slices.Index(q.Types, failed)+1:] {
		r.view.Unknown = append(r.view.Unknown, zone.Key{Name: q.Name, Type: kind})
	}
}

// learn takes an answer; true means that nothing else can be at the name.
func (r *zoneReader) learn(q zone.Question, kind string, a zone.Answer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch a.Kind {
	case zone.Data:
		r.view.Sets = append(r.view.Sets, a.Set)
		if kind == "NS" && q.Name != r.zone.Name {
			r.view.Child = append(r.view.Child, q.Name) // the parent would have referred
		}
		return a.Set.Type == "CNAME" || kind == "CNAME"
	case zone.Referral:
		r.view.Sets = append(r.view.Sets, a.Set)
		return kind != "NS" // what is declared as a delegation may have a DS too
	case zone.NoName:
		return true
	}
	return false
}

// probe looks for a wildcard that nobody declares: it asks for a name that nobody has,
// and if that exists, for the wildcard itself.
func (r *zoneReader) probe(ctx context.Context) {
	name, star := r.label()+"."+r.zone.Name, "*."+r.zone.Name
	answer, err := r.query(ctx, name, "A")
	if err != nil {
		r.failed(zone.Key{Name: star, Type: "A"}, err)
		return
	}
	if answer.Kind != zone.Data && answer.Kind != zone.NoData {
		return
	}
	before := len(r.view.Sets)
	r.name(ctx, zone.Question{Name: star, Types: zone.AskedTypes()})
	if answer.Kind == zone.Data && len(r.view.Sets) == before {
		answer.Set.Name = star // it answers for all names and does not own up to it
		r.view.Sets = append(r.view.Sets, answer.Set)
	}
}

// tidy brings the view into the order that readers expect.
func (r *zoneReader) tidy() {
	slices.SortFunc(r.view.Sets, func(a, b zone.RRset) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	r.view.Sets = slices.CompactFunc(r.view.Sets, func(a, b zone.RRset) bool { return a.Key() == b.Key() })
	slices.SortFunc(r.view.Unknown, func(a, b zone.Key) int { return strings.Compare(a.String(), b.String()) })
	slices.SortFunc(r.gaps, func(a, b finding.Gap) int { return strings.Compare(a.Scope, b.Scope) })
	slices.Sort(r.view.Child)
}
