// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// The rules of a change, and of a community.
const (
	ruleMoved    = "MANIFEST-10" // a tag gets another digest
	ruleRemoved  = "MANIFEST-11" // something is not declared any more
	ruleOutside  = "MANIFEST-12" // a destination where nothing may go
	ruleMirrored = "MANIFEST-13" // a mirror that a manifest leaves out
)

// Change is what is wrong with the step from one set to the next. A tag that is promoted stays what it is for ever, and
// nothing that is promoted goes away: a set that says otherwise is refused, or does nothing.
func Change(base, head *Set) []finding.Finding {
	var found []finding.Finding
	for _, image := range head.Images {
		old := base.Image(image.Path)
		if old == nil {
			continue
		}
		for _, later := range image.Parts {
			for _, earlier := range old.Parts {
				if base.meets(earlier, head, later) {
					found = append(found, moved(image.Path, earlier, later)...)
				}
			}
		}
	}
	for _, old := range base.Images {
		if !head.half(old.Parts) {
			found = append(found, removed(old, head.Image(old.Path))...)
		}
	}
	finding.Sort(found)
	return once(found)
}

// once leaves one finding of what stands in one line and is promoted to several places.
func once(found []finding.Finding) []finding.Finding {
	type position struct {
		rule, file, field string
		line              int
	}
	seen := map[position]bool{}
	return slices.DeleteFunc(found, func(f finding.Finding) bool {
		at := position{f.Rule, f.File, f.Field, f.Line}
		again := seen[at] && f.Line > 0
		seen[at] = true
		return again
	})
}

// meets tells whether two parts of two sets have a mirror in common.
func (s *Set) meets(part Part, other *Set, otherPart Part) bool {
	return slices.ContainsFunc(part.Mirrors, func(m int) bool {
		i, known := slices.BinarySearch(other.Mirrors, s.Mirrors[m])
		return known && slices.Contains(otherPart.Mirrors, i)
	})
}

func moved(path string, earlier, later Part) []finding.Finding {
	before := map[string]string{}
	for _, d := range earlier.Entry.Digests {
		for _, t := range d.Tags {
			before[t.Name] = d.Digest
		}
	}
	var found []finding.Finding
	for _, d := range later.Entry.Digests {
		for _, t := range d.Tags {
			if was := before[t.Name]; was != "" && was != d.Digest {
				found = append(found, finding.Finding{
					Rule: ruleMoved, Severity: finding.Error, Object: path + ":" + t.Name, Field: d.Digest, File: later.Manifest.Images, Line: t.Line,
					Fix:     "keep the digest that was promoted, and give the new one a new tag",
					Message: fmt.Sprintf("the tag was declared for %s and is to stand for %s: a tag that was promoted is never moved", was, d.Digest),
				})
			}
		}
	}
	return found
}

// half tells whether a manifest of some parts is not whole any more: then nobody knows what is gone.
func (s *Set) half(parts []Part) bool {
	return slices.ContainsFunc(parts, func(p Part) bool {
		return slices.ContainsFunc(s.Manifests, func(m *Manifest) bool { return m.Name == p.Manifest.Name && !m.Whole })
	})
}

// removed tells what production keeps though nobody declares it any more. One image is one finding.
func removed(old, image *Image) []finding.Finding {
	still := map[string]bool{}
	at := Place{old.Parts[0].Manifest.Images, 0}
	if image != nil {
		at = Place{image.Parts[0].Manifest.Images, image.Parts[0].Entry.Line}
		for _, p := range image.Parts {
			for _, d := range p.Entry.Digests {
				still[d.Digest] = true
				for _, t := range d.Tags {
					still[t.Name] = true
				}
			}
		}
	}
	gone := map[string]bool{}
	var names []string
	note := func(key, name string) {
		if !still[key] && !gone[key] {
			gone[key] = true
			names = append(names, name)
		}
	}
	for _, p := range old.Parts {
		for _, d := range p.Entry.Digests {
			for _, t := range d.Tags {
				note(t.Name, "tag "+t.Name)
			}
			note(d.Digest, d.Digest)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []finding.Finding{{
		Rule: ruleRemoved, Severity: finding.Warning, Object: old.Path, Field: strings.Join(names, " "), File: at.File, Line: at.Line,
		Fix:     "keep them, or have them removed from production by hand",
		Message: "not declared any more, which removes nothing from production: " + few(names),
	}}
}

// few names some of many.
func few(names []string) string {
	const enough = 3
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}

// Halves finds manifests that name some of the mirrors that a community promotes to and not all. Without mirrors nothing is
// asked of them.
func (s *Set) Halves(mirrors []string) []finding.Finding {
	var found []finding.Finding
	for _, m := range s.Manifests {
		found = append(found, m.halves(mirrors)...)
	}
	finding.Sort(found)
	return found
}

func (m *Manifest) halves(roots []string) []finding.Finding {
	var found []finding.Finding
	have := map[string][]string{} // what is below a root, and below which
	var places []string
	for _, d := range m.Destinations {
		root, below := under(d.Name, roots)
		if root == "" {
			continue
		}
		if have[below] == nil {
			places = append(places, below)
		}
		have[below] = append(have[below], root)
	}
	for _, below := range places {
		var missing []string
		for _, root := range roots {
			if !slices.Contains(have[below], root) {
				missing = append(missing, strings.TrimSuffix(root+"/"+below, "/"))
			}
		}
		if len(missing) > 0 {
			found = append(found, finding.Finding{
				Rule: ruleMirrored, Severity: finding.Error, Object: m.Name + "/" + below, File: m.File, Fix: "add " + strings.Join(missing, ", "),
				Message: fmt.Sprintf("of %d mirrors %d are not named: %s", len(roots), len(missing), few(missing)),
			})
		}
	}
	return found
}

// under returns the root that a destination is below of, and the rest; "" where there is none.
func under(name string, roots []string) (root, below string) {
	for _, r := range roots {
		if rest, ok := strings.CutPrefix(name+"/", r+"/"); ok && len(r) > len(root) {
			root, below = r, strings.TrimSuffix(rest, "/")
		}
	}
	return root, below
}
