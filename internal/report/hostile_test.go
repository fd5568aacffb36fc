// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"
	"golang.org/x/net/html"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
)

// attacks are what somebody who names a bucket or a record may put into a report.
func attacks() []string {
	return []string{
		`<script>alert(1)</script>`,
		`"><img src=x onerror=alert(1)>`,
		`</title></style></script><svg/onload=alert(1)>`,
		"`|`\n# heading\n\n@kubernetes/sig-x #1 GH-1 https://evil.example www.evil.example [x](https://evil.example) ![x](//evil.example)",
		"]]>", "<![CDATA[ x", "<!ENTITY x SYSTEM \"file:///etc/passwd\">&x;",
		"\x1b[31mred\x1b]0;title\x07\x1b]8;;https://evil.example\x07",
		"a\x00b\x01\x0b\ufffe\uffff\xff\xfe\xed\xa0\x80",
		"\u202egnp.exe\u2066\u009b31m\U000e0041", "--> <!-- steward:owners v1 -->", "</details></summary></table>",
		"{{.}}${x}%s%n", "javascript:alert(1)", "../../../../etc/passwd", "a\r\nb\u2028c",
		strings.Repeat("x", 1<<20), strings.Repeat("<", 1<<16), strings.Repeat("ä|", 1<<12),
	}
}

// attacked is a report whose every text is s.
func attacked(s string) ([]finding.Finding, Options) {
	f := finding.Finding{
		Rule: s, Severity: finding.Error, Object: s, Field: s, File: s, Line: 1, Message: s, Declared: s, Observed: s, Fix: s,
		Owners: []string{s, "alice"}, FirstSeen: morning, LastSeen: morning,
	}
	known, other := f, f
	known.Acknowledged = &finding.Acknowledgement{By: s, Reason: s, Expires: s}
	other.File, other.Object, other.Owners = "dns/OWNERS", "dns/OWNERS", nil
	opts := audited(false)
	opts.Title, opts.Full = s, "https://example.net/report.html"
	opts.Coverage = append(opts.Coverage, finding.Coverage{Part: s, Units: 2, Read: 1, Gaps: []finding.Gap{{Scope: s, Reason: finding.Denied, Detail: s}}})
	return []finding.Finding{f, known, other}, opts
}

// RP-7
func TestAttacks(t *testing.T) {
	checks := map[string]func(testing.TB, string){
		"text": checkText, "json": checkJSON, "markdown": checkMarkdown, "junit": checkJUnit, "sarif": checkSARIF, "html": checkHTML,
	}
	for n, attack := range attacks() {
		all, opts := attacked(attack)
		for _, format := range Formats() {
			t.Run(format+" "+strconv.Itoa(n), func(t *testing.T) {
				got := render(t, format, all, opts)
				checks[format](t, got)
				if len(got) > 1<<20 {
					t.Errorf("%d bytes for three findings", len(got))
				}
			})
		}
	}
	for _, format := range Formats() {
		checks[format](t, render(t, format, community(300), audited(false)))
		checks[format](t, render(t, format, nil, Options{}))
	}
}

// FuzzFormats looks for a text that gets out of its place.
func FuzzFormats(f *testing.F) {
	for _, attack := range attacks() {
		f.Add(attack[:min(len(attack), 2000)])
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return // a finding has a rule, an object and a message
		}
		all, opts := attacked(s)
		checkText(t, render(t, "text", all, opts))
		checkMarkdown(t, render(t, "markdown", all, opts))
		checkJUnit(t, render(t, "junit", all, opts))
		checkSARIF(t, render(t, "sarif", all, opts))
		checkHTML(t, render(t, "html", all, opts))
		checkJSON(t, render(t, "json", all, opts))
	})
}

// checkVisible: nothing drives a terminal, or turns the direction of a line.
func checkVisible(t testing.TB, got string) {
	for _, r := range got {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028') {
			t.Fatalf("%U in the output", r)
		}
	}
}

