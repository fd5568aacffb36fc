// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/lease"
)

// other is the colour of every state that has none of its own.
const other = "other"

// colours are the states that bars tell apart, in their order.
func colours() []string {
	return []string{lease.Free, lease.Busy, lease.Dirty, lease.Cleaning, lease.Quarantined, other}
}

func colour(state string) string {
	switch state {
	case lease.Free, lease.Busy, lease.Dirty, lease.Cleaning, lease.Quarantined:
		return state
	}
	return other
}

// bar is a type by state, and the same in words.
type bar struct {
	Pieces []piece
	Legend []legend
}

type piece struct{ State, X, Width string }

type legend struct {
	State, Words string
	Count        int
}

func (w *writer) bar(all []*lease.Resource) bar {
	counts, others := map[string]int{}, map[string]int{}
	for _, r := range all {
		c := colour(r.State)
		counts[c]++
		if c == other {
			others[r.State]++
		}
	}
	var b bar
	x := 0.0
	for _, state := range colours() {
		n := counts[state]
		if n == 0 {
			continue
		}
		width := 100 * float64(n) / float64(len(all))
		b.Pieces = append(b.Pieces, piece{state, decimal(x) + "%", decimal(width) + "%"})
		x += width
		words := state
		if state == other {
			words = "in other states: " + w.others(others)
		}
		b.Legend = append(b.Legend, legend{state, words, n})
	}
	return b
}

// others names states that have no colour, and says of those that the pool does not know that it does not (P-3).
func (w *writer) others(counts map[string]int) string {
	const most = 5
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		if len(parts) == most {
			parts = append(parts, "…")
			break
		}
		text := fmt.Sprintf("%d %s", counts[state], w.name(state))
		if !lease.Known(state) {
			text += " (unknown)"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
