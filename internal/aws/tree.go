// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// tree is an answer in either notation: objects, lists and texts. A path into it is names with dots between; lists are
// gone through on the way, so that "Reservations.Instances" are all instances.
type tree map[string]any

const maxDepth = 64

// parseJSON reads an answer; none at all is an empty object.
func parseJSON(raw []byte) (tree, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return tree{}, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var t map[string]any
	if err := d.Decode(&t); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return t, nil
}

// parseXML reads an answer below its XResponse and XResult elements. An element with elements is an object, one that
// comes again a list, one with text a text.
func parseXML(raw []byte) (tree, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		value, err := element(d, 0)
		if err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		root, _ := value.(map[string]any) // an empty element is an empty answer
		if result, ok := root[strings.TrimSuffix(start.Name.Local, "Response")+"Result"]; ok {
			root, _ = result.(map[string]any)
		}
		return root, nil
	}
}

func element(d *xml.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	var text strings.Builder
	var fields map[string]any
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			value, err := element(d, depth+1)
			if err != nil {
				return nil, err
			}
			if fields == nil {
				fields = map[string]any{}
			}
			add(fields, token.Name.Local, value)
		case xml.EndElement:
			if fields != nil {
				return fields, nil
			}
			return strings.TrimSpace(text.String()), nil
		}
	}
}

func add(fields map[string]any, name string, value any) {
	switch old := fields[name].(type) {
	case nil:
		fields[name] = value
	case []any:
		fields[name] = append(old, value)
	default:
		fields[name] = []any{old, value}
	}
}

// values returns what is at a path, lists taken apart.
func values(v any, path string) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var all []any
		for _, each := range v {
			all = append(all, values(each, path)...)
		}
		return all
	case tree:
		return values(map[string]any(v), path)
	}
	if path == "" {
		return []any{v}
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	name, rest, _ := strings.Cut(path, ".")
	return values(fields[name], rest)
}

// all returns the objects at a path.
func (t tree) all(path string) []tree {
	var found []tree
	for _, v := range values(t, path) {
		if fields, ok := v.(map[string]any); ok {
			found = append(found, fields)
		}
	}
	return found
}

// texts returns the texts at a path.
func (t tree) texts(path string) []string {
	var found []string
	for _, v := range values(t, path) {
		switch v := v.(type) {
		case string:
			found = append(found, v)
		case json.Number:
			found = append(found, v.String())
		case bool:
			found = append(found, strconv.FormatBool(v))
		}
	}
	return found
}

// text returns the first text at a path, or "".
func (t tree) text(path string) string {
	if found := t.texts(path); len(found) > 0 {
		return found[0]
	}
	return ""
}

// time reads a date in any of the forms in use: RFC 3339, the one of Lambda, seconds and milliseconds since 1970. What is
// none of them is zero, and the age of the object then counts from when it was first seen.
func (t tree) time(path string) time.Time {
	text := t.text(path)
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700"} {
		if at, err := time.Parse(form, text); err == nil {
			return at
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < 1e14) { // NaN is neither
		return time.Time{}
	}
	if seconds > 1e11 { // the year 5138 in seconds, 1973 in milliseconds
		seconds /= 1e3
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}

// tags reads a list of {Key, Value} in any spelling, or an object.
func (t tree) tags(path string) map[string]string {
	found := map[string]string{}
	for _, one := range t.all(path) {
		key, value, named := "", "", false
		for name, v := range one {
			text, _ := v.(string) // a value may be left out
			switch strings.ToLower(name) {
			case "key", "tagkey":
				key, named = text, true
			case "value", "tagvalue":
				value = text
			}
		}
		if named {
			found[key] = value
			continue
		}
		for name, v := range one {
			if text, ok := v.(string); ok {
				found[name] = text
			}
		}
	}
	return found
}