func checkText(t testing.TB, got string) {
	checkVisible(t, got)
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(line) > 2*proseLimit {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func checkJSON(t testing.TB, got string) {
	checkVisible(t, got)
	if got != render(t, "json", nil, Options{}) {
		parse(t, got)
	}
}

// checkMarkdown: no HTML but ours, no link but to the repository and the report, no
// heading but ours, no mention, and the tables are whole.
func checkMarkdown(t testing.TB, got string) {
	if n := utf8.RuneCountInString(got); n > markdown.Limit {
		t.Errorf("%d characters", n)
	}
	source := []byte(got)
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gmtext.NewReader(source))
	err := ast.Walk(doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.RawHTML:
			if text := string(n.Segments.Value(source)); text != "<br>" {
				t.Errorf("HTML %q", text)
			}
		case *ast.HTMLBlock:
			if text := string(n.Lines().Value(source)); !strings.HasPrefix(text, "<details><summary>") && text != "</details>\n" {
				t.Errorf("HTML %q", text)
			}
		case *ast.Link:
			if to := string(n.Destination); !strings.HasPrefix(to, "https://github.com/kubernetes/k8s.io/") && to != "https://example.net/report.html" {
				t.Errorf("a link to %q", to)
			}
		case *ast.Heading:
			if n.Level != 3 {
				t.Errorf("a heading of level %d", n.Level)
			}
		case *extast.TableRow:
			if n.ChildCount() != 3 {
				t.Errorf("a row of %d cells", n.ChildCount())
			}
		case *ast.AutoLink, *ast.Image, *ast.FencedCodeBlock, *ast.CodeBlock, *ast.Blockquote, *extast.Strikethrough:
			t.Errorf("a %s", n.Kind())
		}
		return ast.WalkContinue, nil
	})
	if err != nil || strings.Contains(got, "<!--") {
		t.Errorf("%v, or a marker", err)
	}
}

type junitSuites struct {
	Tests, Failures, Errors, Skipped int `xml:",attr"`
	Suite                            struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Errors   int `xml:"errors,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Class   string  `xml:"classname,attr"`
			Name    string  `xml:"name,attr"`
			Failure *string `xml:"failure"`
			Error   *string `xml:"error"`
			Skipped *string `xml:"skipped"`
			Out     *string `xml:"system-out"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func junit(t testing.TB, got string) junitSuites {
	var suites junitSuites
	if err := xml.Unmarshal([]byte(got), &suites); err != nil {
		t.Fatalf("%v in\n%.1000s", err, got)
	}
	return suites
}

// checkJUnit: XML by its strict reading, and the numbers are those of the cases.
func checkJUnit(t testing.TB, got string) {
	checkVisible(t, got)
	dec := xml.NewDecoder(strings.NewReader(got))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%.1000s", err, got)
		}
		switch token := token.(type) {
		case xml.Directive, xml.Comment:
			t.Errorf("%T %v", token, token)
		case xml.StartElement:
			if !strings.Contains(" testsuites testsuite testcase failure error skipped system-out ", " "+token.Name.Local+" ") {
				t.Errorf("element %s", token.Name.Local)
			}
		}
	}
	suite := junit(t, got).Suite
	var failures, errs, skipped int
	for _, c := range suite.Cases {
		switch {
		case c.Failure != nil:
			failures++
		case c.Error != nil:
			errs++
		case c.Skipped != nil:
			skipped++
		}
	}
	if len(suite.Cases) != suite.Tests || failures != suite.Failures || errs != suite.Errors || skipped != suite.Skipped {
		t.Errorf("%d tests, %d failures, %d errors, %d skipped are %d, %d, %d, %d",
			suite.Tests, suite.Failures, suite.Errors, suite.Skipped, len(suite.Cases), failures, errs, skipped)
	}
}

// checkHTML: a browser sees the elements that the templates have, no script but
// ours, no handler, no style attribute, and no address that is not a link of ours.
func checkHTML(t testing.TB, got string) {
	checkVisible(t, got)
	doc, err := html.Parse(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	scripts, ids := 0, map[string]bool{}
	for n := range doc.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("comment %q", n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script":
			scripts++
			if n.FirstChild == nil || n.FirstChild.Data != pageScript {
				t.Error("a script that is not ours")
			}
		case "img", "iframe", "object", "embed", "link", "base", "video", "audio", "source", "image", "use", "foreignobject":
			t.Errorf("element %s", n.Data)
		}
		for _, a := range n.Attr {
			checkAttribute(t, n.Data, a, ids)
		}
	}
	if scripts != 1 {
		t.Errorf("%d scripts", scripts)
	}
}

