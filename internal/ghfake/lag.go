// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"strconv"
	"strings"
	"sync"
)

// lag is how far reads are behind writes while an eventual fault is installed:
// which new objects still miss how many reads. It has a lock of its own, because
// the resolvers of one GraphQL query run concurrently.
type lag struct {
	mu    sync.Mutex
	left  map[string]int // path of an object, folded, to reads that it misses
	lists bool           // new comments are missing from lists too
}

func (l *lag) add(path string, reads int, lists bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == nil {
		l.left = map[string]int{}
	}
	l.left[fold(path)] = reads
	l.lists = l.lists || lists
}

func (l *lag) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left, l.lists = nil, false
}

// misses tells whether a read comes too early for the object at path or for
// what is below an object, and counts it.
func (l *lag) misses(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	path = fold(path)
	for object := range l.left {
		if path == object || strings.HasPrefix(path, object+"/") {
			l.count(object)
			return true
		}
	}
	return false
}

func (l *lag) count(object string) {
	if l.left[object]--; l.left[object] <= 0 {
		delete(l.left, object)
	}
}

// listed is the comments of a list without those that are too new for it.
func (l *lag) listed(r *repo, all []*comment) []*comment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.lists || len(l.left) == 0 {
		return all
	}
	var out []*comment
	for _, x := range all {
		at := fold(x.path(r))
		if l.left[at] > 0 {
			l.count(at)
			continue
		}
		out = append(out, x)
	}
	return out
}

// appear makes a new issue or pull request miss its first reads, if an eventual
// fault is installed.
func (s *Server) appear(r *repo, i *issue) {
	for _, kind := range []string{"issues", "pulls"} {
		s.appearAt("/repos/" + r.full() + "/" + kind + "/" + strconv.Itoa(i.Number))
	}
}

func (s *Server) appearAt(path string) {
	for _, f := range s.faults {
		if f.Action == "eventual" && f.Chooses(path) {
			s.lag.add(path, max(f.Reads, 1), f.Lists)
		}
	}
}
