// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"sigs.k8s.io/steward/internal/manifest"
)

// ReadInventory tells the comparison what an inventory holds:
//
//	{"REGISTRY/REPOSITORY": {"sha256:HEX": ["TAG", ...], ...}, ...}
//
// What is not in it is not there. Of a source registry of which it has nothing, it says
// nothing. The file is read as a stream, whatever its size, and checked strictly: what is
// not of that shape, and what stands twice, is an error with its place.
func (c *Comparison) ReadInventory(r io.Reader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offline = true
	s := &scanner{in: bufio.NewReaderSize(r, scanBuffer), line: 1}
	var v *visit
	err := s.inventory(
		func(repository []byte) (err error) {
			v, err = c.enter(repository)
			return err
		},
		func(digest []byte) (bool, error) { return v.digest(digest) },
		func(tag, digest []byte) (bool, error) { return v.tag(tag, digest) },
	)
	if err != nil {
		return fmt.Errorf("inventory, line %d: %w", s.line, err)
	}
	return nil
}

// The bounds of what stands between two quotes: twice the longest name of a repository.
const (
	scanBuffer = 64 << 10
	maxText    = 1024
)

// scanner reads JSON of one shape. encoding/json reads it ten times slower, and would
// take twice what stands twice.
type scanner struct {
	in   *bufio.Reader
	line int
	keep [3][maxText]byte // texts that have to outlive the buffer
}

var errShape = errors.New(`is not {"REPOSITORY": {"DIGEST": ["TAG", ...]}}`)

// inventory reads the whole. digest and tag tell whether a name is known; then it is not
// checked again.
func (s *scanner) inventory(repository func([]byte) error, digest func([]byte) (bool, error), tag func(tag, digest []byte) (bool, error)) error {
	err := s.object(0, func(name []byte) error {
		if !manifest.IsRegistry(string(name)) {
			return fmt.Errorf("%.100q is not the name of a repository", name)
		}
		if err := repository(name); err != nil {
			return err
		}
		return s.object(1, func(d []byte) error {
			known, err := digest(d)
			if err == nil && !known && !manifest.IsDigest(string(d)) {
				err = fmt.Errorf("%.100q is not a digest", d)
			}
			if err != nil {
				return err
			}
			return s.tags(func(t []byte) error {
				known, err := tag(t, d)
				if err == nil && !known && !manifest.IsTag(string(t)) {
					err = fmt.Errorf("%.100q is not a tag", t)
				}
				return err
			})
		})
	})
	if err != nil {
		return err
	}
	if _, err := s.next(); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("something follows the inventory"), err)
	}
	return nil
}

// next returns the first byte that is no space.
func (s *scanner) next() (byte, error) {
	for {
		b, err := s.in.ReadByte()
		switch {
		case err != nil:
			return 0, err
		case b == '\n':
			s.line++
		case b != ' ' && b != '\t' && b != '\r':
			return b, nil
		}
	}
}

// want reads a byte that has to be there.
func (s *scanner) want(b byte) error {
	got, err := s.must()
	if err == nil && got != b {
		err = errShape
	}
	return err
}

// must is next where the file must not end.
func (s *scanner) must() (byte, error) {
	b, err := s.next()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// object visits the members of an object. member reads the value.
func (s *scanner) object(depth int, member func(key []byte) error) error {
	if err := s.want('{'); err != nil {
		return err
	}
	return s.members('}', func(quote byte) error {
		key, err := s.text(depth, quote)
		if err == nil {
			err = s.want(':')
		}
		if err != nil {
			return err
		}
		return member(key)
	})
}

// tags visits a list of tags; null is an empty one, as programs in Go write it.
func (s *scanner) tags(visit func([]byte) error) error {
	switch b, err := s.must(); {
	case err != nil:
		return err
	case b == 'n':
		return s.null()
	case b != '[':
		return errShape
	}
	return s.members(']', func(quote byte) error {
		tag, err := s.text(2, quote)
		if err != nil {
			return err
		}
		return visit(tag)
	})
}

func (s *scanner) null() error {
	for _, want := range []byte("ull") {
		if b, err := s.in.ReadByte(); err != nil || b != want {
			return errors.Join(errShape, err)
		}
	}
	return nil
}

// members visits what stands between commas up to the closing byte.
func (s *scanner) members(closing byte, member func(first byte) error) error {
	b, err := s.must()
	if err != nil || b == closing {
		return err
	}
	for {
		if err := member(b); err != nil {
			return err
		}
		switch b, err = s.must(); {
		case err != nil:
			return err
		case b == closing:
			return nil
		case b != ',':
			return errShape
		}
		if b, err = s.must(); err != nil {
			return err
		}
	}
}

// text reads a string whose quote was read. It is good until the next text of the depth.
func (s *scanner) text(depth int, quote byte) ([]byte, error) {
	if quote != '"' {
		return nil, errShape
	}
	into := &s.keep[depth]
	raw, err := s.in.ReadSlice('"')
	switch {
	case errors.Is(err, io.EOF):
		return nil, io.ErrUnexpectedEOF
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		return nil, err
	}
	if n := bytes.IndexByte(raw, '\\'); n >= 0 {
		return s.escaped(into, raw)
	}
	if raw = bytes.TrimSuffix(raw, []byte{'"'}); len(raw) > maxText {
		return nil, errTooLong
	}
	if bytes.IndexByte(raw, '\n') >= 0 {
		return nil, errShape
	}
	return into[:copy(into[:], raw)], nil
}

var errTooLong = fmt.Errorf("a text of more than %d bytes", maxText)

// escaped reads a string with backslashes, of which a part was read.
func (s *scanner) escaped(into *[maxText]byte, part []byte) ([]byte, error) {
	raw := append([]byte{'"'}, part...)
	for !ends(raw) {
		if len(raw) > 6*maxText {
			return nil, errTooLong
		}
		b, err := s.in.ReadByte()
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		raw = append(raw, b)
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, errShape
	}
	if len(text) > maxText {
		return nil, errTooLong
	}
	return into[:copy(into[:], text)], nil
}

// ends tells whether a string is complete: its last quote is no escaped one.
func ends(raw []byte) bool {
	if len(raw) < 2 || raw[len(raw)-1] != '"' {
		return false
	}
	backslashes := 0
	for raw[len(raw)-2-backslashes] == '\\' {
		backslashes++
	}
	return backslashes%2 == 0
}
