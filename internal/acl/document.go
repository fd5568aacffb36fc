// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// document parses b as one YAML document and returns its top mapping, or nil
// when it holds nothing. Every error names a line where YAML knows one.
func document(b []byte) (*yaml.Node, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("file is not UTF-8")
	}
	if flowNesting(b) > maxNesting {
		return nil, fmt.Errorf("collections are nested deeper than %d", maxNesting)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	top, err := nextDocument(decoder)
	if err != nil || top == nil {
		return nil, err
	}
	if top.Kind != yaml.MappingNode {
		return nil, atLine(top, "the file is not a mapping of keys")
	}
	if second, err := nextDocument(decoder); err != nil || second != nil {
		return nil, errors.New("the file holds more than one YAML document; Prow reads only the first")
	}
	return top, nil
}

func nextDocument(d *yaml.Decoder) (*yaml.Node, error) {
	var doc yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
	case len(doc.Content) == 0 || isNull(doc.Content[0]):
		return nil, nil
	}
	return doc.Content[0], nil
}

// lineError is an error with the line it is about.
type lineError struct {
	line int
	msg  string
}

func (e *lineError) Error() string { return e.msg }

func atLine(n *yaml.Node, format string, args ...any) error {
	return &lineError{line: n.Line, msg: fmt.Sprintf(format, args...)}
}

func lineOf(err error) int {
	var at *lineError
	if errors.As(err, &at) {
		return at.line
	}
	// yaml.v3 puts the line at the front of its text: "line 3: …".
	var line int
	if _, scan := fmt.Sscanf(err.Error(), "line %d:", &line); scan != nil {
		return 0
	}
	return line
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// follow resolves an anchor's alias. One step is enough: YAML aliases point at
// anchored nodes, never at aliases, and the schema has a fixed depth, so a bomb
// of aliases is a type error and not an expansion.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// pair is one key of a mapping; the key is as written.
type pair struct {
	key   *yaml.Node
	value *yaml.Node
}

// pairs returns the items of a mapping in source order. Duplicate keys (by
// canon), merge keys and keys that are not text are errors, because Prow keeps
// one of the duplicates and a reader sees the other.
func pairs(n *yaml.Node, canon func(string) string) ([]pair, error) {
	n = follow(n)
	if isNull(n) {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, atLine(n, "want a mapping, found %s", kindName(n))
	}
	var all []pair
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := follow(n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, atLine(key, "a key is %s", kindName(key))
		case key.Tag == "!!merge":
			return nil, atLine(key, "merge keys (<<) are not supported")
		case seen[canon(key.Value)]:
			return nil, atLine(key, "key %q appears twice", clip(key.Value, 80))
		}
		seen[canon(key.Value)] = true
		all = append(all, pair{key, follow(n.Content[i+1])})
	}
	return all, nil
}

func verbatim(s string) string { return s }

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		return fmt.Sprintf("the %s %q", strings.TrimPrefix(n.Tag, "!!"), clip(n.Value, 80))
	default:
		return "an alias"
	}
}

// text reads a scalar as a name. YAML types unquoted digits as numbers; those
// are legal logins, and other numbers, booleans and dates are not text.
func text(n *yaml.Node) (string, error) {
	n = follow(n)
	if n.Kind == yaml.ScalarNode {
		switch {
		case n.Tag == "!!str":
			return n.Value, nil
		case n.Tag == "!!int" && !strings.ContainsAny(n.Value, "+-_xob") && (n.Value == "0" || n.Value[0] != '0'):
			return n.Value, nil
		}
	}
	return "", atLine(n, "want a name, found %s", kindName(n))
}

var (
	yamlTrue  = []string{"true", "yes", "on", "y"}
	yamlFalse = []string{"false", "no", "off", "n"}
)

// boolean reads true or false. The other words of YAML 1.1 count too, because
// Prow's parser knows them and a restriction must not get lost; canonical is
// false for them.
func boolean(n *yaml.Node) (value, canonical bool, err error) {
	n = follow(n)
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 {
		word := strings.ToLower(n.Value)
		switch {
		case isNull(n):
			return false, true, nil
		case slices.Contains(yamlTrue, word):
			return true, word == "true", nil
		case slices.Contains(yamlFalse, word):
			return false, word == "false", nil
		}
	}
	return false, false, atLine(n, "want true or false, found %s", kindName(n))
}
