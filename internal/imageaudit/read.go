// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package imageaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// indexes and other manifests that are read to learn why something is there.
	maxIndexes = 5000
	maxOpen    = 500
	// findings and gaps of one repository. More are one gap.
	maxStrange = 500
	maxGaps    = 20
)

// look is one repository while it is read.
type look struct {
	*Collector
	unit
	ctx      context.Context //nolint:containedctx // lives as long as one Read
	declared manifest.Contents
	listing  manifest.Listing
	difference
	gaps []finding.Gap
}

func (c *Collector) readRepository(ctx context.Context, u unit) (audit.Reading, error) {
	l := &look{Collector: c, unit: u, ctx: ctx, declared: u.image.At(u.mirror)}
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
	l.bound()
	return packed(l.difference, len(l.listing.Tags)+len(l.listing.Digests), l.gaps)
}

// bound keeps a registry from filling a report: what is left out is a gap.
func (l *look) bound() {
	more := len(l.Below) + len(l.Tags) + len(l.Digests)
	l.Below, l.Digests = l.Below[:min(len(l.Below), maxStrange)], l.Digests[:min(len(l.Digests), maxStrange)]
	for _, tag := range slices.Sorted(maps.Keys(l.Tags))[min(len(l.Tags), maxStrange):] {
		delete(l.Tags, tag)
	}
	if more -= len(l.Below) + len(l.Tags) + len(l.Digests); more > 0 {
		l.miss("", audit.Fail(finding.TooLarge, "%d more undeclared things are not listed", more))
	}
	if n := len(l.gaps); n > maxGaps {
		slices.SortFunc(l.gaps, func(a, b finding.Gap) int { return cmp.Compare(a.Scope, b.Scope) })
		l.gaps = append(l.gaps[:maxGaps], finding.Gap{Scope: l.name, Reason: l.gaps[maxGaps].Reason, Detail: fmt.Sprintf("%d more gaps", n-maxGaps)})
	}
}

func (l *look) miss(what string, err error) { l.gaps = append(l.gaps, l.gap(l.name, what, err)) }

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
	var found []string
	l.Missing, found = l.confirm(digests, "@", l.listing.Full)
	there := func(d string) bool {
		_, listed := l.listing.Digests[d]
		return listed || slices.Contains(found, d)
	}
	for _, t := range slices.Sorted(maps.Keys(l.declared.Tags)) {
		claim := l.declared.Tags[t]
		on, listed := l.listing.Tags[t]
		err, unread := l.listing.Unread[t]
		switch {
		case unread:
			l.miss(":"+t, err)
		case listed && !slices.Contains(claim.Digests, on):
			put(&l.Moved, t, on)
		case !listed && slices.ContainsFunc(claim.Digests, there): // else it went with its digest
			tags = append(tags, t)
		}
	}
	l.Untagged, _ = l.confirm(tags, ":", true)
	if empty := len(l.listing.Tags)+len(l.listing.Digests)+len(l.listing.Unread) == 0; empty && len(l.Missing) > 0 && len(l.Missing) == len(l.declared.Digests) {
		l.Gone, l.Missing = true, nil // a registry may keep the name
	}
}

