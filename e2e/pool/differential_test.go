// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"strings"
	"testing"
)

// The size of the comparison. A server has the plots of one round; Boskos gets slow with the number of its resources.
const (
	memoryRounds  = 4
	clusterRounds = 2
	plots         = 12
	length        = 150 // operations of a sequence
	seeds         = 1000
)

// servers starts a pair with as many plots.
type servers func(t testing.TB, config string) (boskos, steward address)

func config(n int, exact bool) string {
	var b strings.Builder
	b.WriteString("resources:\n")
	for i := range n {
		b.WriteString(plot{i, exact}.config())
	}
	return b.String()
}

// Both answer random sequences the same, with Boskos in memory: which resource is chosen is compared as well.
func TestSameAsBoskosInMemory(t *testing.T) {
	compare(t, memoryRounds, true, func(t testing.TB, config string) (address, address) {
		return startBoskos(t, config).address, startSteward(t, config).address
	})
}

// The same with Boskos on custom resources. Its times are whole seconds there, and among equals it takes any.
func TestSameAsBoskosOnCustomResources(t *testing.T) {
	c := startCluster(t)
	compare(t, clusterRounds, false, func(t testing.TB, config string) (address, address) {
		return startBoskosOn(t, c, config).address, startSteward(t, config).address
	})
}

func compare(t *testing.T, rounds int, exact bool, start servers) {
	t.Helper()
	seen := map[string]int{}
	for round := range rounds {
		boskos, steward := start(t, config(plots, exact))
		for i := range plots {
			seed := uint64(round*seeds + i)
			all := sequence(seed, length)
			if newDuel(t, plot{i, exact}, boskos, steward, seen).play(all) != "" {
				t.Fatalf("seed %d:\n%s", seed, shrink(all, func(fewer []operation) string {
					boskos, steward := start(t, config(1, exact))
					return newDuel(t, plot{0, exact}, boskos, steward, map[string]int{}).play(fewer)
				}))
			}
		}
	}
	t.Logf("intended differences: %v", seen)
}

// shrink returns how the servers differ after the fewest operations that it finds.
func shrink(all []operation, play func([]operation) string) string {
	least := play(all)
	if least == "" {
		return "the difference does not come again"
	}
	for size := len(all) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(all); {
			fewer := append(append([]operation{}, all[:from]...), all[from+size:]...)
			if text := play(fewer); text != "" {
				all, least = fewer, text
				continue
			}
			from += size
		}
	}
	return least
}
