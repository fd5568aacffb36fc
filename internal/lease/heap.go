// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import stdheap "container/heap"

// heap is a priority queue from which any element can be removed.
type heap[T comparable] struct {
	items  []T
	at     map[T]int
	before func(a, b T) bool
}

func newHeap[T comparable](before func(a, b T) bool) heap[T] {
	return heap[T]{at: map[T]int{}, before: before}
}

func (h *heap[T]) len() int { return len(h.items) }

func (h *heap[T]) add(x T) { stdheap.Push((*sorter[T])(h), x) }

// first returns the element before all others; there has to be one.
func (h *heap[T]) first() T { return h.items[0] }

// remove takes an element out, and tells whether it was there.
func (h *heap[T]) remove(x T) bool {
	i, ok := h.at[x]
	if ok {
		stdheap.Remove((*sorter[T])(h), i)
	}
	return ok
}

// sorter is what container/heap wants to see.
type sorter[T comparable] heap[T]

func (s *sorter[T]) Len() int           { return len(s.items) }
func (s *sorter[T]) Less(i, j int) bool { return s.before(s.items[i], s.items[j]) }

func (s *sorter[T]) Swap(i, j int) {
	s.items[i], s.items[j] = s.items[j], s.items[i]
	s.at[s.items[i]], s.at[s.items[j]] = i, j
}

func (s *sorter[T]) Push(x any) {
	s.at[x.(T)] = len(s.items)
	s.items = append(s.items, x.(T))
}

func (s *sorter[T]) Pop() any {
	last := s.items[len(s.items)-1]
	s.items = s.items[:len(s.items)-1]
	delete(s.at, last)
	return last
}
