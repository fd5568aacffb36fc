// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package asset

import (
	"strconv"
	"strings"
)

// cursor finds the lines of elements in the text they were read from. It goes forward,
// because elements come in the order of the text, and starts again where one is not.
type cursor struct {
	text       string
	first      int // number of the text's first line
	at, number int
}

func newCursor(text string, first int) *cursor { return &cursor{text, first, 0, first} }

// line is where an element stands; where it is written otherwise than expected, the
// line of the one before it.
func (c *cursor) line(e element) int {
	quoted := strconv.Quote(e.needle)
	i := strings.Index(c.text[c.at:], quoted)
	if i < 0 {
		if i = strings.Index(c.text[:c.at], quoted); i < 0 {
			return c.number
		}
		c.at, c.number = 0, c.first
	}
	c.number += strings.Count(c.text[c.at:c.at+i], "\n")
	c.at += i + len(quoted)
	return c.number
}
