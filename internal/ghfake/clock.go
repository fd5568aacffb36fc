// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import "time"

// clock gives GitHub's time: whole seconds, UTC, never backwards. Comments made
// in one second share their timestamp and differ in their id, as on GitHub.
type clock struct {
	source func() time.Time
	shift  time.Duration
	last   time.Time
}

func (c *clock) now() time.Time {
	if t := c.source().Add(c.shift).UTC().Truncate(time.Second); t.After(c.last) {
		c.last = t
	}
	return c.last
}

// set makes now the given time and lets it run on from there; an earlier time
// than the present one is ignored.
func (c *clock) set(t time.Time) {
	if t.After(c.now()) {
		c.shift = t.Sub(c.source())
	}
}

// begin starts the world at t, which may lie in the past of the source.
func (c *clock) begin(t time.Time) {
	c.last = time.Time{}
	c.shift = t.Sub(c.source())
	c.now()
}
