// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import "sigs.k8s.io/steward/internal/manifest"

// Scope is a part of a set: digests at paths, each with the mirrors in question, and the
// projects. The zero value, like nil, is everything.
type Scope struct {
	// Projects are the names of manifests; nil is all of them.
	Projects map[string]bool
	// Digests are by path and digest; nil is all of them. No mirrors means all of those
	// where it is declared.
	Digests map[string]map[string][]int
}

// Add puts a digest at a path into the scope. Mirrors add up; none are all.
func (s *Scope) Add(path, digest string, mirrors []int) {
	if s.Digests == nil {
		s.Digests = map[string]map[string][]int{}
	}
	at := s.Digests[path]
	if at == nil {
		at = map[string][]int{}
		s.Digests[path] = at
	}
	before, again := at[digest]
	switch {
	case len(mirrors) == 0, again && len(before) == 0:
		at[digest] = nil
	default:
		at[digest] = append(before[:len(before):len(before)], mirrors...)
	}
}

// project tells whether a manifest is in the scope.
func (s *Scope) project(m *manifest.Manifest) bool {
	return s == nil || s.Projects == nil || s.Projects[m.Name]
}

// path tells whether anything at a path may be in the scope.
func (s *Scope) path(path string) bool {
	return s == nil || s.Digests == nil || s.Digests[path] != nil
}

// digest tells whether a digest is in the scope, and on which mirrors; nil is all.
func (s *Scope) digest(path, digest string) (mirrors []int, ok bool) {
	if s == nil || s.Digests == nil {
		return nil, true
	}
	mirrors, ok = s.Digests[path][digest]
	return mirrors, ok
}
