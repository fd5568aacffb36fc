// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package spell finds what somebody probably meant.
package spell

// Nearest returns the candidate at the smallest distance from word, the first of
// equals, or "" when none is close: within 2 edits, and within a third of the
// word for short ones.
func Nearest(word string, candidates []string) string {
	if len(word) > 40 {
		return ""
	}
	best, limit := "", min(2, len(word)/3+1)+1
	for _, c := range candidates {
		if d := Distance(word, c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// Distance is the optimal string alignment distance, in bytes: insertions,
// deletions, changes, and swaps of neighbours count one each.
func Distance(a, b string) int {
	var before, above []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