// confirm returns the candidates that the registry says it does not have, and those
// that it has all the same. Where the list names all of their kind, the first few decide
// whether it is to be believed.
func (l *look) confirm(candidates []string, separator string, listed bool) (absent, found []string) {
	most := maxAsked
	if listed {
		most = confirmed
	}
	trusted := listed
	for _, c := range candidates[:min(len(candidates), most)] {
		_, err := l.registry.Resolve(l.ctx, l.name, c)
		switch {
		case errors.Is(err, manifest.ErrNoManifest):
			absent = append(absent, c)
			continue
		case err == nil:
			if found = append(found, c); !listed {
				continue
			}
			err = audit.Fail(finding.Malformed, "the list leaves out what is there")
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
	return absent, found
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
	r := l.reasons()
	r.search()
	if r.unsure {
		return // what is open may have a reason
	}
	for tag, on := range r.artifacts {
		put(&l.Tags, l.clean(tag), on)
	}
	l.Digests = r.rest()
}

// reasons says why undeclared things are there.
type reasons struct {
	*look
	known     map[string]bool   // digests that are declared, or belong to one that is
	covered   map[string]bool   // digests of tags that are reported, and what belongs to them
	artifacts map[string]string // tags like a signature's, whose subject is not found yet
	open      map[string]bool   // other digests, while no reason is known
	read      map[string]manifest.Content
	unsure    bool // a reason may stand in what could not be read
}

// reasons sorts what is listed. Undeclared tags that are no artifact's are reported at
// once.
func (l *look) reasons() *reasons {
	r := &reasons{
		look: l, known: map[string]bool{}, covered: map[string]bool{}, artifacts: map[string]string{},
		open: map[string]bool{}, read: map[string]manifest.Content{},
	}
	for d := range l.declared.Digests {
		r.known[d] = true
	}
	for tag, on := range l.listing.Tags {
		_, declared := l.declared.Tags[tag]
		_, lost := l.declared.Lost[tag]
		switch _, artifact := subjectOf(tag); {
		case lost:
			r.known[on] = true // as what it was meant nobody knows
		case declared && l.Moved[tag] == "":
		case declared:
			r.covered[on] = true
		case artifact:
			r.artifacts[tag] = on
		default:
			put(&l.Tags, l.clean(tag), on)
			r.covered[on] = true
		}
	}
	for tag, err := range l.listing.Unread {
		if _, lost := l.declared.Lost[tag]; !lost && l.declared.Tags[tag].Digests == nil {
			put(&l.Tags, l.clean(tag), "")
			l.miss(":"+tag, err)
		}
	}
	carried := map[string]bool{}
	for _, on := range r.artifacts {
		carried[on] = true
	}
	for d := range l.listing.Digests {
		if !r.known[d] && !r.covered[d] && !carried[d] {
			r.open[d] = true
		}
	}
	return r
}

// subjectOf takes the digest out of the tag that an artifact has where a registry knows
// no referrers: sha256-HEX, and with cosign's endings.
func subjectOf(tag string) (string, bool) {
	hex, ok := strings.CutPrefix(tag, "sha256-")
	for _, ending := range []string{".sig", ".att", ".sbom"} {
		hex = strings.TrimSuffix(hex, ending)
	}
	digest := "sha256:" + hex
	return digest, ok && manifest.IsDigest(digest)
}

// search goes on as long as a reason leads to another: the signature of a manifest of
// an index is known by the index.
func (r *reasons) search() {
	for {
		r.settle()
		switch {
		case len(r.artifacts)+len(r.open) == 0 || r.ctx.Err() != nil:
			return
		case r.indexes(r.known) || r.indexes(r.covered) || r.subjects():
		default:
			return
		}
	}
}

// settle takes out what has a reason by now.
func (r *reasons) settle() {
	for again := true; again; {
		again = false
		for tag, on := range r.artifacts {
			subject, _ := subjectOf(tag)
			switch {
			case r.known[subject]:
				r.known[on] = true
			case r.covered[subject]:
				r.covered[on] = true
			default:
				continue
			}
			delete(r.artifacts, tag)
			again = true
		}
	}
	maps.DeleteFunc(r.open, func(d string, _ bool) bool { return r.known[d] || r.covered[d] })
}

// indexes reads the indexes of a set that were not read, and adds their manifests to
// it, until nothing is open. It tells whether there was one.
func (r *reasons) indexes(set map[string]bool) bool {
	progress := false
	for _, d := range slices.Sorted(maps.Keys(set)) {
		mediaType, listed := r.listing.Digests[d]
		if _, again := r.read[d]; again || !listed || !set[d] || !mayBeIndex(mediaType) {
			continue
		}
		if len(r.read) == maxIndexes {
			r.doubt("", audit.Fail(finding.TooLarge, "more than %d indexes would have to be read to know why others are there", maxIndexes))
			return false
		}
		for _, m := range r.content(d).Manifests {
			set[m] = true
			delete(r.open, m)
		}
		if progress = true; len(r.open)+len(r.artifacts) == 0 {
			break
		}
	}
	return progress
}

// mayBeIndex leaves out what is none by its media type; registries that list no
// digests tell none.
func mayBeIndex(mediaType string) bool {
	return mediaType == "" || strings.Contains(mediaType, "index") || strings.Contains(mediaType, "manifest.list")
}

// subjects reads what is still open, because it may be attached to something. It tells
// whether a reason was found.
func (r *reasons) subjects() bool {
	if len(r.open) > maxOpen {
		r.doubt("", audit.Fail(finding.TooLarge, "%d manifests of no tag would have to be read to know why they are there", len(r.open)))
		return false
	}
	found := false
	for _, d := range slices.Sorted(maps.Keys(r.open)) {
		switch c := r.content(d); {
		case r.known[c.Subject], c.Signed: // whoever adds a signature puts the list anew, and the tag leaves the one before
			r.known[d], found = true, true
		case r.covered[c.Subject]:
			r.covered[d], found = true, true
		}
	}
	return found
}

// content reads a manifest, once for all mirrors.
func (r *reasons) content(digest string) manifest.Content {
	if c, again := r.read[digest]; again {
		return c
	}
	c, err := r.contents.get(r.ctx, digest, func() (manifest.Content, error) { return r.registry.Content(r.ctx, r.name, digest) })
	r.read[digest] = c
	if err != nil {
		r.doubt("@"+digest, err)
	}
	return c
}

// doubt leaves what is open open: a reason may stand in what could not be read. It is
// said once.
func (r *reasons) doubt(what string, err error) {
	if !r.unsure {
		r.unsure = true
		r.miss(what, err)
	}
}

// rest is what nothing explains, without what belongs to another part of it.
func (r *reasons) rest() []string {
	part := map[string]bool{}
	for d := range r.open {
		for _, m := range r.read[d].Manifests {
			part[m] = true
		}
		if r.open[r.read[d].Subject] {
			part[d] = true
		}
	}
	var all []string
	for _, d := range slices.Sorted(maps.Keys(r.open)) {
		if !part[d] {
			all = append(all, d)
		}
	}
	return all
}
