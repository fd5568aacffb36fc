// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// Since adds what head declares and base does not: digests, tags of known digests, and
// mirrors or prefixes of known images. base may be nil: then that is everything.
func (s *Scope) Since(base, head *manifest.Set) {
	if s.Digests == nil {
		s.Digests = map[string]map[string][]int{}
	}
	for _, image := range head.Images {
		old := before(base, head, image.Path)
		for _, p := range image.Parts {
			for _, d := range p.Entry.Digests {
				if fresh := old.lacks(d, p.Mirrors); len(fresh) > 0 {
					s.Add(image.Path, d.Digest, fresh)
				}
			}
		}
	}
}

// past is what another set declared at a path: digests, and tags as TAG@DIGEST, with the
// mirrors in terms of the new set.
type past map[string][]int

func before(base, head *manifest.Set, path string) past {
	if base == nil {
		return nil
	}
	image := base.Image(path)
	if image == nil {
		return nil
	}
	old := past{}
	for _, p := range image.Parts {
		var on []int
		for _, m := range p.Mirrors {
			if i, still := slices.BinarySearch(head.Mirrors, base.Mirrors[m]); still {
				on = append(on, i)
			}
		}
		for _, d := range p.Entry.Digests {
			old[d.Digest] = append(old[d.Digest], on...)
			for _, t := range d.Tags {
				key := t.Name + "@" + d.Digest
				old[key] = append(old[key], on...)
			}
		}
	}
	return old
}

// lacks returns the mirrors on which a digest or one of its tags was not declared.
func (o past) lacks(d manifest.Digest, mirrors []int) []int {
	var fresh []int
	for _, m := range mirrors {
		lacking := !slices.Contains(o[d.Digest], m)
		for _, t := range d.Tags {
			lacking = lacking || !slices.Contains(o[t.Name+"@"+d.Digest], m)
		}
		if lacking {
			fresh = append(fresh, m)
		}
	}
	return fresh
}
