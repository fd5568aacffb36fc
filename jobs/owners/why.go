// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"sigs.k8s.io/steward/internal/acl"
)

// peopleShown bounds a list of people in text; JSON has them all.
const peopleShown = 12

// writeText tells each explanation as a paragraph: the decision, what decides,
// the walk from the path to the root, and who could help.
func writeText(w io.Writer, all []acl.Explanation) error {
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		writeExplanation(&b, e)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeExplanation(b *strings.Builder, e acl.Explanation) {
	verdict, code := "may", ""
	if !e.Allowed {
		verdict, code = "may not", " ("+e.Code+")"
	}
	line(b, "%s %s approve %s%s", e.User, verdict, e.Path, code)
	line(b, "  because: %s", e.Reason)
	for _, s := range e.Steps {
		writeStep(b, s)
	}
	if e.Mend != "" {
		line(b, "  mend first: %s", e.Mend)
	}
	for _, g := range e.Grants {
		line(b, "  ask: %s by %s (%s)", some(g.People), g.File, strings.Join(g.Names, ", "))
	}
	if e.Commit != "" {
		line(b, "  commit: %s", e.Commit)
	}
}

func writeStep(b *strings.Builder, s acl.Step) {
	at := s.File
	if s.Line > 0 {
		at = fmt.Sprintf("%s:%d", s.File, s.Line)
	}
	filters := ""
	if len(s.Filters) > 0 {
		filters = " [" + strings.Join(s.Filters, " ") + "]"
	}
	line(b, "  %-14s %s%s: %s", s.Outcome, at, filters, s.Note)
}

func some(people []string) string {
	if len(people) <= peopleShown {
		return strings.Join(people, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(people[:peopleShown], ", "), len(people)-peopleShown)
}

// line writes one line, with control characters made visible: names come from
// files that anybody may have written.
func line(b *strings.Builder, format string, args ...any) {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, fmt.Sprintf(format, args...))
	b.WriteString(text)
	b.WriteByte('\n')
}

func writeJSON(w io.Writer, all []acl.Explanation) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Schema       int               `json:"schema"`
		Explanations []acl.Explanation `json:"explanations"`
	}{1, all})
}
