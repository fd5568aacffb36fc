// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasepage

import (
	"fmt"
	"strconv"
	"time"
)

// clock is a time as tables show it.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// span is how long something lasts, as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "under a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %02d min", int(d/time.Hour), int(d%time.Hour/time.Minute))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// age is how long ago a time was; never is one that nobody noted.
func (w *writer) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(w.now.Sub(t))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(n) + " " + noun + "s"
}

// grouped is a number that people can read: 12,345.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && n >= 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// hours are lease-hours.
func hours(h float64) string {
	if h >= 99.95 {
		return grouped(int(h + .5))
	}
	return strconv.FormatFloat(h, 'f', 1, 64)
}

// percent is a share of 1.
func percent(share float64) string { return strconv.Itoa(int(100*share+.5)) + " %" }

// cut says how many rows are not there, or nothing.
func cut(shown, all int, what string) string {
	if shown >= all {
		return ""
	}
	return fmt.Sprintf("The first %s of %s. The others are in the pool's interface.", grouped(shown), count(all, what))
}
