// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package markdown

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

func TestCode(t *testing.T) {
	tests := map[string]string{
		"dns/OWNERS":       "`dns/OWNERS`",
		"":                 "(empty)",
		"a`b":              "``a`b``",
		"`x`":              "`` `x` ``",
		"a\nb":             "`a b`",
		"a\u202eb\x00":     "`a\ufffdb\ufffd`",
		"<!-- steward:x -": "`<!‐- steward:x -`",
	}
	for in, want := range tests {
		if got := Code(in); got != want {
			t.Errorf("Code(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Cell("a|b"); got != "`a\\|b`" {
		t.Errorf("Cell = %q", got)
	}
}

func TestLoginsCountsTheRest(t *testing.T) {
	if got := Logins([]string{"a", "b", "c"}, 2); got != "`a`, `b` and 1 more" {
		t.Error(got)
	}
}

func TestClipKeepsTheLimitAndTheNote(t *testing.T) {
	long := strings.Repeat("zeile ä\n", 100)
	got := Clip(long, 120, "(cut)")
	if n := utf8.RuneCountInString(got); n > 120 || !strings.HasSuffix(got, "\n(cut)") {
		t.Errorf("%d runes, %q", n, got)
	}
	if Clip("short", 120, "(cut)") != "short" {
		t.Error("a short text was cut")
	}
}

// What was typed must come out as one inline code span or as plain text, with
// nothing else around it, in CommonMark with GitHub's extensions.
func FuzzEscapes(f *testing.F) {
	for _, seed := range []string{"@kubernetes/sig-x", "`<!-- -->`", "[a](http://x)", "#12", "<img src=x>", "a\\`b", "https://x.y", "www.example.com", "* x", "|"} {
		f.Add(seed)
	}
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	f.Fuzz(func(t *testing.T, in string) {
		if strings.Contains(Code(in), "<!--") || strings.Contains(Text(in), "<!--") {
			t.Fatal("a marker survived")
		}
		source := []byte("x " + Code(in) + " y " + Text(in) + " z")
		doc := md.Parser().Parse(text.NewReader(source))
		err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			switch n.Kind() {
			case ast.KindDocument, ast.KindParagraph, ast.KindText, ast.KindString, ast.KindCodeSpan:
			default:
				t.Errorf("%q renders a %s", in, n.Kind())
			}
			return ast.WalkContinue, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny([]byte(Text(in)), "\n\r") {
			t.Error("a line break survived")
		}
	})
}
