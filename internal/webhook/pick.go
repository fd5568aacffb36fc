// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errNotJSON = errors.New("it is no JSON object")

// pick returns the raw values of an object's members by name, nil for those that are missing or null; the last of
// equal names counts. A nil object has no members.
//
// Seven small values of an event are wanted, of 12 KB and more. encoding/json looks at every byte of it several times
// to find them, which was most of what receiving cost. pick only finds where values end: of what it passes over it
// checks strings and the balance of brackets, the rest is the signer's affair.
func pick(object []byte, names ...string) ([][]byte, error) {
	found := make([][]byte, len(names))
	if object == nil {
		return found, nil
	}
	c := cursor{in: object}
	if !c.take('{') {
		return nil, errNotJSON
	}
	for more := !c.take('}'); more; {
		name, value, ok := c.member()
		if !ok {
			return nil, errNotJSON
		}
		for i, want := range names {
			if string(name) == want {
				found[i] = value
			}
		}
		if more = c.take(','); !more && !c.take('}') {
			return nil, errNotJSON
		}
	}
	if c.space(); c.at < len(c.in) {
		return nil, errNotJSON
	}
	return found, nil
}

// decode leaves into as it is for a value that is not there.
func decode(raw []byte, into any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// cursor stands somewhere in a JSON text.
type cursor struct {
	in []byte
	at int
}

func (c *cursor) space() {
	for c.at < len(c.in) && (c.in[c.at] == ' ' || c.in[c.at] == '\n' || c.in[c.at] == '\r' || c.in[c.at] == '\t') {
		c.at++
	}
}

// take steps over one byte behind white space, if it is that one.
func (c *cursor) take(b byte) bool {
	c.space()
	if c.at == len(c.in) || c.in[c.at] != b {
		return false
	}
	c.at++
	return true
}

// member reads a name, without its quotes and with its escapes, and a raw value, nil for null.
func (c *cursor) member() (name, value []byte, ok bool) {
	if !c.take('"') {
		return nil, nil, false
	}
	start := c.at
	if !c.text() {
		return nil, nil, false
	}
	name = c.in[start : c.at-1]
	if !c.take(':') {
		return nil, nil, false
	}
	c.space()
	start = c.at
	if !c.value() {
		return nil, nil, false
	}
	if value = c.in[start:c.at]; string(value) == "null" {
		value = nil
	}
	return name, value, true
}

// text steps behind the quote that ends a string, from anywhere behind the one that began it.
func (c *cursor) text() bool {
	for {
		n := bytes.IndexByte(c.in[c.at:], '"')
		if n < 0 {
			return false
		}
		c.at += n + 1
		escapes := 0
		for ; n > escapes && c.in[c.at-2-escapes] == '\\'; escapes++ {
		}
		if escapes%2 == 0 {
			return true
		}
	}
}

// value steps over one value. It counts brackets instead of calling itself, so that no depth is too deep.
func (c *cursor) value() bool {
	start, depth := c.at, 0
	for c.at < len(c.in) {
		b := c.in[c.at]
		switch {
		case (b == ',' || b == ']' || b == '}' || b <= ' ') && depth == 0:
			return c.at > start // behind a number, true, false or null
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		}
		c.at++
		if b == '"' && !c.text() {
			return false
		}
		if depth == 0 && (b == '"' || b == '}' || b == ']') {
			return true
		}
	}
	return false
}
