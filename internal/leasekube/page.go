// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"

	"sigs.k8s.io/steward/internal/lease"
)

// page holds waiters or shares, which may be lost in part, or a part of an intent.
type page struct {
	Version string   `json:"apiVersion"`
	Kind    string   `json:"kind"`
	Meta    meta     `json:"metadata"`
	Spec    pageSpec `json:"spec"`
}

type pageSpec struct {
	Holds string `json:"holds"` // one of the kinds below
	// Epoch and Commit are of the Pool when it was written.
	Epoch   uint64   `json:"epoch"`
	Commit  uint64   `json:"commit"`
	Entries entries  `json:"entries,omitempty"`
	Writes  []*write `json:"writes,omitempty"`
}

// entries are records by key. In an object they are a list: of a map the server would note for every field who wrote it.
type entries map[string]lease.Record

// MarshalJSON writes the list in the order of keys.
func (e entries) MarshalJSON() ([]byte, error) {
	all := make([]lease.Record, 0, len(e))
	for _, key := range slices.Sorted(maps.Keys(e)) {
		all = append(all, e[key])
	}
	return json.Marshal(all)
}

// UnmarshalJSON reads the list.
func (e *entries) UnmarshalJSON(content []byte) error {
	var all []lease.Record
	if err := json.Unmarshal(content, &all); err != nil {
		return err
	}
	*e = entries{}
	for _, r := range all {
		(*e)[r.Key] = r
	}
	return nil
}

const (
	kindWaiters = "waiters"
	kindShares  = "shares"
	kindIntent  = "intent"
)

// label is on every page: whose it is.
const label = "steward.k8s.io/pool"

// The number of pages of a kind. A page is rewritten whenever one of its entries changed, once a second at most, and holds
// some thousands.
const (
	waiterPages = 8
	sharePages  = 4
)

func (s *Store) newPage(name, holds string) *page {
	return &page{
		Version: own, Kind: "PoolPage", Meta: meta{Name: name, Labels: map[string]string{label: s.cluster.name}}, Spec: pageSpec{Holds: holds},
	}
}

// pageOf names the page of an entry.
func (s *Store) pageOf(ref lease.Ref) (name, holds string) {
	holds, n := kindWaiters, uint32(waiterPages)
	if ref.Kind == lease.KindShare {
		holds, n = kindShares, sharePages
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(ref.Key)) // a hash never fails
	return fmt.Sprintf("%s-%s-%d", s.cluster.name, holds, h.Sum32()%n), holds
}

// enter puts a record into a copy of its page.
func (s *Store) enter(pages map[string]*page, r lease.Record) {
	name, holds := s.pageOf(r.Ref())
	p := pages[name]
	if p == nil {
		was := s.pages[name]
		if late := s.late[name]; late != nil {
			was = late
		}
		if was == nil {
			if r.Gone {
				return
			}
			was = s.newPage(name, holds)
		}
		c := *was
		c.Spec.Entries = maps.Clone(was.Spec.Entries)
		p = &c
	}
	if _, there := p.Spec.Entries[r.Key]; r.Gone && !there {
		return
	}
	pages[name] = p
	if r.Gone {
		delete(p.Spec.Entries, r.Key)
		return
	}
	if p.Spec.Entries == nil {
		p.Spec.Entries = entries{}
	}
	r.Lazy = false
	p.Spec.Entries[r.Key] = r
}

// turn writes pages. What cannot be written is tried again with the next commit: nobody was promised it.
func (s *Store) turn(ctx context.Context, pages map[string]*page) error {
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		p := pages[name]
		p.Spec.Epoch, p.Spec.Commit = s.fence.Spec.Epoch, s.fence.Spec.Commit
		if err := s.savePage(ctx, p); err != nil {
			if errors.Is(err, lease.ErrDeposed) {
				return err
			}
			s.say.WithError(err).WithField("page", name).Warn("Page of the pool not written; it will be tried again")
			s.late[name] = p
			continue
		}
		delete(s.late, name)
		s.pages[name] = p
	}
	return nil
}

