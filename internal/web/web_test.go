// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func write(t testing.TB, p Page, body ...Block) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b, body...); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func elements(t testing.TB, page, name string) []*html.Node {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// The policy has the hashes of exactly what stands in the page, and lets nothing
// else in.
func TestPolicy(t *testing.T) {
	sum := func(s string) string {
		h := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
	}
	for _, script := range []template.JS{"", "let a = 1 < 2 && '</';\n"} {
		page := write(t, Page{Title: "x", Style: ".a > .b::before { content: \"\\2039 &\" }\n", Script: script})
		var policy string
		for _, m := range elements(t, page, "meta") {
			if attr(m, "http-equiv") == "Content-Security-Policy" {
				policy = attr(m, "content")
			}
		}
		style := elements(t, page, "style")[0].FirstChild.Data
		scripts := "'none'"
		if script != "" {
			scripts = sum(elements(t, page, "script")[0].FirstChild.Data)
		} else if len(elements(t, page, "script")) > 0 {
			t.Error("a script from nowhere")
		}
		want := "default-src 'none'; style-src " + sum(style) + "; script-src " + scripts + "; base-uri 'none'; form-action 'none'"
		if policy != want {
			t.Errorf("got  %s\nwant %s", policy, want)
		}
	}
}

// A page that a conversation could be: everything others typed is text.
func TestBlocks(t *testing.T) {
	const typed = `</style></title><script>alert(1)</script>"'` + "`"
	own := template.Must(template.New("x").Parse(`{{define "say"}}<blockquote>{{.}}</blockquote>{{end}}`))
	page := write(t, Page{
		Title: typed, Footer: typed,
		Facts: []Fact{{Name: typed, Value: typed}, {Name: "n", Value: "v", Href: "javascript:alert(1)"}},
		Nav:   []Link{{typed, "#a"}, {"x", "javascript:alert(1)"}},
	},
		Section("a", typed, Prose(typed), Template(own, "say", typed),
			Table(typed, []string{typed, "b"}, [][]Cell{{{Text: typed}, {Text: typed, Href: "data:text/html,x", Code: true}}})),
		Bars(typed, []Bar{{Label: typed, Parts: []Part{{"error", 1}, {typed, 5}}}}),
		Sparkline(typed, []int{1, 2}, typed),
	)
	if n := len(elements(t, page, "script")); n != 0 {
		t.Errorf("%d scripts in\n%s", n, page)
	}
	for _, a := range elements(t, page, "a") {
		if href := attr(a, "href"); href != "#main" && href != "#a" && href != "#ZgotmplZ" {
			t.Errorf("link to %q", href)
		}
	}
	for _, name := range []string{"h1", "h2", "figcaption", "footer", "blockquote"} {
		if got := words(elements(t, page, name)[0]); got != typed {
			t.Errorf("%s shows %q", name, got)
		}
	}
	if got := words(elements(t, page, "table")[0]); strings.Count(got, typed) != 4 {
		t.Errorf("the table shows %q", got)
	}
}

// What the colours of a plot say stands beside them in words.
func TestBars(t *testing.T) {
	page := write(t, Page{}, Bars("c", []Bar{
		{"one", []Part{{"error", 3}, {"info", 1}}},
		{"two", []Part{{"error", 2}, {"info", 0}}},
		{"nothing", []Part{{"error", -7}}},
		{"alone", []Part{{"plain", 1}}},
	}))
	var got, rects []string
	for _, tr := range elements(t, page, "tr") {
		got = append(got, words(tr))
	}
	for _, r := range elements(t, page, "rect") {
		rects = append(rects, attr(r, "class")+" "+attr(r, "x")+" "+attr(r, "width"))
	}
	want := "one 4 (3 error, 1 info)|two 2 (2 error)|nothing 0|alone 1"
	if strings.Join(got, "|") != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want = "fill-error 0.00% 75.00%|fill-info 75.00% 25.00%|fill-error 0.00% 50.00%|fill-plain 0.00% 25.00%"
	if strings.Join(rects, "|") != want {
		t.Errorf("got %q, want %q", rects, want)
	}
	for _, kind := range Kinds() {
		if !strings.Contains(pageStyle, ".fill-"+kind+" ") || strings.Count(pageStyle, "--fill-"+kind+":") != 2 {
			t.Errorf("kind %s has no colour for light and dark", kind)
		}
	}
}

func TestSparkline(t *testing.T) {
	for _, tt := range []struct {
		values []int
		want   string
	}{
		{nil, ""},
		{[]int{7}, "3.0,3.0"},
		{[]int{0, 0}, "3.0,37.0 297.0,37.0"},
		{[]int{0, 5, 10}, "3.0,37.0 150.0,20.0 297.0,3.0"},
		{[]int{-3, 2}, "3.0,37.0 297.0,3.0"},
	} {
		page := write(t, Page{}, Sparkline("c", tt.values, "in words"))
		if got := attr(elements(t, page, "polyline")[0], "points"); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.values, got, tt.want)
		}
		if svg := elements(t, page, "svg")[0]; attr(svg, "role") != "img" || attr(svg, "aria-label") != "in words" {
			t.Error("the plot has no text")
		}
	}
}

func TestErrorsAreReturned(t *testing.T) {
	fault := errors.New("the data ended")
	for name, body := range map[string][]Block{
		"block":   {func(io.Writer) error { return fault }},
		"section": {Section("a", "b", func(io.Writer) error { return fault })},
	} {
		if err := (Page{Title: "t"}).Write(io.Discard, body...); !errors.Is(err, fault) || !strings.HasPrefix(err.Error(), `write page "t": `) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Page{}).Write(failing{fault}); !errors.Is(err, fault) {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What is read has the contrast that WCAG 2 asks of text, 4.5 to 1, in light and dark.
func TestContrast(t *testing.T) {
	light, dark, ok := strings.Cut(pageStyle, "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("there is no dark scheme")
	}
	for scheme, style := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{3,6});`).FindAllStringSubmatch(style, -1) {
			colors[m[1]] = luminance(t, m[2])
		}
		for _, ink := range []string{"ink", "soft", "link", "critical", "error", "warning", "info"} {
			for _, ground := range []string{"paper", "card", "tint", "mark", "minus", "plus", "alarm"} {
				a, b := colors[ink]+.05, colors[ground]+.05
				if ratio := max(a, b) / min(a, b); ratio < 4.5 {
					t.Errorf("%s: %s on %s has a contrast of %.2f", scheme, ink, ground, ratio)
				}
			}
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// The shell refers to nothing outside of the page.
func TestNothingIsLoaded(t *testing.T) {
	for _, text := range []string{pageStyle, pageSource} {
		for _, loads := range []string{"url(", "@import", "http:", "https:", "src=", "<link"} {
			if strings.Contains(text, loads) {
				t.Errorf("the shell has %q", loads)
			}
		}
	}
}
