// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/promotion"
)

// giveUp is how many failures in a row of one host end the asking of it: with all its
// patience, each takes minutes.
const giveUp = 5

// reader tells a comparison what registries hold. What could not be read is a gap.
type reader struct {
	registry Registry
	parallel int
	tell     func(part string, done, total int)

	repairs repairs

	mu      sync.Mutex
	hosts   map[string]*hostState
	cover   finding.Coverage
	lacking []lacking
	sealed  []sealed // of which it is not known whether they are signed
}

// repairs is what is looked for in images that are there. The zero value is nothing.
type repairs struct {
	canonical string // mirror that is looked at
	seal      *seal  // nil: signatures are not looked at
	proven    *proven
	buckets   *buckets
}

// sealed is an image of the canonical mirror that may be signed.
type sealed struct {
	path, digest string
	tagged       string // what stands under its tag for signatures, where the list tells; else ""
}

func (s sealed) key() string { return s.path + "@" + s.digest }

// lacking is a declared image that is there, and lacks something that phases behind the copy make.
type lacking struct {
	path, digest string
	phases       []string
}

// hostState is what was learned about a host.
type hostState struct {
	plain   bool // its lists do not tell digests
	failed  int  // in a row
	skipped int  // not asked any more
}

func newReader(registry Registry, parallel int, tell func(part string, done, total int)) *reader {
	return &reader{
		registry: registry, parallel: parallel, tell: tell, hosts: map[string]*hostState{},
	}
}

// compare reads all that the comparison wants to know: a list of every repository of a
// mirror, and of the sources of what is missing. An error is one of the comparison, or the
// end of ctx.
func (r *reader) compare(ctx context.Context, c *promotion.Comparison) (finding.Coverage, error) {
	err := each(ctx, r, "mirrors", slices.Collect(c.Repositories), func(repo promotion.Repository) error { return r.mirror(ctx, c, repo) })
	if err != nil {
		return r.cover, err
	}
	err = each(ctx, r, "sources", c.Sources(), func(need promotion.Need) error {
		r.source(ctx, c, need)
		return nil
	})
	return r.covered("repositories"), err
}

// covered is what was read by the end, with a gap for each host that was given up.
func (r *reader) covered(what string) finding.Coverage {
	for host, s := range r.hosts {
		if s.skipped > 0 {
			r.gap(host, audit.Fail(finding.Unavailable, "after %d failures in a row %d %s were not asked", giveUp, s.skipped, what))
		}
	}
	slices.SortFunc(r.cover.Gaps, byScope)
	r.cover.Part = what
	return r.cover
}

func byScope(a, b finding.Gap) int { return strings.Compare(a.Scope, b.Scope) }

// errSkipped is why a repository of a host that failed too often is a gap.
var errSkipped = audit.Fail(finding.Unavailable, "not asked after %d failures of its host in a row", giveUp)

// each calls do with every element of a list, a few at once, tells how far it is, and returns the first error.
func each[T any](ctx context.Context, r *reader, part string, list []T, do func(T) error) error {
	var first error
	done := 0
	pace.Each(list, r.parallel, func(_ int, one T) {
		err := ctx.Err()
		if err == nil {
			err = do(one)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if first == nil {
			first = err
		}
		done++
		r.tell(part, done, len(list))
	})
	return errors.Join(first, ctx.Err())
}

// ask asks a host, unless it failed too often. asked is false where it was not.
func (r *reader) ask(host string, question func() error) (asked bool, err error) {
	r.mu.Lock()
	s := r.host(host)
	r.cover.Units++
	if s.failed >= giveUp {
		s.skipped++
		r.mu.Unlock()
		return false, nil
	}
	r.mu.Unlock()
	err = question()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case down(err):
		s.failed++
	case s.failed < giveUp:
		s.failed = 0
	}
	if err == nil {
		r.cover.Read++
	}
	return true, err
}

// down tells an error that the next question will most likely have as well. A host that refuses for the rate has done so to all
// attempts of a question, at the pace that it asked for: that takes minutes, and nothing is copied before all was asked.
func down(err error) bool {
	var unread *audit.Unread
	if !errors.As(err, &unread) {
		return false
	}
	switch unread.Reason {
	case finding.Unavailable, finding.TimedOut, finding.Throttled:
		return true
	}
	return false
}

// host is to be called with the lock.
func (r *reader) host(name string) *hostState {
	s := r.hosts[name]
	if s == nil {
		s = &hostState{}
		r.hosts[name] = s
	}
	return s
}

func (r *reader) gap(scope string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cover.Gaps = append(r.cover.Gaps, audit.GapOf(scope, err))
}

func (r *reader) plain(host string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.host(host).plain
}

// mirror reads one repository of a mirror.
func (r *reader) mirror(ctx context.Context, c *promotion.Comparison, repo promotion.Repository) error {
	var listing manifest.Listing
	asked, err := r.ask(manifest.HostOf(repo.Name), func() (err error) {
		listing, err = r.list(ctx, repo)
		// Google's registries list nothing of a repository that is not there, others say so.
		if errors.Is(err, manifest.ErrNoRepository) || err == nil && listing.Full && len(listing.Digests) == 0 {
			listing, err = manifest.Listing{}, nil
			return c.Absent(repo)
		}
		if err != nil {
			return err
		}
		return c.Holds(repo, listing)
	})
	if asked && err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.cover.Objects += len(listing.Digests)
		r.missing(repo, listing)
		return nil
	}
	c.Unread(repo)
	if asked && ctx.Err() == nil {
		r.gap(repo.Name, err)
	}
	return nil
}

