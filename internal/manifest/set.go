// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// Image is everything that is declared at one path of the mirrors. A destination times
// an image is not stored: both are pointed at.
type Image struct {
	Path  string // below the root of a mirror: kubernetes/pause
	Parts []Part
}

// Part is what one manifest declares at the path.
type Part struct {
	Manifest *Manifest
	Entry    *Entry
	Mirrors  []int // indices into Set.Mirrors, ascending; shared, do not change
}

// On lists the mirrors that the image is declared on, ascending.
func (i *Image) On() []int {
	if len(i.Parts) == 1 {
		return i.Parts[0].Mirrors
	}
	var all []int
	for _, p := range i.Parts {
		all = append(all, p.Mirrors...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Place is where something is declared.
type Place struct {
	File string
	Line int
}

// Contents is what one repository is to hold.
type Contents struct {
	Digests map[string]Place
	Tags    map[string]Claim
	// Lost are tags of entries whose digest is none: declared, and nobody knows as what.
	Lost map[string]Place
}

// Claim is a tag and what it is to stand for; two digests are a conflict (MANIFEST-8).
type Claim struct {
	Place
	Digests []string
}

// At returns what the image is to hold on a mirror.
func (i *Image) At(mirror int) Contents {
	c := Contents{Digests: map[string]Place{}, Tags: map[string]Claim{}, Lost: map[string]Place{}}
	for _, p := range i.Parts {
		if _, on := slices.BinarySearch(p.Mirrors, mirror); !on {
			continue
		}
		for _, d := range p.Entry.Digests {
			c.add(p.Manifest.Images, d)
		}
		for _, d := range p.Entry.Lost {
			for _, t := range d.Tags {
				c.Lost[t.Name] = Place{p.Manifest.Images, t.Line}
			}
		}
	}
	return c
}

func (c Contents) add(file string, d Digest) {
	if _, again := c.Digests[d.Digest]; !again {
		c.Digests[d.Digest] = Place{file, d.Line}
	}
	for _, t := range d.Tags {
		claim, again := c.Tags[t.Name]
		if !again {
			claim.Place = Place{file, t.Line}
		}
		if !slices.Contains(claim.Digests, d.Digest) {
			claim.Digests = append(claim.Digests, d.Digest)
		}
		c.Tags[t.Name] = claim
	}
}

// Image returns the image at a path, or nil.
func (s *Set) Image(p string) *Image {
	if i, ok := s.find(p); ok {
		return s.Images[i]
	}
	return nil
}

func (s *Set) find(p string) (int, bool) {
	return slices.BinarySearchFunc(s.Images, p, func(i *Image, p string) int { return cmp.Compare(i.Path, p) })
}

// assemble finds the mirrors and lays the images of all manifests over each other.
func (l *loader) assemble(s *Set) {
	roots := l.roots(s.Manifests)
	s.Mirrors = slices.Compact(slices.Sorted(maps.Values(roots)))
	images := map[string]*Image{}
	for _, m := range s.Manifests {
		places := m.place(roots, s.Mirrors)
		if len(places)*len(m.Entries) > maxPlaces {
			m.Whole = false
			l.found(finding.Finding{Rule: ruleRegistry, Severity: finding.Error, Object: m.File, Field: "places", File: m.File,
				Fix: "split the manifest, or name fewer destinations"},
				"%d images at %d places of a mirror are more than %d", len(m.Entries), len(places), maxPlaces)
			continue
		}
		for _, below := range slices.Sorted(maps.Keys(places)) {
			for _, e := range m.Entries {
				at := path.Join(below, e.Name)
				i := images[at]
				if i == nil {
					i = &Image{Path: at}
					images[at], s.Images = i, append(s.Images, i)
				}
				i.Parts = append(i.Parts, Part{m, e, places[below]})
			}
		}
	}
	slices.SortFunc(s.Images, func(a, b *Image) int { return cmp.Compare(a.Path, b.Path) })
}

// place says of every destination on which mirror it is and where below its root, and
// returns the mirrors of each place.
func (m *Manifest) place(roots map[string]string, mirrors []string) map[string][]int {
	places := map[string][]int{}
	for i := range m.Destinations {
		d := &m.Destinations[i]
		root := roots[d.Name]
		d.Mirror, _ = slices.BinarySearch(mirrors, root)
		d.Below = strings.TrimPrefix(strings.TrimPrefix(d.Name, root), "/")
		places[d.Below] = append(places[d.Below], d.Mirror)
	}
	for _, on := range places {
		slices.Sort(on)
	}
	return places
}

// roots maps every destination to the root of its mirror. Those that are below no mirror where images may go are reported, and
// are none any more: what is refused decides nothing about others.
func (l *loader) roots(all []*Manifest) map[string]string {
	if len(l.mirrors) == 0 {
		return rootsOf(all)
	}
	roots := map[string]string{}
	for _, m := range all {
		m.Destinations = slices.DeleteFunc(m.Destinations, func(d Destination) bool {
			root, _ := under(d.Name, l.mirrors)
			if root == "" {
				l.found(finding.Finding{
					Rule: ruleOutside, Severity: finding.Error, Object: d.Name, File: m.File, Line: d.Line,
					Fix: "promote to the mirrors that steward.yaml lists (promotion.mirrors)",
				}, "the destination is below no mirror that images may go to")
				return true
			}
			roots[d.Name] = root
			return false
		})
	}
	return roots
}

// rootsOf finds the mirrors from what is declared. In Artifact Registry a root
// is the repository, HOST/PROJECT/REPOSITORY. Elsewhere destinations with the same host
// and first segment are one mirror, and its root is what all of them have in common.
func rootsOf(all []*Manifest) map[string]string {
	common, roots := map[string]string{}, map[string]string{}
	for _, m := range all {
		for _, d := range m.Destinations {
			key := account(d.Name)
			switch before, known := common[key]; {
			case artifactRegistry(d.Name):
				common[key] = key
			case known:
				common[key] = shared(before, d.Name)
			default:
				common[key] = d.Name
			}
		}
	}
	is := map[string]bool{}
	for _, root := range common {
		is[root] = true
	}
	for _, m := range all {
		for _, d := range m.Destinations {
			roots[d.Name] = outermost(is, common[account(d.Name)])
		}
	}
	return roots
}

// outermost is the root that a root is below of: a mirror holds no other.
func outermost(roots map[string]bool, root string) string {
	for i := range root {
		if root[i] == '/' && roots[root[:i]] {
			return root[:i]
		}
	}
	return root
}

func artifactRegistry(name string) bool {
	host, _, _ := strings.Cut(name, "/")
	return strings.HasSuffix(host, ".pkg.dev")
}

// account is the part of a destination that has an owner of its own.
func account(name string) string {
	segments := 2
	if artifactRegistry(name) {
		segments = 3
	}
	parts := strings.SplitN(name, "/", segments+1)
	return strings.Join(parts[:min(segments, len(parts))], "/")
}

// shared is the longest path that two names have in common.
func shared(a, b string) string {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	n := 0
	for n < min(len(as), len(bs)) && as[n] == bs[n] {
		n++
	}
	return strings.Join(as[:n], "/")
}

// conflicts finds tags that several manifests claim at one path of one mirror. Within
// a manifest its builder did.
func (l *loader) conflicts(s *Set) {
	for _, i := range s.Images {
		for n, later := range i.Parts {
			for _, earlier := range i.Parts[:n] {
				if meet(earlier.Mirrors, later.Mirrors) {
					l.claims(i.Path, earlier, later)
				}
			}
		}
	}
}

func meet(a, b []int) bool {
	return slices.ContainsFunc(a, func(m int) bool { return slices.Contains(b, m) })
}

func (l *loader) claims(at string, earlier, later Part) {
	type claim struct {
		digest string
		line   int
	}
	first := map[string]claim{}
	for _, d := range earlier.Entry.Digests {
		for _, t := range d.Tags {
			first[t.Name] = claim{d.Digest, t.Line}
		}
	}
	for _, d := range later.Entry.Digests {
		for _, t := range d.Tags {
			was, again := first[t.Name]
			report := l.conflict
			if was.digest == d.Digest {
				report = l.redundant
			}
			if again {
				report(at+":"+t.Name, later.Manifest.Images, t.Line, earlier.Manifest.Images, was.line)
			}
		}
	}
}