func checkAttribute(t testing.TB, element string, a html.Attribute, ids map[string]bool) {
	switch {
	case a.Key == "href":
		if !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "https://github.com/kubernetes/k8s.io") {
			t.Errorf("%s leads to %.100q", element, a.Val)
		}
	case a.Key == "id":
		if ids[a.Val] {
			t.Errorf("two elements have the id %q", a.Val)
		}
		ids[a.Val] = true
	case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "src", a.Key == "srcset", a.Key == "action":
		t.Errorf("%s has %s=%.100q", element, a.Key, a.Val)
	}
}

// checkSARIF: what the schema of SARIF 2.1.0 requires of the parts that we write.
func checkSARIF(t testing.TB, got string) {
	checkVisible(t, got)
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name           string
					InformationURI string
					Rules          []struct {
						ID                   string
						DefaultConfiguration struct{ Level string }
						Properties           map[string]any
					}
				}
			}
			AutomationDetails struct{ ID string }
			Invocations       []struct {
				ExecutionSuccessful        *bool
				ToolExecutionNotifications []struct {
					Level   string
					Message struct{ Text string }
				}
			}
			ColumnKind string
			Results    []sarifResultRead
		}
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(got)))
	if err := dec.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.HasSuffix(log.Schema, "sarif-2.1.0.json") || len(log.Runs) != 1 {
		t.Fatalf("version %q, schema %q, %d runs", log.Version, log.Schema, len(log.Runs))
	}
	run := log.Runs[0]
	if run.Tool.Driver.Name == "" || run.Tool.Driver.Rules == nil || run.Results == nil || run.ColumnKind != "utf16CodeUnits" ||
		len(run.Invocations) != 1 || run.Invocations[0].ExecutionSuccessful == nil {
		t.Errorf("%+v", run.Tool)
	}
	rules := map[string]bool{}
	for _, r := range run.Tool.Driver.Rules {
		score, err := strconv.ParseFloat(r.Properties["security-severity"].(string), 64)
		if rules[r.ID] || !level(r.DefaultConfiguration.Level) || err != nil || score <= 0 || score > 10 {
			t.Errorf("rule %.100q: twice, or %q, %v", r.ID, r.DefaultConfiguration.Level, r.Properties)
		}
		rules[r.ID] = true
	}
	for _, n := range run.Invocations[0].ToolExecutionNotifications {
		if n.Message.Text == "" || !level(n.Level) {
			t.Errorf("notification %+v", n)
		}
	}
	for _, r := range run.Results {
		if r.RuleIndex < 0 || r.RuleIndex >= len(run.Tool.Driver.Rules) || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("rule %.100q at %d", r.RuleID, r.RuleIndex)
		}
		r.check(t)
	}
}

func level(s string) bool { return s == "error" || s == "warning" || s == "note" || s == "none" }

type sarifResultRead struct {
	RuleID    string
	RuleIndex int
	Level     string
	Message   struct{ Text string }
	Locations []struct {
		PhysicalLocation *struct {
			ArtifactLocation struct{ URI, URIBaseID string }
			Region           *struct{ StartLine int }
		}
		LogicalLocations []struct{ FullyQualifiedName string }
	}
	PartialFingerprints map[string]string
	BaselineState       string
	Suppressions        []struct{ Kind, Status, Justification string }
}

func (r sarifResultRead) check(t testing.TB) {
	if !level(r.Level) || r.Message.Text == "" || len(r.Locations) != 1 || !strings.Contains(" new unchanged  ", " "+r.BaselineState+" ") {
		t.Errorf("%.1000v", r)
	}
	for _, l := range r.Locations {
		if p := l.PhysicalLocation; p != nil {
			uri := p.ArtifactLocation.URI
			if uri == "" || strings.HasPrefix(uri, "/") || strings.Contains(uri, "..") || strings.ContainsAny(uri, " <>\"\\^`{|}\n") ||
				strings.Contains(strings.Split(uri, "/")[0], ":") || p.ArtifactLocation.URIBaseID != "%SRCROOT%" {
				t.Errorf("uri %.100q", uri)
			}
			if p.Region != nil && p.Region.StartLine < 1 {
				t.Errorf("line %d", p.Region.StartLine)
			}
		}
	}
	for _, s := range r.Suppressions {
		if s.Kind != "external" || s.Status != "accepted" || s.Justification == "" {
			t.Errorf("suppression %+v", s)
		}
	}
}