// missing finds what images in a repository of the canonical mirror lack. It is to be called with the lock.
func (r *reader) missing(repo promotion.Repository, l manifest.Listing) {
	path, ours := strings.CutPrefix(repo.Name, r.repairs.canonical+"/")
	if r.repairs.canonical == "" || !ours {
		return
	}
	for _, digest := range repo.Digests {
		if _, there := l.Digests[digest]; !there {
			continue
		}
		s := sealed{path, digest, l.Tags[attest.SignatureTag(digest)]}
		if r.repairs.seal != nil && !(l.Full && r.repairs.proven.has(s.key(), s.tagged)) {
			r.sealed = append(r.sealed, s)
		}
		if r.repairs.buckets != nil && r.repairs.buckets.lacks(digest) {
			r.lacking = append(r.lacking, lacking{path, digest, []string{blobsPhase}})
		}
	}
}

// verify finds out which images are signed, remembers those that are, and passes on those that lack something. An error is
// the end of ctx.
func (r *reader) verify(ctx context.Context, list []sealed, lacks func(s sealed, signed, recorded bool)) error {
	return each(ctx, r, "signatures", list, func(s sealed) error {
		var signed, recorded bool
		asked, err := r.ask(manifest.HostOf(r.repairs.canonical), func() (err error) {
			signed, recorded, err = r.repairs.seal.look(ctx, r.registry, s.path, s.digest)
			return err
		})
		if !asked || err != nil {
			if asked && ctx.Err() == nil {
				r.gap(r.repairs.canonical+"/"+s.key(), fmt.Errorf("signatures: %w", err))
			}
			return nil
		}
		if signed && r.repairs.seal.old {
			r.repairs.proven.add(s.key(), s.tagged)
		}
		if !signed || !recorded {
			r.mu.Lock()
			defer r.mu.Unlock()
			lacks(s, signed, recorded)
		}
		return nil
	})
}

// list reads a repository. Where lists do not tell digests, the declared tags and digests are
// asked for.
func (r *reader) list(ctx context.Context, repo promotion.Repository) (manifest.Listing, error) {
	l, open, err := r.registry.Glance(ctx, repo.Name)
	if err != nil || l.Full {
		return l, err
	}
	return r.resolve(ctx, repo, l, open)
}

func (r *reader) resolve(ctx context.Context, repo promotion.Repository, l manifest.Listing, open []string) (manifest.Listing, error) {
	r.mu.Lock()
	r.host(manifest.HostOf(repo.Name)).plain = true
	r.mu.Unlock()
	held := map[string]bool{} // digests that tags stand for
	for _, tag := range repo.Tags {
		if _, there := slices.BinarySearch(open, tag); !there {
			continue
		}
		digest, err := r.registry.Resolve(ctx, repo.Name, tag)
		switch {
		case errors.Is(err, manifest.ErrNoManifest):
			continue // it went meanwhile
		case err != nil:
			return l, err
		}
		l.Tags[tag], held[digest] = digest, true
		l.Digests[digest] = ""
	}
	for _, digest := range repo.Digests {
		if held[digest] {
			continue
		}
		there, err := r.has(ctx, repo.Name, digest)
		if err != nil {
			return l, err
		}
		if there {
			l.Digests[digest] = ""
		}
	}
	return l, nil
}

// has asks for a digest.
func (r *reader) has(ctx context.Context, repository, digest string) (bool, error) {
	_, err := r.registry.Resolve(ctx, repository, digest)
	if errors.Is(err, manifest.ErrNoManifest) || errors.Is(err, manifest.ErrNoRepository) {
		return false, nil
	}
	return err == nil, err
}

// source asks a source repository for what is missing. A list spares questions where
// there are several; what it does not have is asked for, because a list that leaves
// something out proves nothing.
func (r *reader) source(ctx context.Context, c *promotion.Comparison, need promotion.Need) {
	var found []string
	asked, err := r.ask(manifest.HostOf(need.Name), func() error {
		var err error
		found, err = r.find(ctx, need)
		return err
	})
	if asked && err == nil {
		c.SourceHolds(need.Name, found)
		return
	}
	c.SourceUnread(need.Name)
	if asked && ctx.Err() == nil {
		r.gap(need.Name, fmt.Errorf("source: %w", err))
	}
}

func (r *reader) find(ctx context.Context, need promotion.Need) ([]string, error) {
	var l manifest.Listing
	if len(need.Digests) > 1 && !r.plain(manifest.HostOf(need.Name)) {
		var err error
		l, _, err = r.registry.Glance(ctx, need.Name)
		if errors.Is(err, manifest.ErrNoRepository) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	var found []string
	for _, digest := range need.Digests {
		_, there := l.Digests[digest]
		if !there {
			var err error
			if there, err = r.has(ctx, need.Name, digest); err != nil {
				return nil, err
			}
		}
		if there {
			found = append(found, digest)
		}
	}
	return found, nil
}
