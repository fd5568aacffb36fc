// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugins

import (
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// mention is what GitHub would make of plain text: a notification, or a link to
// another thread.
var mention = regexp.MustCompile(`(?i)@[a-z0-9]|#[0-9]|\bgh-[0-9]|\x{202e}`)

var entity = regexp.MustCompile(`&#?\w+;`)

// active renders a body as GitHub does and returns the first thing in it that
// does something, apart from our own links and markers.
func active(body string) string {
	source := []byte(body)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	found := ""
	note := func(what string) { found = what }
	_ = ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the walker returns no error
		switch n := n.(type) {
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.Text:
			plain := entity.ReplaceAllString(string(n.Segment.Value(source)), "")
			if m := mention.FindString(plain); m != "" {
				note("text " + m)
			}
		case *ast.Link:
			if to := string(n.Destination); !strings.HasPrefix(to, "#issuecomment-") && !strings.HasPrefix(to, "https://github.com/example-org/") {
				note("link " + to)
			}
		case *ast.RawHTML:
			if raw := string(n.Segments.Value(source)); raw != "<br>" { // of our tables
				note("HTML " + raw)
			}
		case *ast.Image, *ast.AutoLink:
			note(n.Kind().String())
		case *ast.HTMLBlock:
			if raw := string(n.Lines().Value(source)); !strings.HasPrefix(raw, "<!-- steward:") {
				note("HTML " + raw)
			}
		}
		return ast.WalkContinue, nil
	})
	if strings.Count(body, "<!-- steward:end -->") > 1 {
		note("a second end")
	}
	return found
}
