// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"strings"
	"testing"
	"time"
)

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]string{
		"2026-12-01..2026-12-03":                          "2026-12-01T00:00:00Z 2026-12-04T00:00:00Z",
		"2026-12-01..2026-12-01":                          "2026-12-01T00:00:00Z 2026-12-02T00:00:00Z",
		"2026-12-01T08:00Z..2026-12-01":                   "2026-12-01T08:00:00Z 2026-12-02T00:00:00Z",
		"2026-12-01T08:00+02:00..2026-12-01T07:30Z":       "2026-12-01T06:00:00Z 2026-12-01T07:30:00Z",
		"2026-12-01T08:00:10Z..2026-12-01T08:00:11Z":      "2026-12-01T08:00:10Z 2026-12-01T08:00:11Z",
		"2026-12-02..2026-12-01":                          "does not end after it begins",
		"2026-12-01T08:00Z..2026-12-01T08:00Z":            "does not end after it begins",
		"2026-12-01":                                      "is not FROM..UNTIL",
		"..":                                              `"" is neither a day`,
		"2026-12-01..":                                    `"" is neither a day`,
		"2026-02-30..2026-12-01":                          `"2026-02-30" is neither a day`,
		"2026-12-01..2026-12-02..2026-12-03":              `"2026-12-02..2026-12-03" is neither a day`,
		"2026-12-01T08:00..2026-12-02T08:00":              `"2026-12-01T08:00" is neither a day`,
		"99999999999-12-01..2026-12-02":                   "is neither a day",
		"2026-12-01..2026-12-02" + strings.Repeat(" ", 3): "is neither a day",
	} {
		from, until, err := ParseWindow(text)
		got := from.Format(time.RFC3339) + " " + until.Format(time.RFC3339)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