// savePage writes as much of a page as an object takes. A page of another version is one that a former epoch wrote while this
// one began, unless there is a new epoch.
func (s *Store) savePage(ctx context.Context, p *page) error {
	fit := *p
	fit.Spec.Entries = p.fitting(maxPart)
	for range attempts {
		var err error
		if p.Meta.ResourceVersion == "" {
			err = s.cluster.create(ctx, s.cluster.pageList(), &fit, &p.Meta)
		} else {
			err = s.cluster.replace(ctx, s.cluster.page(p.Meta.Name), &fit, &p.Meta)
		}
		if err == nil || !isStatus(err, http.StatusConflict) && !isStatus(err, http.StatusNotFound) {
			return err
		}
		now := &page{}
		switch err := s.cluster.get(ctx, s.cluster.page(p.Meta.Name), now); {
		case isStatus(err, http.StatusNotFound):
			now.Meta = s.newPage(p.Meta.Name, p.Spec.Holds).Meta
		case err != nil:
			return err
		}
		if _, err := s.mine(ctx, &fence{Spec: s.fence.Spec}); err != nil {
			return err
		}
		p.Meta = now.Meta
		fit.Meta = now.Meta
	}
	return fmt.Errorf("page %s: %w", p.Meta.Name, ErrChanged)
}

// fitting returns as many entries as go into an object. Those who came last are left out, and those who had least.
func (p *page) fitting(limit int) entries {
	type entry struct {
		key  string
		size int
	}
	var all []entry
	total := 0
	for key, r := range p.Spec.Entries {
		content, err := json.Marshal(r)
		if err != nil {
			continue // of a number that JSON does not have: it is lost, as it may be
		}
		all = append(all, entry{key, len(content) + len(key) + 8})
		total += len(content) + len(key) + 8
	}
	if total <= limit && len(all) == len(p.Spec.Entries) {
		return p.Spec.Entries
	}
	slices.SortFunc(all, func(a, b entry) int { return dearer(p.Spec.Entries[a.key], p.Spec.Entries[b.key]) })
	fit := entries{}
	for size := 0; len(all) > 0 && size+all[0].size <= limit; all = all[1:] {
		size += all[0].size
		fit[all[0].key] = p.Spec.Entries[all[0].key]
	}
	return fit
}

func dearer(a, b lease.Record) int {
	switch {
	case a.Waiter != nil && b.Waiter != nil:
		return cmp.Compare(a.Waiter.Seq, b.Waiter.Seq)
	case a.Share != nil && b.Share != nil:
		return cmp.Compare(b.Share.Spent, a.Share.Spent)
	}
	return cmp.Compare(a.Key, b.Key)
}

// claim writes pages that a former epoch may still be about to write, so that it finds another version.
func (s *Store) claim(ctx context.Context, names []string) error {
	pages := map[string]*page{}
	for _, name := range names {
		if p := s.pages[name]; p != nil {
			pages[name] = p
		}
	}
	return s.turn(ctx, pages)
}

// sweep removes the parts of commits that are over.
func (s *Store) sweep(ctx context.Context) {
	for name, p := range s.pages {
		if p.Spec.Holds == kindIntent {
			delete(s.pages, name)
			s.drop(ctx, name)
		}
	}
}

// drop removes a part. One that stays is removed by the next who loads.
func (s *Store) drop(ctx context.Context, name string) {
	if err := s.cluster.remove(ctx, s.cluster.page(name), ""); err != nil && !isStatus(err, http.StatusNotFound) {
		s.say.WithError(err).WithField("page", name).Warn("Part of a finished commit not removed; it does no harm")
	}
}

// read lists everything.
func (s *Store) read(ctx context.Context) error {
	s.things, s.pages, s.late = map[lease.Ref]*thing{}, map[string]*page{}, map[string]*page{}
	for _, kind := range []lease.Kind{lease.KindResource, lease.KindDynamic} {
		version, err := list(ctx, s.cluster, s.cluster.collection(kind), "", func(t thing) {
			t.Version, t.Kind = group, "" // lists leave both out
			t.read(kind)
			s.things[t.record.Ref()] = &t
		})
		if err != nil {
			return err
		}
		if kind == lease.KindResource {
			s.listed = version
		}
	}
	_, err := list(ctx, s.cluster, s.cluster.pageList(), label+"="+s.cluster.name, func(p page) {
		p.Version, p.Kind = own, "PoolPage"
		maps.DeleteFunc(p.Spec.Entries, func(key string, r lease.Record) bool {
			name, _ := s.pageOf(r.Ref())
			return r.Key != key || name != p.Meta.Name || (r.Waiter == nil) == (r.Share == nil)
		})
		s.pages[p.Meta.Name] = &p
	})
	return err
}
