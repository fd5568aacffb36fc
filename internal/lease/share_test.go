// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"
)

// team is an account that always wants more.
type team struct {
	name   string
	weight float64
	hold   time.Duration
}

// compete lets teams have at a pool until so many leases have ended, and returns the lease time of each.
func compete(t *testing.T, size, leases int, teams []team) map[string]time.Duration {
	t.Helper()
	accounts := map[string]Account{}
	for _, team := range teams {
		accounts[team.name] = Account{Weight: team.weight}
	}
	p := newPool(t, Policy{Accounts: accounts, Idle: Never}, projects(size, Free))
	now := start()
	type end struct {
		at   time.Time
		name string
	}
	var ends []end
	had := map[string]time.Duration{}
	next := 0
	ask := func(team team) {
		for range 2 * size {
			next++
			if got, err := p.Acquire(now, waits(team.name, fmt.Sprint(next))); err == nil {
				ends = append(ends, end{now.Add(team.hold), got[0].Name})
			}
		}
	}
	holds := map[string]time.Duration{}
	for _, team := range teams {
		holds[team.name] = team.hold
		ask(team)
	}
	for done := 0; done < leases; done++ {
		slices.SortStableFunc(ends, func(a, b end) int { return a.at.Compare(b.at) })
		e := ends[0]
		ends = ends[1:]
		now = e.at
		r := p.Get(e.name)
		had[r.Owner] += now.Sub(r.Lease.Since)
		release(t, p, now, r, Free)
		for _, g := range p.Keep().Granted {
			ends = append(ends, end{now.Add(holds[g.Waiter.Owner]), g.Resources[0].Name})
			next++
			queues(t, p, now, waits(g.Waiter.Owner, fmt.Sprint(next)))
		}
	}
	return had
}

// TestFairShare (P-14): accounts that all want more get lease time by their weights, however long their leases are and
// however small the pool.
func TestFairShare(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		teams []team
	}{
		{"equal", 4, []team{{"a", 1, time.Hour}, {"b", 1, time.Hour}}},
		{"three to one", 4, []team{{"a", 3, time.Hour}, {"b", 1, time.Hour}}},
		{"one resource", 1, []team{{"a", 3, time.Hour}, {"b", 1, time.Hour}}},
		{"long and short leases", 10, []team{{"a", 1, 4 * time.Hour}, {"b", 1, 10 * time.Minute}}},
		{"five teams", 8, []team{{"a", 1, time.Hour}, {"b", 2, time.Hour}, {"c", 3, 30 * time.Minute}, {"d", 1, 2 * time.Hour}, {"e", 1, time.Hour}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			leases := 400
			if slices.ContainsFunc(test.teams, func(team team) bool { return team.hold != test.teams[0].hold }) {
				leases = 4000 // the first charges are guesses
			}
			had := compete(t, test.size, leases, test.teams)
			var all time.Duration
			for _, d := range had {
				all += d
			}
			weights := 0.0
			for _, team := range test.teams {
				weights += team.weight
			}
			for _, team := range test.teams {
				share, want := had[team.name].Seconds()/all.Seconds(), team.weight/weights
				if math.Abs(share-want) > want/10 {
					t.Errorf("%s had %.3f of the time, want %.3f within a tenth", team.name, share, want)
				}
			}
		})
	}
}

// TestNewcomer: an account that comes late has no claim on the past, and no debt.
func TestNewcomer(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	now := start()
	r := mustAcquire(t, p, now, want("old", ""))
	queues(t, p, now, waits("old", "0"))
	for i := range 50 {
		now = now.Add(time.Hour)
		release(t, p, now, r, Free)
		served(p)
		queues(t, p, now, waits("old", fmt.Sprint("o", i)))
		r = p.Get(r.Name)
	}
	for i := range 20 {
		queues(t, p, now, waits("new", fmt.Sprint("n", i)))
		queues(t, p, now, waits("old", fmt.Sprint("p", i)))
	}
	got := map[string]int{}
	for range 20 {
		now = now.Add(time.Hour)
		release(t, p, now, r, Free)
		for _, owner := range served(p) {
			got[owner]++
		}
		r = p.Get(r.Name)
	}
	if got["new"] < 9 || got["new"] > 11 {
		t.Errorf("served %v of 20, want half each", got)
	}
}

func TestPrune(t *testing.T) {
	p := newPool(t, Policy{}, projects(1, Free))
	now := start()
	for i := range 100 {
		r := mustAcquire(t, p, now, want(fmt.Sprint("job-", i), ""))
		now = now.Add(time.Minute)
		release(t, p, now, r, Free)
	}
	p.Tick(now.Add(pruneEvery))
	if n := len(p.shares); n > 2 {
		t.Errorf("%d accounts are remembered, want those that stand above the others: %v", n, slices.Collect(maps.Keys(p.shares)))
	}
}
