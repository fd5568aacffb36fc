// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"strings"
	"time"
)

// plotHeight is that of the drawing, whose width is a unit for each step.
const plotHeight = 40

// plot is what was used of a type over time: two areas, one upon the other.
type plot struct {
	Alt           string
	Width, Height int
	Used, Cleaned string // points of polygons; "" where nothing is known
	Days          []day
	Unknown       string // the width of the time of which nothing is known
}

// day is the beginning of one, in the drawing.
type day struct{ X, At, Name string }

// plot draws a type. Shares are those of today's size: how large a pool was is not in its history (PG-4).
func (u *Usage) plot(typ string, size int) plot {
	p := plot{Width: buckets, Height: plotHeight, Days: u.days()}
	begin := u.begin()
	if size == 0 || begin == buckets {
		p.Alt = "The history has no lease."
		p.Unknown = fmt.Sprint(buckets)
		return p
	}
	c := u.types[typ]
	if c == nil {
		c = &course{}
	}
	var used, both []float64
	sum, sumClean, length, peak := 0.0, 0.0, 0.0, 0.0
	for i := begin; i < buckets; i++ {
		whole := u.length(i)
		if whole <= 0 {
			break
		}
		capacity := whole * float64(size)
		used = append(used, c.used[i]/capacity)
		both = append(both, (c.used[i]+c.cleaned[i])/capacity)
		sum, sumClean, length = sum+c.used[i], sumClean+c.cleaned[i], length+capacity
		peak = max(peak, used[len(used)-1])
	}
	if length == 0 {
		length = 1
	}
	p.Used, p.Cleaned = area(begin, used, nil), area(begin, both, used)
	if begin > 0 {
		p.Unknown = fmt.Sprint(begin)
	}
	p.Alt = fmt.Sprintf("In use: %s on average, %s in the busiest hour. In cleaning: %s on average.",
		percent(sum/length), percent(peak), percent(sumClean/length))
	if begin > 0 {
		p.Alt += " The history begins " + clock(u.first) + "."
	}
	return p
}

// area is the polygon between two lines; without a lower one, above the ground.
func area(begin int, upper, lower []float64) string {
	points := make([]string, 0, 4*len(upper))
	at := func(x int, share float64) {
		points = append(points, fmt.Sprintf("%d,%s", begin+x, decimal(plotHeight*(1-min(share, 1)))))
	}
	for i, share := range upper {
		at(i, share)
		at(i+1, share)
	}
	for i := len(upper) - 1; i >= 0; i-- {
		share := 0.0
		if lower != nil {
			share = lower[i]
		}
		at(i+1, share)
		at(i, share)
	}
	return strings.Join(points, " ")
}

// days are the midnights within the window. The last one has no name where there is no room behind it.
func (u *Usage) days() []day {
	var all []day
	for i := range buckets {
		at := u.start.Add(time.Duration(i) * step)
		if at.Hour() != 0 {
			continue
		}
		d := day{X: fmt.Sprint(i), At: decimal(100*float64(i)/float64(buckets)) + "%"}
		if i < buckets*7/8 {
			d.Name = at.Format("Mon 2")
		}
		all = append(all, d)
	}
	return all
}
