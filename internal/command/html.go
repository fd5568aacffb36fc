// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// openElements counts the HTML elements that are open at a place of a comment.
// CommonMark ends an HTML block at an empty line, so what stands between
// <details> and </details> is a paragraph like any other to its parser; to the
// reader it is folded away, and a command there must not fire.
type openElements map[string]int

// enclosing lists the elements that GitHub keeps in comments and that go on
// until they are closed. Paragraphs, items and cells end by themselves; all other
// elements are stripped or empty.
var enclosing = []string{
	"a", "abbr", "b", "bdo", "blockquote", "center", "cite", "code", "del", "details", "dfn", "div", "dl", "em",
	"figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "i", "ins", "kbd", "mark", "ol", "picture", "pre",
	"q", "ruby", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "summary", "sup", "table",
	"tt", "ul", "var", "video",
}

// tag matches a comment or a tag with its quoted attributes. An unfinished one
// reaches to the end, so that it cannot hide an element it opens.
var tag = regexp.MustCompile(`(?s)<!--.*?(?:-->|$)|<(/?)([A-Za-z][A-Za-z0-9-]*)(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^'">])*>?`)

// read follows the tags in a piece of raw HTML. A closing tag without its
// opening one is ignored, an element that is never closed stays open: in doubt,
// nothing fires.
func (open *openElements) read(html string) {
	for _, m := range tag.FindAllStringSubmatch(html, -1) {
		name := strings.ToLower(m[2])
		if !slices.Contains(enclosing, name) {
			continue
		}
		if *open == nil {
			*open = openElements{}
		}
		if m[1] == "" {
			(*open)[name]++
		} else if (*open)[name] > 0 {
			(*open)[name]--
		}
	}
}

// readInline follows the tags at and below an inline node.
func (open *openElements) readInline(node ast.Node, source []byte) {
	if raw, ok := node.(*ast.RawHTML); ok {
		open.read(string(raw.Segments.Value(source)))
	}
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		open.readInline(child, source)
	}
}

func (open openElements) any() bool {
	for _, n := range open {
		if n > 0 {
			return true
		}
	}
	return false
}
