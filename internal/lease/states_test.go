// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTransitionsAreDocumented (P-3): the page has the table, row for row.
func TestTransitionsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../docs/pool.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "|---|---|---|---|\n")
	if !ok {
		t.Fatal("the page has no table")
	}
	table, _, _ := strings.Cut(rest, "\n\n")
	var want []string
	seen := map[string]bool{}
	for _, row := range transitions() {
		from := "`" + row.from + "`"
		if row.from == anything {
			from = "any"
		}
		want = append(want, fmt.Sprintf("| %s | `%s` | %s | %s |", from, row.to, row.by, row.what))
		if key := fmt.Sprint(row.from, row.to, row.by); seen[key] {
			t.Errorf("%s stands there twice", key)
		} else {
			seen[key] = true
		}
	}
	if got := strings.Join(want, "\n"); got != table {
		t.Errorf("the table is\n%s\nthe page has\n%s", got, table)
	}
}

func TestKnown(t *testing.T) {
	for state, want := range map[string]bool{
		Free: true, Busy: true, Dirty: true, Cleaning: true, LeasedState: true, ToBeDeleted: true, Tombstone: true, Quarantined: true,
		NoSchedule: true, "": false, "*": false, "fre": false, "Free": false,
	} {
		if Known(state) != want {
			t.Errorf("%q is known: %v", state, !want)
		}
	}
	for state, want := range map[string]bool{Busy: true, Cleaning: true, LeasedState: true, Free: false, Dirty: false, Tombstone: false, Quarantined: false, "testing": false} {
		if reaped(state) != want {
			t.Errorf("a lease in %q ends by itself: %v", state, !want)
		}
	}
}

// TestUnusual (P-3): any change is made; what the table has not is flagged until the next one.
func TestUnusual(t *testing.T) {
	for _, test := range []struct {
		from, during, after string
		held, left          string // a word of the flag; "" is none
	}{
		{Free, Busy, Dirty, "", ""},
		{Free, Busy, Free, "", ""},
		{Dirty, Cleaning, Free, "", ""},
		{Dirty, Cleaning, Dirty, "", ""},
		{Free, LeasedState, Dirty, "", ""},
		{ToBeDeleted, Cleaning, Tombstone, "", ""},
		{Dirty, Busy, Dirty, "taken from dirty into busy", ""},
		{Free, Cleaning, Free, "taken from free into cleaning", ""},
		{Free, Busy, Busy, "", "from busy to busy"},
		{Free, Busy, Tombstone, "", "from busy to tombstone"},
		{Free, "testing", Dirty, "does not know", ""},
		{Free, "testing", "tested", "does not know", "does not know"},
		{Free, Busy, "drity", "", "does not know"},
		{"tested", Busy, Dirty, "", ""},
	} {
		t.Run(test.from+" "+test.during+" "+test.after, func(t *testing.T) {
			p := newPool(t, Policy{}, projects(1, test.from))
			c := want("a", "")
			c.From, c.To = test.from, test.during
			r := mustAcquire(t, p, start(), c)
			if got := p.Get(r.Name).Unusual(); (got == "") != (test.held == "") || !strings.Contains(got, test.held) {
				t.Errorf("held: %q, want %q", got, test.held)
			}
			release(t, p, start(), r, test.after)
			r = p.Get(r.Name)
			if got := r.Unusual(); r.State != test.after || (got == "") != (test.left == "") || !strings.Contains(got, test.left) {
				t.Errorf("%s: %q, want %q", r.State, got, test.left)
			}
		})
	}
	p := newPool(t, Policy{}, projects(1, Dirty))
	mustAcquire(t, p, start(), Claim{Owner: "a", Wants: []Want{{"project", 1}}, From: Dirty, To: Busy})
	p.Tick(start().Add(time.Hour))
	if r := p.Get("p000"); r.State != Dirty || r.Unusual() != "" {
		t.Errorf("after an end by itself %s is flagged: %q", r.State, r.Unusual())
	}
	if _, err := p.Quarantine(start(), "p000", "sick", "me"); err != nil || p.Get("p000").Unusual() != "" {
		t.Errorf("%v, %q", err, p.Get("p000").Unusual())
	}
}
