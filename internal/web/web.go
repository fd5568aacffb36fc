// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package web is the shell of every page that steward writes: one HTML file with
// everything in it, which opens from a disk, a bucket or a server alike.
//
// A page is a Page and a list of Blocks. Blocks write themselves, so a page is
// never held in memory, and everything in them passes html/template. A policy in
// the head forbids whatever the page did not bring along: no request leaves it,
// and no script runs but the one whose hash stands there.
package web

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // for the files below
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var templates = template.Must(template.New("page").Parse(pageSource))

// Page is what surrounds the blocks.
type Page struct {
	Title  string
	Facts  []Fact // below the title: what was read, and when
	Nav    []Link
	Footer string
	// Style and Script come on top of the shell's style and are trusted: what others
	// typed never gets into them.
	Style  template.CSS
	Script template.JS
}

// Fact is a name and its value; with Href the value is a link.
type Fact struct{ Name, Value, Href string }

// Link leads to Href, in this page ("#coverage") or to another.
type Link struct{ Text, Href string }

// Block writes a part of a page's body.
type Block func(io.Writer) error

// Write writes the page. It fails on what w and the blocks return; what was
// written until then is no whole page.
func (p Page) Write(w io.Writer, body ...Block) error {
	out := bufio.NewWriterSize(w, 64<<10)
	p.Style = template.CSS(pageStyle) + p.Style
	top := struct {
		Page
		Policy string
	}{p, policy(string(p.Style), string(p.Script))}
	blocks := append([]Block{named("top", top)}, body...)
	for _, block := range append(blocks, named("bottom", p)) {
		if err := block(out); err != nil {
			return fmt.Errorf("write page %.60q: %w", p.Title, err)
		}
	}
	return out.Flush()
}

// policy allows this style and this script by their hashes, and nothing else:
// neither a style attribute nor a handler that slipped in would do anything.
func policy(style, script string) string {
	scripts := "'none'"
	if script != "" {
		scripts = hash(script)
	}
	return "default-src 'none'; style-src " + hash(style) + "; script-src " + scripts + "; base-uri 'none'; form-action 'none'"
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func named(name string, data any) Block {
	return func(w io.Writer) error { return templates.ExecuteTemplate(w, name, data) }
}

// Template is a block of the caller's own; name is a definition of t.
func Template(t *template.Template, name string, data any) Block {
	return func(w io.Writer) error { return t.ExecuteTemplate(w, name, data) }
}

// Section is a heading that can be linked to as #id, and what stands below it.
func Section(id, heading string, body ...Block) Block {
	return func(w io.Writer) error {
		if err := templates.ExecuteTemplate(w, "section", struct{ ID, Heading string }{id, heading}); err != nil {
			return err
		}
		for _, block := range body {
			if err := block(w); err != nil {
				return err
			}
		}
		_, err := io.WriteString(w, "</section>\n")
		return err
	}
}

// Prose is one paragraph of plain text.
func Prose(text string) Block { return named("prose", text) }

// Cell is one field of a table. Code sets it in the face of names and paths.
type Cell struct {
	Text, Href string
	Code       bool
}

// Table is for lists that are short enough to be read. The first cell of a row
// names the row.
func Table(caption string, columns []string, rows [][]Cell) Block {
	return named("table", struct {
		Caption string
		Columns []string
		Rows    [][]Cell
	}{caption, columns, rows})
}
