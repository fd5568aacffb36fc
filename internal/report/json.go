// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/finding"
)

// jsonHead is the report without its findings, which follow one by one.
type jsonHead struct {
	Schema       int                `json:"schema"`
	Title        string             `json:"title"`
	Commit       string             `json:"commit,omitempty"`
	Private      bool               `json:"private,omitempty"`
	Started      time.Time          `json:"started,omitzero"`
	Ended        time.Time          `json:"ended,omitzero"`
	Complete     bool               `json:"complete"`
	Counts       map[string]int     `json:"counts"` // by severity, of findings nobody acknowledged
	Acknowledged int                `json:"acknowledged,omitempty"`
	Coverage     []finding.Coverage `json:"coverage,omitempty"`
}

// writeJSON keeps to the bounds of Parse, so that what was written can be read.
func writeJSON(w *bufio.Writer, s *sheet) error {
	var buf bytes.Buffer
	if err := encode(&buf, "", s.jsonHead()); err != nil {
		return err
	}
	w.WriteString(strings.TrimSuffix(buf.String(), "\n}") + ",\n  \"findings\": [")
	for n, i := range s.items {
		item := bound(*i)
		if i.Visibility == finding.Public || s.private {
			item.State = i.Finding.State()
		}
		if err := encode(&buf, "    ", item); err != nil {
			return fmt.Errorf("finding %s: %w", i.ID, err)
		}
		if n > 0 {
			w.WriteByte(',')
		}
		w.WriteString("\n    ")
		w.Write(buf.Bytes())
	}
	if len(s.items) > 0 {
		w.WriteString("\n  ")
	}
	w.WriteString("]\n}\n")
	return nil
}

// encode replaces what buf holds by the JSON of v, indented behind prefix.
func encode(buf *bytes.Buffer, prefix string, v any) error {
	buf.Reset()
	var compact bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	indent(buf, escapeInvisible(bytes.TrimSuffix(compact.Bytes(), []byte("\n"))), prefix)
	return nil
}

// escapeInvisible writes what an encoder leaves and a terminal obeys as \uXXXX: JSON
// is read by people as well.
func escapeInvisible(compact []byte) []byte {
	if !bytes.ContainsFunc(compact, invisible) {
		return compact
	}
	var out []byte
	for _, r := range string(compact) { // in strings only: the rest of JSON is visible
		switch {
		case !invisible(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, "\\u%04x\\u%04x", high, low)
		default:
			out = fmt.Appendf(out, "\\u%04x", r)
		}
	}
	return out
}

// indent is json.Indent for what an encoder wrote. It takes a third of the time,
// because it does not parse again; and large reports consist of it.
func indent(buf *bytes.Buffer, compact []byte, prefix string) {
	depth := 0
	line := func() {
		buf.WriteByte('\n')
		buf.WriteString(prefix)
		for range depth {
			buf.WriteString("  ")
		}
	}
	for i := 0; i < len(compact); i++ {
		switch c := compact[i]; c {
		case '"':
			end := i + stringEnd(compact[i:])
			buf.Write(compact[i:end])
			i = end - 1
		case '{', '[':
			buf.WriteByte(c)
			if next := compact[i+1]; next == '}' || next == ']' {
				buf.WriteByte(next)
				i++
				continue
			}
			depth++
			line()
		case '}', ']':
			depth--
			line()
			buf.WriteByte(c)
		case ',':
			buf.WriteByte(c)
			line()
		case ':':
			buf.WriteString(": ")
		default:
			buf.WriteByte(c)
		}
	}
}

// stringEnd is behind the quote that ends the string with which s begins.
func stringEnd(s []byte) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(s)
}

func (s *sheet) jsonHead() jsonHead {
	t := tallyOf(s.items)
	head := jsonHead{
		Schema: SchemaVersion, Title: fit(s.Title, maxName), Commit: fit(s.Commit, maxName), Private: s.private,
		Started: s.Started, Ended: s.Ended, Complete: finding.Complete(s.Coverage),
		Counts: map[string]int{}, Acknowledged: t.acknowledged,
	}
	for severity, n := range t.open {
		if n > 0 {
			head.Counts[finding.Severity(severity).String()] = n
		}
	}
	for _, c := range s.Coverage {
		head.Coverage = append(head.Coverage, boundCoverage(c))
	}
	return head
}

// boundCoverage lists as many gaps as Parse takes. The last one then tells how many
// there are besides.
func boundCoverage(c finding.Coverage) finding.Coverage {
	c.Part = fit(c.Part, maxName)
	gaps := c.Gaps
	c.Gaps = nil
	for i, g := range gaps {
		if i == maxGaps-1 && len(gaps) > maxGaps {
			c.Gaps = append(c.Gaps, finding.Gap{Scope: "more", Reason: finding.TooLarge, Detail: fmt.Sprintf("%d more gaps are not listed", len(gaps)-i)})
			break
		}
		c.Gaps = append(c.Gaps, finding.Gap{Scope: fit(g.Scope, maxName), Reason: g.Reason, Detail: fit(g.Detail, maxText)})
	}
	return c
}

// bound cuts texts to what Parse takes, and marks the item as altered where a text
// does not come out as it went in.
func bound(i Item) Item {
	whole := true
	text := func(s *string, most int) {
		cut := fit(*s, most)
		whole = whole && cut == *s
		*s = cut
	}
	for _, s := range []*string{&i.Rule, &i.Object, &i.Field, &i.File} {
		text(s, maxName)
	}
	for _, s := range []*string{&i.Message, &i.Declared, &i.Observed, &i.Fix} {
		text(s, maxText)
	}
	if a := i.Acknowledged; a != nil {
		cut := *a
		text(&cut.By, maxName)
		text(&cut.Reason, maxText)
		text(&cut.Expires, maxName)
		i.Acknowledged = &cut
	}
	owners := i.Owners[:min(len(i.Owners), maxOwners)]
	whole = whole && len(owners) == len(i.Owners)
	i.Owners = nil
	for _, o := range owners {
		text(&o, maxName)
		i.Owners = append(i.Owners, o)
	}
	i.Altered = i.Altered || !whole
	return i
}

// fit makes valid UTF-8 of at most most bytes.
func fit(s string, most int) string {
	if len(s) > most {
		end := most - len("…")
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}
