// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"slices"
	"testing"
)

// places is the queue of one type and state, as it is meant and as Boskos's linked list has it: where the last of a queue
// leaves, the one before it still points to it, and where that was the first as well, those who come later are never found.
type places struct {
	meant      []string
	waiting    map[string]bool
	start, end *place
}

type place struct {
	id   string
	next *place
}

// ask returns the place of a request in both, 1 for the first. One without an id is behind all.
func (q *places) ask(id string) (meant, boskos int) {
	if q.waiting == nil {
		q.waiting = map[string]bool{}
	}
	if id != "" && !q.waiting[id] {
		q.waiting[id] = true
		q.meant = append(q.meant, id)
		last := &place{id: id}
		if q.start == nil {
			q.start = last
		} else {
			q.end.next = last
		}
		q.end = last
	}
	meant, boskos = 1+len(q.meant), 1
	if i := slices.Index(q.meant, id); i >= 0 {
		meant = 1 + i
	}
	for p := q.start; p != nil && p.id != id; p = p.next {
		if q.waiting[p.id] {
			boskos++
		}
	}
	return meant, boskos
}

// leave takes out one that was served, in Boskos's way.
func (q *places) leave(id string) {
	delete(q.waiting, id)
	q.meant = slices.DeleteFunc(q.meant, func(other string) bool { return other == id })
	before := q.start
	for p := q.start; p != nil; p = p.next {
		if p.id != id {
			before = p
			continue
		}
		if p == q.start {
			q.start = q.start.next
		}
		if p == q.end {
			q.end = before
		} else {
			before.next = p.next
		}
		return
	}
}

func TestPlaces(t *testing.T) {
	var q places
	for _, c := range []struct {
		leave, ask    string
		meant, boskos int
	}{
		{"", "a", 1, 1}, {"", "b", 2, 2}, {"", "", 3, 3}, {"a", "b", 1, 1}, {"", "c", 2, 2}, {"b", "c", 1, 1},
		{"", "d", 2, 2}, {"d", "c", 1, 1}, {"c", "e", 1, 1}, {"", "f", 2, 1}, {"", "", 3, 1},
	} {
		if c.leave != "" {
			q.leave(c.leave)
		}
		if meant, boskos := q.ask(c.ask); meant != c.meant || boskos != c.boskos {
			t.Errorf("%s leaves, %s asks: %d and %d, want %d and %d", c.leave, c.ask, meant, boskos, c.meant, c.boskos)
		}
	}
}
