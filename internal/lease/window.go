// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"fmt"
	"strings"
	"time"
)

// ParseWindow reads FROM..UNTIL as people type it. Each side is a day in UTC, such as 2026-12-01, or a time, such as
// 2026-12-01T08:00Z. A window from a day begins with it, and one until a day ends with it.
func ParseWindow(text string) (from, until time.Time, err error) {
	first, last, ok := strings.Cut(text, "..")
	if !ok {
		return from, until, fmt.Errorf("%q is not FROM..UNTIL, such as 2026-12-01..2026-12-03", text)
	}
	if from, _, err = moment(first); err != nil {
		return from, until, err
	}
	until, day, err := moment(last)
	if day {
		until = until.AddDate(0, 0, 1)
	}
	if err == nil && !until.After(from) {
		err = fmt.Errorf("%q does not end after it begins", text)
	}
	return from, until, err
}

// moment reads a side of a window; day tells that it has no time.
func moment(text string) (at time.Time, day bool, err error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	for _, form := range []string{"2006-01-02T15:04Z07:00", time.RFC3339} {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), false, nil
		}
	}
	return time.Time{}, false, fmt.Errorf("%q is neither a day such as 2026-12-01 nor a time such as 2026-12-01T08:00Z", text)
}
