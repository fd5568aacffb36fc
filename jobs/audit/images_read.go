// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// The bounds of looking twice.
const (
	// confirmed absences show that a list is complete; then it is believed about the rest.
	confirmed = 20
	// absences of a registry that lists no digests have to be asked for one by one.
	maxAsked = 2000
	// manifests that are read to learn why something is there.
	maxIndexes = 20_000
	maxOpen    = 500
)

// look is one repository while it is read.
type look struct {
	*images
	imageUnit
	ctx      context.Context //nolint:containedctx // lives as long as one Read
	declared manifest.Contents
	listing  manifest.Listing
	difference
	gaps []finding.Gap
}

func (c *images) readRepository(ctx context.Context, u imageUnit) (audit.Reading, error) {
	l := &look{images: c, imageUnit: u, ctx: ctx, declared: u.image.At(u.mirror)}
	l.Of = stateOf(l.declared)
	var err error
	switch l.listing, err = c.registry.List(ctx, u.name); {
	case errors.Is(err, manifest.ErrNoRepository):
		if len(l.declared.Digests) == 0 {
			break // it is as empty as declared
		}
		if err := l.gone(); err != nil {
			return audit.Reading{}, err
		}
		l.Gone = true
	case err != nil:
		return audit.Reading{}, err
	default:
		l.absences()
		l.extras()
	}
	if err := ctx.Err(); err != nil {
		return audit.Reading{}, err
	}
	return packed(l.difference, len(l.listing.Tags)+len(l.listing.Digests), l.gaps)
}

func (l *look) miss(what string, err error) { l.gaps = append(l.gaps, l.gap(l.name+what, err)) }

// gone returns nil if the repository is proven not to exist. It said so itself, twice
// (see Registry); whoever lists repositories must not contradict.
func (l *look) gone() error {
	root := l.set.Mirrors[l.mirror]
	for p := path.Dir(l.name); len(p) >= len(root); p = path.Dir(p) {
		parent, err := l.list(l.ctx, p)
		switch {
		case errors.Is(err, manifest.ErrNoRepository):
			continue
		case err != nil:
			return err
		case !parent.Full:
		case slices.Contains(parent.Children, firstBelow(p, l.name)):
			return contradiction()
		default:
			return nil
		}
		break
	}
	names, err := l.catalog(l.ctx, root)
	switch {
	case errors.Is(err, manifest.ErrNotOffered):
		return nil
	case err == nil && slices.Contains(names, l.image.Path):
		return contradiction()
	}
	return err
}

func contradiction() error {
	return audit.Fail(finding.Malformed, "the registry lists the repository and says that it does not exist")
}

// firstBelow is the segment of name that follows parent.
func firstBelow(parent, name string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, parent+"/"), "/")
	return first
}

// absences compares what is declared with what is listed. Nothing is absent because a
// list left it out: it is asked for by name.
func (l *look) absences() {
	var digests, tags []string
	for _, d := range slices.Sorted(maps.Keys(l.declared.Digests)) {
		if _, there := l.listing.Digests[d]; !there {
			digests = append(digests, d)
		}
	}
	l.Missing = l.confirm(digests, "@", l.listing.Full)
	missing := map[string]bool{}
	for _, d := range l.Missing {
		missing[d] = true
	}
	for _, t := range slices.Sorted(maps.Keys(l.declared.Tags)) {
		claim := l.declared.Tags[t]
		on, there := l.listing.Tags[t]
		err, unread := l.listing.Unread[t]
		switch {
		case unread:
			l.miss(":"+t, err)
		case there && !slices.Contains(claim.Digests, on):
			put(&l.Moved, t, on)
		case there:
		case !slices.ContainsFunc(claim.Digests, func(d string) bool { return !missing[d] }):
			// It went with its digest.
		default:
			tags = append(tags, t)
		}
	}
	l.Untagged = l.confirm(tags, ":", true)
}

// confirm returns the candidates that the registry says it does not have. Where the
// list names all of their kind, the first few decide whether it is to be believed.
func (l *look) confirm(candidates []string, separator string, listed bool) []string {
	most := maxAsked
	if listed {
		most = confirmed
	}
	var absent []string
	trusted := listed
	for _, c := range candidates[:min(len(candidates), most)] {
		_, err := l.registry.Resolve(l.ctx, l.name, c)
		switch {
		case errors.Is(err, manifest.ErrNoManifest):
			absent = append(absent, c)
			continue
		case err == nil && listed:
			err = audit.Fail(finding.Malformed, "the list leaves out what is there")
		case err == nil:
			continue
		}
		trusted = false
		l.miss(separator+c, err)
	}
	rest := candidates[min(len(candidates), most):]
	switch {
	case len(rest) == 0:
	case trusted:
		absent = append(absent, rest...)
	default:
		l.miss("", audit.Fail(finding.TooLarge, "%d more that the list does not have were not asked for", len(rest)))
	}
	return absent
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// extras finds what is there and not declared, but for what belongs to something that
// is: manifests of a declared index, signatures, attestations.
func (l *look) extras() {
	l.Below = l.strangers(l.mirror, l.image.Path, l.listing.Children)
	r := newReasons(l)
	r.search()
	for tag, on := range r.tags {
		put(&l.Tags, l.clean(tag), on)
	}
	l.Digests = r.rest()
}

// reasons knows why undeclared things are there.
type reasons struct {
	*look
	known   map[string]bool   // digests that are there for a declared one
	covered map[string]bool   // digests that come with something that is reported
	tags    map[string]string // undeclared tags, while no reason is known
	open    map[string]bool   // untagged digests, while no reason is known
	read    map[string]manifest.Content
	unsure  bool // a reason may stand in what could not be read
}

func newReasons(l *look) *reasons {
	r := &reasons{look: l, known: map[string]bool{}, covered: map[string]bool{}, tags: map[string]string{}, open: map[string]bool{}, read: map[string]manifest.Content{}}
	tagged := map[string]bool{}
	for tag, on := range l.listing.Tags {
		tagged[on] = true
		_, declared := l.declared.Tags[tag]
		_, lost := l.declared.Lost[tag]
		switch _, artifact := subjectOf(tag); {
		case declared && l.Moved[tag] == "":
		case declared || lost: // a moved one is reported
			r.covered[on] = true
		default:
			r.tags[tag] = on
			if !artifact {
				r.covered[on] = true
			}
		}
	}
	for tag, err := range l.listing.Unread {
		_, declared := l.declared.Tags[tag]
		_, lost := l.declared.Lost[tag]
		if !declared && !lost {
			r.tags[tag] = ""
			l.miss(":"+tag, err)
		}
	}
	for d := range l.declared.Digests {
		r.known[d] = true
	}
	for d := range l.listing.Digests {
		delete(r.covered, d) // set again below where it is not declared
		if !r.known[d] && !tagged[d] {
			r.open[d] = true
		}
	}
	for tag, on := range l.listing.Tags {
		_, artifact := subjectOf(tag)
		if _, declared := l.declared.Tags[tag]; !r.known[on] && (declared || !artifact) {
			r.covered[on] = true
		}
	}
	return r
}
