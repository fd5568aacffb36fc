// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
)

// RP-12: without owners it is the table that a comment about OWNERS files has.
func TestMarkdown(t *testing.T) {
	got := render(t, "markdown", sample[:2], Options{Title: "lint", Commit: "c0ffee0"})
	want := "**lint**: 1 error, 1 warning\n" +
		"\n| where | what | rule |\n|---|---|---|\n" +
		"| `b:3` | error: broken \\| \ufffd\\[2J<br>fix: mend it | R-2 |\n" +
		"| `a` | warning: odd @\u2060team | R-1 |\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// RP-12, RP-5, RP-6
func TestMarkdownOfAnAudit(t *testing.T) {
	opts := audited(false)
	opts.Links, opts.Full = "", "https://example.net/report.html"
	got := render(t, "markdown", append(slices.Clone(drift), sample[2]), opts)
	want := "**audit run**: 1 critical, 1 error, 1 acknowledged; incomplete: 3 of 517 units not read whole\n" +
		"\n**Incomplete.** What was not read is neither there nor missing.\n" +
		"\nRead 2026-11-25 06:00 UTC, in 4m12s, commit `0f9c2a7d5e0b41c8a6f1d9e3b7c2850f4a6e9d1c`.\n" +
		"\n### `alice`\n\n| where | what | rule |\n|---|---|---|\n" +
		"| `private:1` | critical: details are in the private report | R-9 |\n" +
		"\n### `alice`, `dora`\n\n| where | what | rule |\n|---|---|---|\n" +
		"| `infra.yaml:12` | `gs://b lifecycle`<br>error: it differs (since 3 days)<br>declared `60 days`, observed nothing<br>fix: apply | GCS-X<br>`" + drift[0].Fingerprint() + "` |\n" +
		"| `infra.yaml:4` | `gs://a`<br>warning: it is not declared<br>declared nothing, observed `exists`<br>acknowledged by dora until 2027-01-31: moves | GCS-X |\n" +
		"\n### Not read\n\n- `gcs` 409 of 412 units, 4211 objects\n" +
		"- `gcs` `projects/k8s-infra-sandbox`: denied, storage.buckets.list is not granted\n" +
		"- `gcs` `gs://k8s-release-dev iam`: throttled, 429 over 5 attempts\n- `gcs` `gs://k8s-conform iam`: timed-out\n" +
		"\n[The whole report](https://example.net/report.html)\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// RP-13: whatever there is, it fits, every set of owners that fits has rows, and what
// is shown and what is left out make up all.
func TestMarkdownFits(t *testing.T) {
	more := regexp.MustCompile(`(?m)^And (\d+) more: |^Not shown: (.*) of \d+ more sets? of owners`)
	for _, limit := range []int{0, 3000, 10_000, 300_000} {
		for _, n := range []int{1, 50, 1000, 5000} {
			opts := audited(false)
			opts.Limit, opts.Full = limit, "https://example.net/report.html"
			got := render(t, "markdown", community(n), opts)
			if limit == 0 {
				limit = markdown.Limit
			}
			if length := utf8.RuneCountInString(got); length > limit || strings.Contains(got, "does not fit") {
				t.Errorf("%d findings: %d characters are more than %d, or clipped", n, length, limit)
			}
			if strings.Count(got, "<details>") != strings.Count(got, "</details>") {
				t.Errorf("%d findings in %d: a fold does not end", n, limit)
			}
			rows := strings.Count(got, "\n| ") - strings.Count(got, "\n| where")
			for _, m := range more.FindAllStringSubmatch(got, -1) {
				left, err := strconv.Atoi(m[1])
				if err != nil {
					t.Fatal(err)
				}
				rows += left
			}
			if rows != n {
				t.Errorf("%d findings in %d: %d are shown or counted", n, limit, rows)
			}
		}
	}
}

// RP-13
func TestMarkdownOfManyOwners(t *testing.T) {
	all := community(500)
	for n := range all {
		all[n].Owners = []string{fmt.Sprintf("owner%03d", n)}
	}
	got := render(t, "markdown", all, Options{Title: "x"})
	if strings.Count(got, "\n### ") != groupsShown || !strings.Contains(got, "of 460 more sets of owners.\n") || len(got) > markdown.Limit {
		t.Errorf("%d bytes, %d groups, ends with %s", len(got), strings.Count(got, "\n### "), got[len(got)-200:])
	}
	if tiny := render(t, "markdown", all, Options{Title: "x", Limit: 500}); utf8.RuneCountInString(tiny) > 500 {
		t.Errorf("%d characters", len(tiny))
	}
}

// RP-12: worst first, acknowledged last.
func TestGroupsOrder(t *testing.T) {
	groups := public(community(200), audited(true)).groups()
	if len(groups) != 5 {
		t.Fatalf("%d groups", len(groups))
	}
	for n, g := range groups {
		if n > 0 && groups[n-1].tally.open[finding.Critical] < g.tally.open[finding.Critical] {
			t.Errorf("group %v stands behind a better one", g.owners)
		}
		if !slices.IsSortedFunc(g.items, worstFirst) || !slices.IsSorted(g.owners) {
			t.Errorf("group %v is not sorted", g.owners)
		}
	}
}

func TestAllot(t *testing.T) {
	tests := []struct {
		needs  []int
		budget int
		want   []int
	}{
		{[]int{10, 10}, 30, []int{10, 10}},
		{[]int{100, 1, 100}, 61, []int{30, 1, 30}},
		{[]int{5}, -3, []int{0}},
		{nil, 7, []int{}},
		{[]int{1, 2, 3, 100}, 50, []int{1, 2, 3, 44}},
	}
	for _, tt := range tests {
		if got := allot(tt.needs, tt.budget); !slices.Equal(got, tt.want) {
			t.Errorf("allot(%v, %d) = %v, want %v", tt.needs, tt.budget, got, tt.want)
		}
	}
}

// RP-30, RP-31, RP-5
func TestJUnit(t *testing.T) {
	all := append(slices.Clone(drift), finding.Finding{Rule: "GCS-X", Severity: finding.Info, Object: "gs://c", Message: "note"},
		finding.Finding{Rule: "GCS-X", Severity: finding.Warning, Object: "gs://b", Field: "iam", Message: "a second one"}, sample[2])
	suite := junit(t, render(t, "junit", all, audited(false))).Suite
	got := map[string]string{}
	for _, c := range suite.Cases {
		outcome, text := "passed", c.Out
		switch {
		case c.Failure != nil:
			outcome, text = "failed", c.Failure
		case c.Error != nil:
			outcome, text = "error", c.Error
		case c.Skipped != nil:
			outcome, text = "skipped", c.Skipped
		}
		if text == nil || *text == "" {
			t.Errorf("%s says nothing", c.Name)
			continue
		}
		got[c.Class+" "+c.Name] = outcome + ": " + *text
	}
	for name, want := range map[string]string{
		"summary audit run":                       "passed: 1 critical, 1 error, 1 warning, 1 info, 1 acknowledged; incomplete: 3 of 517 units not read whole",
		"coverage coverage/gcs":                   "error: gcs 409 of 412 units, 4211 objects",
		"coverage coverage/dns":                   "passed: dns 9 units, 1204 objects",
		"gcs coverage/projects/k8s-infra-sandbox": "error: denied: storage.buckets.list is not granted",
		"GCS-X gs://a":                            "skipped: infra.yaml:4: warning: it is not declared (new)\n- declared: (nothing)\n+ observed: exists\nacknowledged by dora until 2027-01-31: moves\nowners: dora, alice\nid: " + drift[1].Fingerprint(),
		"GCS-X gs://b": "failed: infra.yaml:12: error: lifecycle: it differs (since 3 days)\n- declared: 60 days\n+ observed: (nothing)\nfix: apply\nowners: dora, alice\nid: " + drift[0].Fingerprint() +
			"\ngs://b: warning: iam: a second one\nid: " + all[3].Fingerprint(),
		"GCS-X gs://c":  "passed: gs://c: info: note\nid: " + all[2].Fingerprint(),
		"R-9 private:1": "failed: private:1: critical: details are in the private report\nowners: alice\nid: 1",
	} {
		if got[name] != want {
			t.Errorf("%s\ngot  %q\nwant %q", name, got[name], want)
		}
	}
	if suite.Tests != 11 || suite.Failures != 2 || suite.Errors != 4 || suite.Skipped != 1 {
		t.Errorf("%d tests, %d failures, %d errors, %d skipped", suite.Tests, suite.Failures, suite.Errors, suite.Skipped)
	}
}

// RP-30: a row that is green tomorrow as well.
func TestJUnitOfACleanRun(t *testing.T) {
	suite := junit(t, render(t, "junit", nil, Options{Title: "owners lint"})).Suite
	if len(suite.Cases) != 1 || suite.Cases[0].Name != "owners lint" || suite.Cases[0].Out == nil || suite.Failures+suite.Errors+suite.Skipped != 0 {
		t.Errorf("%+v", suite)
	}
}

func TestJUnitBoundsACase(t *testing.T) {
	all := make([]finding.Finding, 1000)
	for n := range all {
		all[n] = finding.Finding{Rule: "R", Severity: finding.Error, Object: "o", Field: strconv.Itoa(n), Message: "m"}
	}
	suite := junit(t, render(t, "junit", all, Options{Title: "x"})).Suite
	if text := *suite.Cases[1].Failure; len(suite.Cases) != 2 || strings.Count(text, "id: ") != findingsInCase || !strings.HasSuffix(text, "and 950 more") {
		t.Errorf("%d cases, %s", len(suite.Cases), text[len(text)-100:])
	}
}

type sarifRead struct {
	Runs []struct {
		Tool        struct{ Driver struct{ Rules []sarifRule } }
		Invocations []sarifInvocation
		Versions    []sarifVersion `json:"versionControlProvenance"`
		Results     []sarifResultRead
	}
}

func readSARIF(t testing.TB, all []finding.Finding, opts Options) sarifRead {
	var log sarifRead
	if err := json.Unmarshal([]byte(render(t, "sarif", all, opts)), &log); err != nil {
		t.Fatal(err)
	}
	return log
}

// RP-32
func TestSARIF(t *testing.T) {
	run := readSARIF(t, append(slices.Clone(drift), sample...), audited(false)).Runs[0]
	if len(run.Tool.Driver.Rules) != 4 || run.Tool.Driver.Rules[0].ID != "GCS-X" || run.Tool.Driver.Rules[0].Properties.Severity != "8.0" {
		t.Errorf("%+v", run.Tool.Driver.Rules)
	}
	if run.Invocations[0].Successful || len(run.Invocations[0].Notifications) != 4 || run.Versions[0].Repository != "https://github.com/kubernetes/k8s.io" {
		t.Errorf("%+v %+v", run.Invocations, run.Versions)
	}
	for _, r := range run.Results {
		at := r.Locations[0].PhysicalLocation
		switch r.Locations[0].LogicalLocations[0].FullyQualifiedName {
		case "gs://b lifecycle":
			if r.Level != "error" || at.ArtifactLocation.URI != "infra.yaml" || at.Region.StartLine != 12 || r.BaselineState != "unchanged" ||
				r.PartialFingerprints["steward/v1"] != drift[0].Fingerprint() || r.Suppressions == nil || len(r.Suppressions) != 0 {
				t.Errorf("%+v", r)
			}
			if r.Message.Text != "lifecycle: it differs\nDeclared: 60 days\nObserved: (nothing)\nFix: apply" {
				t.Error(r.Message.Text)
			}
		case "gs://a":
			if r.BaselineState != "new" || len(r.Suppressions) != 1 || r.Suppressions[0].Justification != "acknowledged by dora until 2027-01-31: moves" {
				t.Errorf("%+v", r)
			}
		case "private:1":
			if at != nil || r.PartialFingerprints != nil || r.BaselineState != "" {
				t.Errorf("%+v", r)
			}
		case "a":
			if at.Region != nil || r.Level != "warning" || r.BaselineState != "" {
				t.Errorf("%+v", r)
			}
		}
	}
	if got := render(t, "sarif", sample, Options{}); strings.Contains(got, "suppressions") || strings.Contains(got, "versionControl") {
		t.Error("what nobody asked for")
	}
}

// RP-32: code scanning refuses more, so the worst are kept and the others counted.
func TestSARIFBounds(t *testing.T) {
	all := make([]finding.Finding, resultsInSARIF+5000)
	for n := range all {
		all[n] = finding.Finding{Rule: "R", Severity: finding.Severity(n % 2), Object: "o", Message: "m"}
	}
	got := render(t, "sarif", all, Options{})
	levels := []int{strings.Count(got, `"level": "warning",`), strings.Count(got, `"level": "note",`)}
	if !slices.Equal(levels, []int{len(all)/2 + 1, resultsInSARIF - len(all)/2}) || !strings.Contains(got, "5000 more findings are not here") {
		t.Errorf("%d warnings and notes", levels)
	}
}

func document(t testing.TB, page string) *html.Node {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// class returns the elements of a class.
func class(doc *html.Node, name string) []*html.Node {
	var all []*html.Node
	for n := range doc.Descendants() {
		if slices.Contains(strings.Fields(attr(n, "class")), name) {
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

// RP-33, RP-5, RP-6, RP-8, RP-9
func TestHTML(t *testing.T) {
	doc := document(t, render(t, "html", append(slices.Clone(drift), sample...), audited(false)))
	var rows []string
	for _, n := range class(doc, "f") {
		rows = append(rows, words(n))
	}
	want := []string{
		"critical R-9 private:1 details are in the private report",
		"error R-2 b broken | \ufffd[2J Fix: mend it b:3 " + sample[0].Fingerprint(),
		"warning R-1 a odd @team a " + sample[1].Fingerprint(),
		"error GCS-X gs://b lifecycle it differs Fix: apply declared 60 days observed (nothing) infra.yaml:12 3 days " + drift[0].Fingerprint(),
		"warning GCS-X gs://a it is not declared acknowledged by dora until 2027-01-31: moves declared (nothing) observed exists infra.yaml:4 new " + drift[1].Fingerprint(),
	}
	if !slices.Equal(rows, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
	var owners []string
	for _, n := range class(doc, "group") {
		for s := range n.Descendants() {
			if s.Data == "summary" {
				owners = append(owners, words(s))
			}
		}
	}
	if want := []string{"alice 1 critical", "nobody in OWNERS 1 error, 1 warning", "alice, dora 1 error, 1 acknowledged"}; !slices.Equal(owners, want) {
		t.Errorf("groups %q, want %q", owners, want)
	}
	for n := range doc.Descendants() {
		if words(n) == "infra.yaml:12" && n.Data == "a" && attr(n, "href") != "https://github.com/kubernetes/k8s.io/blob/0f9c2a7d5e0b41c8a6f1d9e3b7c2850f4a6e9d1c/infra.yaml#L12" {
			t.Errorf("link %s", attr(n, "href"))
		}
	}
	if box := class(doc, "alarm"); len(box) != 1 || !strings.Contains(words(box[0]), "projects/k8s-infra-sandbox gcs denied storage.buckets.list is not granted") {
		t.Errorf("%d boxes", len(box))
	}
}

// RP-33: what a person chooses exists, and has a label and a rule in the style sheet.
func TestHTMLFilters(t *testing.T) {
	page := render(t, "html", community(300), audited(true))
	doc := document(t, page)
	style := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
	var counts, controls []string
	for n := range doc.Descendants() {
		switch n.Data {
		case "input", "select":
			if n.Parent.Data != "label" {
				t.Errorf("%s %s has no label", n.Data, attr(n, "id"))
			}
			controls = append(controls, attr(n, "id"))
		case "option":
			if id := attr(n, "value"); id != "" && (!strings.Contains(style, "option[value="+id+"]:checked") || len(class(doc, id)) == 0) {
				t.Errorf("%q chooses nothing", words(n))
			}
		case "label":
			counts = append(counts, words(n))
		case "th":
			if attr(n, "scope") == "" {
				t.Errorf("header %q of nothing", words(n))
			}
		}
	}
	for _, want := range []string{"k-all", "k-critical", "k-error", "k-warning", "k-info", "k-acknowledged", "owner", "rule", "text"} {
		if !slices.Contains(controls, want) {
			t.Errorf("no %s", want)
		}
	}
	tally := tallyOf(public(community(300), Options{}).items)
	for kind, n := range map[string]int{"all": 300, "critical": tally.open[finding.Critical], "acknowledged": tally.acknowledged} {
		if !slices.Contains(counts, fmt.Sprintf("%d %s", n, kind)) {
			t.Errorf("no count %d %s in %q", n, kind, counts)
		}
	}
}

// RP-34
func TestHTMLBounds(t *testing.T) {
	page := render(t, "html", community(10_000), audited(true))
	doc := document(t, page)
	rows := len(class(doc, "f"))
	if rows != rowsInPage || len(page) > 4<<20 {
		t.Errorf("%d rows, %d bytes", rows, len(page))
	}
	left := 0
	for _, n := range class(doc, "more") {
		m := regexp.MustCompile(`And (\d+) more`).FindStringSubmatch(words(n))
		number, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		left += number
	}
	if rows+left != 10_000 {
		t.Errorf("%d rows and %d left out", rows, left)
	}
	for _, kind := range kinds() {
		if len(class(doc, "k-"+kind)) < 50 {
			t.Errorf("only %d rows of kind %s", len(class(doc, "k-"+kind)), kind)
		}
	}
	if !strings.Contains(page, `id="left-out"`) || !strings.Contains(page, "These are too many for one page. Left out: ") {
		t.Error("the page does not say that it leaves something out")
	}

	heavy := community(5000)
	for n := range heavy {
		heavy[n].Message, heavy[n].Fix = strings.Repeat("<ä", 1<<12), strings.Repeat("&", 1<<12)
	}
	if page := render(t, "html", heavy, audited(true)); len(page) < bytesOfRows || len(page) > bytesOfRows+1<<20 {
		t.Errorf("%d bytes", len(page))
	}
}

func TestHTMLWithoutFindings(t *testing.T) {
	if got := render(t, "html", nil, audited(true)); !strings.Contains(got, "There is nothing to mend.") || strings.Contains(got, "<form") ||
		strings.Contains(got, "url(") || strings.Contains(got, "@import") {
		t.Error(got)
	}
	if got := render(t, "html", nil, audited(false)); !strings.Contains(got, "No findings in what was read") || strings.Contains(got, "nothing to mend") {
		t.Error(got)
	}
}
