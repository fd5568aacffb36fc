// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

func same(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func total(c [buckets]float64) float64 {
	sum := 0.0
	for _, h := range c {
		sum += h
	}
	return sum
}

// PG-4: lease-hours are those in the window, each in its hour.
func TestUsage(t *testing.T) {
	now := noon().Add(30 * time.Minute)
	back := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name        string
		from, until time.Duration // before now
		state       string
		hours       float64
		first, last int // steps that are not empty, from the end
	}{
		{"within an hour", 20 * time.Minute, 5 * time.Minute, lease.Busy, 0.25, 0, 0},
		{"over the hour", 90 * time.Minute, 15 * time.Minute, lease.Busy, 1.25, 1, 0},
		{"a whole day", 30 * time.Hour, 6 * time.Hour, lease.Busy, 24, 30, 6},
		{"cleaning", time.Hour, 0, lease.Cleaning, 1, 1, 0},
		{"before the window began", 400 * time.Hour, 166 * time.Hour, lease.Busy, 1.5, 167, 166},
		{"only before", 400 * time.Hour, 300 * time.Hour, lease.Busy, 0, -1, -1},
		{"in the future", -time.Hour, -2 * time.Hour, lease.Busy, 0, -1, -1},
		{"backwards", time.Hour, 2 * time.Hour, lease.Busy, 0, -1, -1},
	} {
		u := NewUsage(now)
		u.Ended(&lease.Ended{Resource: "r", Type: "t", Owner: "o", Since: back(c.from), Until: back(c.until), Held: c.state})
		if !same(u.accounts["o"], c.hours) || !u.Lent("r") || u.Lent("s") {
			t.Errorf("%s: %v hours", c.name, u.accounts["o"])
		}
		course := u.types["t"]
		if course == nil {
			if c.hours != 0 {
				t.Errorf("%s: nothing", c.name)
			}
			continue
		}
		into, other := course.used, course.cleaned
		if c.state == lease.Cleaning {
			into, other = other, into
		}
		if !same(total(into), c.hours) || total(other) != 0 {
			t.Errorf("%s: %v and %v", c.name, total(into), total(other))
		}
		for i, h := range into {
			if inside := i >= buckets-1-c.first && i <= buckets-1-c.last; inside != (h > 0) || h > 1+1e-9 {
				t.Errorf("%s: hour %d has %v", c.name, i-buckets+1, h)
			}
		}
	}
}

// PG-4: a plot stays in its frame and says where it begins to know.
func TestPlot(t *testing.T) {
	u := NewUsage(noon())
	if p := u.plot("t", 4); p.Used != "" || !strings.Contains(p.Alt, "no lease") {
		t.Errorf("%+v", p)
	}
	for range 3 { // of a size of 2: the pool was larger then
		u.Ended(&lease.Ended{Resource: "r", Type: "t", Owner: "o", Since: ago(10 * time.Hour), Until: ago(5 * time.Hour), Held: lease.Busy})
	}
	u.Ended(&lease.Ended{Resource: "r", Type: "other", Owner: "o", Since: ago(20 * time.Hour), Until: ago(19 * time.Hour), Held: lease.Busy})
	p := u.plot("t", 2)
	if want := "In use: 38 % on average, 150 % in the busiest hour. In cleaning: 0 % on average. The history begins 2026-11-25 16:00."; p.Alt != want {
		t.Errorf("%s\nwant %s", p.Alt, want)
	}
	if len(p.Days) != 7 || p.Unknown != "147" {
		t.Errorf("%d days, unknown %s", len(p.Days), p.Unknown)
	}
	for _, points := range []string{p.Used, p.Cleaned} {
		for _, point := range strings.Fields(points) {
			var x, y float64
			if _, err := fmt.Sscanf(point, "%f,%f", &x, &y); err != nil || x < 147 || x > float64(buckets) || y < 0 || y > plotHeight {
				t.Errorf("point %s: %v", point, err)
			}
		}
	}
	if p := u.plot("t", 0); p.Used != "" {
		t.Error("a type without resources has a plot")
	}
}

// What is added up is bounded in leases and in accounts.
func TestUsageBounded(t *testing.T) {
	u := NewUsage(noon())
	e := &lease.Ended{Type: "t", Since: ago(time.Hour), Until: noon()}
	for i := range maxPayers + 10 {
		e.Owner = fmt.Sprint(i)
		u.Ended(e)
	}
	if len(u.accounts) != maxPayers+1 || !same(u.accounts[""], 10) {
		t.Errorf("%d accounts, %v hours of others", len(u.accounts), u.accounts[""])
	}
	u.leases = maxLeases - 2
	if !u.Ended(e) || u.Ended(e) {
		t.Error("the number of leases has no bound")
	}
}

// A resource's page keeps the latest, although a history tells each day from its morning.
func TestPast(t *testing.T) {
	for _, c := range []struct{ days, each, want int }{{3, 5, 15}, {40, 100, maxRows}, {2, 5 * maxRows, maxRows}} {
		p := &Past{}
		visited := 0
	days:
		for day := range c.days {
			morning := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -day)
			for i := range c.each {
				visited++
				if !p.Add(&lease.Ended{Until: morning.Add(time.Duration(i) * time.Second)}) {
					break days
				}
				if len(p.ended) > 3*maxRows {
					t.Fatalf("%+v: %d are kept", c, len(p.ended))
				}
			}
		}
		got := p.latest()
		latest := time.Date(2026, 11, 26, 0, 0, c.each-1, 0, time.UTC)
		if len(got) != c.want || !got[0].Until.Equal(latest) {
			t.Errorf("%+v: %d rows, the first of %v", c, len(got), got[0].Until)
		}
		for i, e := range got[1:] {
			gap := got[i].Until.Sub(e.Until)
			if gap <= 0 || gap > time.Second && i%c.each != c.each-1 {
				t.Fatalf("%+v: %v is followed by %v", c, got[i].Until, e.Until)
			}
		}
		if visited > maxRows+2*c.each {
			t.Errorf("%+v: %d visited", c, visited)
		}
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour: "under a minute", 59 * time.Second: "under a minute", time.Minute: "1 min", 59 * time.Minute: "59 min",
		65 * time.Minute: "1 h 05 min", 47 * time.Hour: "47 h 00 min", 50 * time.Hour: "2 days",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, not %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -5: "-5"} {
		if got := grouped(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
	for h, want := range map[float64]string{0: "0.0", 0.05: "0.1", 99.94: "99.9", 99.96: "100", 1234.5: "1,235"} {
		if got := hours(h); got != want {
			t.Errorf("%v is %q", h, got)
		}
	}
}
