// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The bounds of freeze.yaml.
const (
	maxFile    = 64 << 10 // bytes
	maxEntries = 200
	maxReason  = 500 // bytes
)

// dateOnly is RFC 3339's full-date.
const dateOnly = "2006-01-02"

// parseFile reads a list of {scope, reason, until}. Until is a time of RFC 3339
// or a date, which is part of the freeze: it ends with the day, in UTC. An entry
// that cannot be understood freezes everything, and so does the whole file.
func parseFile(file []byte, scopes Scopes, now time.Time) ([]Freeze, []error) {
	list, err := entries(file)
	if err != nil {
		return []Freeze{broken(err, 0)}, []error{err}
	}
	var freezes []Freeze
	var errs []error
	for _, node := range list {
		f, err := parseEntry(node, scopes)
		if err != nil {
			errs = append(errs, err)
			f = broken(err, node.Line)
		}
		if f.Until.IsZero() || now.Before(f.Until) {
			freezes = append(freezes, f)
		}
	}
	return freezes, errs
}

func broken(err error, line int) Freeze {
	return Freeze{Scope: All, Folders: []string{root}, Reason: err.Error(), Line: line, Fault: true}
}

func problem(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", File, line, fmt.Errorf(format, args...))
}

// entries returns the list's nodes; none for an absent or empty file.
func entries(file []byte) ([]*yaml.Node, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", File, len(file), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(file))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %s", File, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is a second YAML document", File)
	}
	list := doc.Content[0]
	switch {
	case list.Kind == yaml.ScalarNode && list.Tag == "!!null":
		return nil, nil
	case list.Kind != yaml.SequenceNode:
		return nil, problem(list.Line, "want a list of {scope, reason, until}")
	case len(list.Content) > maxEntries:
		return nil, problem(list.Line, "%d entries are more than %d", len(list.Content), maxEntries)
	}
	return list.Content, nil
}

// parseEntry reads one mapping of plain strings. There are no anchors, merges or
// tags: what a freeze says must stand where it is read.
func parseEntry(node *yaml.Node, scopes Scopes) (Freeze, error) {
	if node.Kind != yaml.MappingNode || node.Anchor != "" {
		return Freeze{}, problem(node.Line, "want a mapping with scope and reason")
	}
	fields := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		_, twice := fields[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains([]string{"scope", "reason", "until"}, key.Value):
			return Freeze{}, problem(key.Line, "unknown key %.40q: want scope, reason, until", key.Value)
		case twice:
			return Freeze{}, problem(key.Line, "%s stands twice", key.Value)
		case value.Kind != yaml.ScalarNode || value.Anchor != "" || value.Tag == "!!null":
			return Freeze{}, problem(value.Line, "%s is not a plain text", key.Value)
		}
		fields[key.Value] = value.Value
	}
	return entryOf(fields, node.Line, scopes)
}

func entryOf(fields map[string]string, line int, scopes Scopes) (Freeze, error) {
	f := Freeze{Scope: fields["scope"], Reason: strings.TrimSpace(fields["reason"]), Line: line}
	var known bool
	if f.Folders, known = scopes.Folders(f.Scope); !known {
		return Freeze{}, problem(line, "unknown scope %.40q: want one of %s", f.Scope, strings.Join(scopes.Names(), ", "))
	}
	if f.Reason == "" || len(f.Reason) > maxReason {
		return Freeze{}, problem(line, "the reason is empty or longer than %d bytes", maxReason)
	}
	text, set := fields["until"]
	if !set {
		return f, nil
	}
	var err error
	if f.Until, err = time.Parse(time.RFC3339, text); err == nil {
		return f, nil
	}
	day, err := time.Parse(dateOnly, text)
	if err != nil {
		return Freeze{}, problem(line, "until %.40q is neither a date such as 2026-01-31 nor a time such as 2026-01-31T18:00:00Z", text)
	}
	f.Until = day.AddDate(0, 0, 1)
	return f, nil
}
