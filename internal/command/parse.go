// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// The bounds of commands (rule C-4).
const (
	MaxLines = 20  // commands in one comment
	MaxLine  = 512 // bytes of one command line
)

// Prefix begins the canonical form of every command.
const Prefix = "/infra"

// commonMark is CommonMark with two extensions of GitHub that decide whether a
// line is plain text of a paragraph. The third, tables, is not used: goldmark
// fills each short row up to the width of the header, so that 64 KiB can take a
// minute. What could be a table is found by delimiterRow instead.
var commonMark = goldmark.New(goldmark.WithExtensions(extension.Strikethrough, extension.Footnote)).Parser()

// Parse returns the commands of a comment in order, by the rules C-1 to C-5 of
// docs/commands.md. Aliases maps short names without the slash to verbs. Parse
// never fails: what is not a command is not there, and a command that may not be
// run carries its Fault.
func Parse(body string, aliases map[string]string) []Line {
	if !mayHold(body, aliases) {
		return nil
	}
	var lines []Line
	for _, raw := range Plain(body) {
		line, ok := parseLine(raw, aliases)
		if !ok {
			continue
		}
		if len(lines) == MaxLines {
			fault := fmt.Sprintf("only the first %d commands of a comment are run: put the rest into another comment", MaxLines)
			return append(lines, Line{Raw: clip(raw), Verb: line.Verb, Fault: fault})
		}
		lines = append(lines, line)
	}
	return lines
}

// mayHold spares most comments the Markdown parser.
func mayHold(body string, aliases map[string]string) bool {
	for line := range strings.FieldsFuncSeq(body, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if _, ok := parseLine(line, aliases); ok {
			return true
		}
	}
	return false
}

// parseLine reads a line that is known to be plain text. Only the space and the
// tab separate words, so a look-alike is part of a word (rule C-3).
func parseLine(raw string, aliases map[string]string) (Line, bool) {
	indent := len(raw) - len(strings.TrimLeft(raw, " "))
	if indent > 3 || indent == len(raw) || raw[indent] != '/' {
		return Line{}, false
	}
	raw = strings.Trim(raw, " \t")
	words := strings.FieldsFunc(raw, func(r rune) bool { return r == ' ' || r == '\t' })
	first := lowerASCII(words[0])
	line := Line{Raw: raw, Verb: "help"}
	switch verb, ok := aliases[first[1:]]; {
	case ok:
		line.Verb, line.Args = verb, words[1:]
	case first != Prefix:
		return Line{}, false
	case len(words) > 1:
		line.Verb, line.Args = lowerASCII(words[1]), words[2:]
	}
	if len(raw) > MaxLine {
		fault := fmt.Sprintf("the line has %d bytes, and a command has at most %d", len(raw), MaxLine)
		return Line{Raw: clip(raw), Verb: line.Verb, Fault: fault}, true
	}
	for i, arg := range line.Args {
		line.Args[i] = unquote(arg)
	}
	return line, true
}

// Split reads a line again, with a verb of two words where known says there is one:
// `drift accept ID` has the verb "drift accept" then, and ID is its first argument.
func (l Line) Split(known func(verb string) bool) Line {
	if len(l.Args) > 0 && !strings.Contains(l.Verb, " ") {
		if verb := l.Verb + " " + lowerASCII(l.Args[0]); known(verb) {
			l.Verb, l.Args = verb, l.Args[1:]
		}
	}
	return l
}

// unquote takes a pair of backticks off a word: people write paths as code.
func unquote(word string) string {
	inner := strings.TrimSuffix(strings.TrimPrefix(word, "`"), "`")
	if len(inner) != len(word)-2 || inner == "" || strings.Contains(inner, "`") {
		return word
	}
	return inner
}

// lowerASCII folds A to Z only. Unicode folding would make other words equal to
// ours: the Kelvin sign folds to k, the long s to s.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// clip keeps a faulty line short enough to be shown.
func clip(raw string) string {
	const shown = 80
	if len(raw) <= shown {
		return raw
	}
	return strings.ToValidUTF8(raw[:shown], "") + "…"
}

// Plain returns the lines of a comment that begin as plain text of a top-level
// paragraph, outside of every HTML element (rule C-2), indentation included. A
// comment beyond the bounds of C-4 has none.
func Plain(body string) []string {
	if excessive(body) {
		return nil
	}
	// CommonMark 2.1: a lone carriage return ends a line, too. goldmark knows
	// line feeds only.
	source := []byte(strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n"))
	var (
		lines []string
		html  openElements
	)
	doc := commonMark.Parse(text.NewReader(source), parser.WithContext(parser.NewContext()))
	for block := doc.FirstChild(); block != nil; block = block.NextSibling() {
		switch block := block.(type) {
		case *ast.HTMLBlock:
			html.read(blockSource(block, source))
		case *ast.Paragraph:
			lines = append(lines, paragraphLines(block, source, &html)...)
		}
	}
	return lines
}

func blockSource(b *ast.HTMLBlock, source []byte) string {
	raw := b.Lines().Value(source)
	if b.HasClosure() {
		raw = append(raw, b.ClosureLine.Value(source)...)
	}
	return string(raw)
}

// paragraphLines walks the inline nodes in order. A line that begins inside a
// code span, a link, an emphasis or a tag does not begin in a text node that is
// the paragraph's own child.
func paragraphLines(p *ast.Paragraph, source []byte, html *openElements) []string {
	var lines []string
	end := tableStart(p, source)
	for node := p.FirstChild(); node != nil; node = node.NextSibling() {
		t, ok := node.(*ast.Text)
		if !ok {
			html.readInline(node, source)
			continue
		}
		if start, ok := lineStart(source, t.Segment.Start); ok && !html.any() && t.Segment.Start < end {
			lines = append(lines, lineAt(source, start))
		}
	}
	return lines
}

// delimiterRow is the second line of a table.
var delimiterRow = regexp.MustCompile(`^[ \t|:-]*-[ \t|:-]*$`)

// tableStart is the offset at which a table may begin in the paragraph: at the
// line above one that could be a delimiter row. Without one it is the end.
func tableStart(p *ast.Paragraph, source []byte) int {
	lines := p.Lines()
	for i := 1; i < lines.Len(); i++ {
		row := lines.At(i)
		if delimiterRow.Match(bytes.TrimRight(row.Value(source), "\n")) {
			return lines.At(i - 1).Start
		}
	}
	return len(source)
}

// lineStart returns the offset of the line in which only spaces and tabs stand
// before at.
func lineStart(source []byte, at int) (start int, ok bool) {
	for start = at; start > 0 && source[start-1] != '\n'; start-- {
		if c := source[start-1]; c != ' ' && c != '\t' {
			return 0, false
		}
	}
	return start, true
}

func lineAt(source []byte, start int) string {
	line, _, _ := strings.Cut(string(source[start:]), "\n")
	return line
}
