// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// group is what one set of owners has to do.
type group struct {
	owners []string // sorted; none where OWNERS name nobody
	items  []*Item  // worst first, acknowledged last
	tally  tally
}

// groups returns the owner sets, the one with the worst finding first, then the one
// with most.
func (s *sheet) groups() []group {
	at := map[string]int{}
	var all []group
	for _, i := range s.items {
		owners := slices.Clone(i.Owners)
		slices.Sort(owners)
		owners = slices.Compact(owners)
		key := strings.Join(owners, "\x00")
		g, ok := at[key]
		if !ok {
			g = len(all)
			at[key] = g
			all = append(all, group{owners: owners})
		}
		all[g].items = append(all[g].items, i)
		all[g].tally.add(i.Finding)
	}
	for _, g := range all {
		slices.SortStableFunc(g.items, worstFirst)
	}
	slices.SortFunc(all, func(a, b group) int {
		for s := finding.Critical; s >= finding.Info; s-- {
			if c := cmp.Compare(b.tally.open[s], a.tally.open[s]); c != 0 {
				return c
			}
		}
		return cmp.Or(cmp.Compare(b.tally.acknowledged, a.tally.acknowledged), slices.Compare(a.owners, b.owners))
	})
	return all
}

func worstFirst(a, b *Item) int {
	return cmp.Or(cmp.Compare(acknowledged(a.Acknowledged), acknowledged(b.Acknowledged)), cmp.Compare(b.Severity, a.Severity))
}

// allot divides a budget: whoever needs less than an equal share gets what it needs,
// and the others divide what is left. So one long group hides no short one.
func allot(needs []int, budget int) []int {
	order := make([]int, len(needs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(needs[a], needs[b]) })
	given := make([]int, len(needs))
	left := max(budget, 0)
	for n, i := range order {
		given[i] = min(needs[i], left/(len(order)-n))
		left -= given[i]
	}
	return given
}
