// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import "math/bits"

// set is a set of mirrors, by their indices. Sets of one comparison have one length.
type set []uint64

const wordBits = 64

func wordsFor(n int) int { return (n + wordBits - 1) / wordBits }

func setOf(words int, members []int) set {
	s := make(set, words)
	for _, m := range members {
		s.add(m)
	}
	return s
}

func (s set) add(m int)      { s[m/wordBits] |= 1 << (m % wordBits) }
func (s set) has(m int) bool { return s[m/wordBits]&(1<<(m%wordBits)) != 0 }

func (s set) empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

func (s set) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// without puts s without others into out, which has their length.
func (s set) without(out set, others ...set) set {
	copy(out, s)
	for _, t := range others {
		for i, w := range t {
			out[i] &^= w
		}
	}
	return out
}

// within puts what both have into out.
func (s set) within(out, t set) set {
	for i, w := range s {
		out[i] = w & t[i]
	}
	return out
}

func (s set) members() []int {
	all := make([]int, 0, s.len())
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			all = append(all, i*wordBits+bits.TrailingZeros64(w))
		}
	}
	return all
}

// column is a set for each of many things, in one piece of memory.
type column struct {
	words int
	all   []uint64
}

func newColumn(words, things int) column { return column{words, make([]uint64, words*things)} }

func (c column) at(i int) set { return c.all[i*c.words : (i+1)*c.words : (i+1)*c.words] }
