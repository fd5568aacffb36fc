// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"sigs.k8s.io/steward/internal/finding"
)

func parse(t testing.TB, text string) *Report {
	t.Helper()
	r, err := Parse(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, text)
	}
	return r
}

// RP-20
func TestParseReadsWhatJSONWrites(t *testing.T) {
	opts := audited(false)
	r := parse(t, render(t, "json", drift, opts))
	if r.Title != opts.Title || r.Commit != opts.Commit || !r.Started.Equal(opts.Started) || !r.Ended.Equal(opts.Ended) {
		t.Errorf("%+v", r)
	}
	if !reflect.DeepEqual(r.Coverage, opts.Coverage) || r.Complete() {
		t.Errorf("coverage %+v", r.Coverage)
	}
	sorted := append([]finding.Finding{}, drift...)
	finding.Sort(sorted)
	if !reflect.DeepEqual(r.Findings(), sorted) {
		t.Errorf("got %+v\nwant %+v", r.Findings(), sorted)
	}
	for _, i := range r.Items {
		if i.ID != i.Fingerprint() || i.State != i.Finding.State() || i.Altered {
			t.Errorf("%+v", i)
		}
	}
}

// RP-20: the form that programs of others read.
func TestJSONForm(t *testing.T) {
	var got struct {
		Schema   int
		Complete bool
		Counts   map[string]int
		Findings []map[string]any
	}
	if err := json.Unmarshal([]byte(render(t, "json", append(drift, sample...), audited(true))), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != 1 || !got.Complete || !reflect.DeepEqual(got.Counts, map[string]int{"critical": 1, "error": 2, "warning": 1}) {
		t.Errorf("%+v", got)
	}
	fields := map[string]bool{}
	for _, f := range got.Findings {
		for name := range f {
			fields[name] = true
		}
	}
	for _, name := range []string{"id", "state", "rule", "severity", "visibility", "object", "field", "file", "line", "message",
		"declared", "observed", "fix", "owners", "firstSeen", "lastSeen", "acknowledged"} {
		if !fields[name] {
			t.Errorf("no field %q", name)
		}
		delete(fields, name)
	}
	if len(fields) > 0 {
		t.Errorf("fields that docs/report.md does not have: %v", fields)
	}
	if got := render(t, "json", nil, Options{Title: "lint"}); got != "{\n  \"schema\": 1,\n  \"title\": \"lint\",\n  \"complete\": true,\n  \"counts\": {},\n  \"findings\": []\n}\n" {
		t.Error(got)
	}
}

// Reports of the first schema lack what came later.
func TestParseReadsOldReports(t *testing.T) {
	r := parse(t, `{"schema": 1, "title": "lint", "counts": {"error": 7}, "findings": [
		{"id": "`+sample[0].Fingerprint()+`", "rule": "R-2", "severity": "error", "object": "b", "message": "m", "later": {"x": [1]}}], "later": [{}]}`)
	if len(r.Items) != 1 || !r.Complete() {
		t.Errorf("%+v", r)
	}
}

// RP-21
func TestParseRefuses(t *testing.T) {
	whole := render(t, "json", drift[:1], audited(false))
	id := drift[0].Fingerprint()
	hidden := render(t, "json", []finding.Finding{planted("x")}, Options{})
	tests := map[string]struct{ text, want string }{
		"nothing":               {"", "unexpected EOF"},
		"a list":                {"[]", "want {"},
		"half":                  {whole[:len(whole)/2], "unexpected EOF"},
		"more":                  {whole + "{}", "something follows"},
		"another schema":        {replace(whole, `"schema": 1`, `"schema": 2`), "schema: version 2 is not 1"},
		"no schema":             {replace(whole, `"schema": 1`, `"scheme": 1`), "schema is missing"},
		"no title":              {replace(whole, `"title"`, `"titel"`), "title is missing"},
		"no findings":           {`{"schema": 1, "title": "x"}`, "findings is missing"},
		"two lists":             {replace(whole, `"findings": [`, `"findings": [], "findings": [`), "it stands twice"},
		"a severity of its own": {replace(whole, `"severity": "error"`, `"severity": "fatal"`), `parse severity "fatal"`},
		"no severity":           {replace(whole, `"severity": "error",`, ``), "severity is missing"},
		"a numeric severity":    {replace(whole, `"severity": "error"`, `"severity": 2`), "cannot unmarshal number"},
		"no rule":               {replace(whole, `"rule": "GCS-X"`, `"rule": ""`), "rule, object or message is missing"},
		"a visibility":          {replace(whole, `"object"`, `"visibility": "secret", "object"`), `unknown visibility "secret"`},
		"a negative line":       {replace(whole, `"line": 12`, `"line": -12`), "line -12"},
		"an id of no form":      {replace(whole, id, "../../x"), `malformed id "../../x"`},
		"an id of another":      {replace(whole, id, "0123456789abcdef"), "is not that of its rule, object and field"},
		"another object":        {replace(whole, "gs://b", "gs://c"), "is not that of its rule, object and field"},
		"another value":         {replace(whole, "60 days", "60 years"), "is not that of what it shows"},
		"complete with gaps":    {replace(whole, `"complete": false`, `"complete": true`), "the coverage says otherwise"},
		"a reason":              {replace(whole, `"denied"`, `"bored"`), `unknown reason "bored"`},
		"more read than wanted": {replace(whole, `"read": 409`, `"read": 4090`), "4090 of 412 units"},
		"a part without name":   {replace(whole, `"part": "gcs"`, `"part": ""`), "a part has no name"},
		"a long name":           {replace(whole, `"file": "infra.yaml"`, `"file": "`+strings.Repeat("x", maxName+1)+`"`), "a text of 4097 bytes is longer"},
		"a long text":           {replace(whole, `"fix": "apply"`, `"fix": "`+strings.Repeat("x", maxText+1)+`"`), "a text of 65537 bytes"},
		"many owners":           {replace(whole, `"dora",`, strings.Repeat(`"dora",`, maxOwners)), "more than 200 owners"},
		"many parts":            {replace(whole, `"coverage": [`, `"coverage": [`+strings.Repeat(`{"part":"x"},`, maxParts)), "more than 100 parts"},
		"a time":                {replace(whole, `"started": "2026`, `"started": "noon 2026`), "started: "},
		"private details":       {replace(whole, `"object"`, `"visibility": "private", "object"`), "details of a private finding"},
		"a fix in what is reduced": {replace(hidden, `"object"`, `"fix": "x", "object"`),
			"details of a private finding"},
		"a state in what is reduced": {replace(hidden, `"rule"`, `"state": "x", "rule"`), "a reduced finding has a state"},
		"the id of another private":  {replace(hidden, `"id": "1"`, `"id": "2"`), "its id is not that of its object"},
		"nesting":                    {`{"schema": 1, "title": "x", "later": ` + strings.Repeat("[", 20_000), "exceeded max depth"},
		"an enormous error":          {replace(whole, `"severity": "error"`, `"severity": "`+strings.Repeat("\\u001b", 1<<20)+`"`), "…"},
	}
	for name, tt := range tests {
		if tt.text == whole || tt.text == hidden {
			t.Fatalf("%s: the test changes nothing", name)
		}
		r, err := Parse(strings.NewReader(tt.text))
		if err == nil || r != nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "parse report: ") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		} else if len(err.Error()) > 1000 || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func replace(s, old, by string) string { return strings.Replace(s, old, by, 1) }

// endless is a report that never ends; it counts what is read of it.
type endless struct {
	head string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	for n < len(p) {
		p[n] = ' '
		n++
	}
	e.read += n
	return n, nil
}

// RP-21
func TestParseBoundsWhatItReads(t *testing.T) {
	for name, head := range map[string]string{
		"spaces":      `{"schema": 1,`,
		"one text":    `{"schema": 1, "title": "`,
		"behind it":   `{"schema": 1, "title": "x", "findings": []}`,
		"no JSON end": `{"later": `,
	} {
		e := &endless{head: head}
		_, err := parseWithin(e, 1<<20, MaxFindings)
		if err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if e.read > 1<<20+1 {
			t.Errorf("%s: read %d bytes", name, e.read)
		}
	}
	one := `{"id":"` + finding.Finding{Rule: "r", Object: "o"}.Fingerprint() + `","rule":"r","severity":"info","object":"o","message":"m"}`
	text := `{"schema":1,"title":"x","findings":[` + strings.Repeat(one+",", 99) + one + `]}`
	if _, err := parseWithin(strings.NewReader(text), MaxBytes, 99); err == nil || !strings.Contains(err.Error(), "there are more than 99") {
		t.Errorf("%v", err)
	}
	if r, err := parseWithin(strings.NewReader(text), int64(len(text)), 100); err != nil || len(r.Items) != 100 {
		t.Errorf("%v", err)
	}
}

func TestParseReturnsWhatTheReaderReturns(t *testing.T) {
	text := render(t, "json", drift, audited(false))
	_, err := Parse(io.MultiReader(strings.NewReader(text[:500]), iotest.ErrReader(errBroken)))
	if !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if _, err := Parse(iotest.OneByteReader(strings.NewReader(text))); err != nil {
		t.Error(err)
	}
}

// RP-22: a text beyond the bounds is cut and marked, and the report can be read.
func TestTextsThatDoNotFitAreMarked(t *testing.T) {
	long := finding.Finding{Rule: "R", Object: strings.Repeat("ö", 1<<20), Message: "m", Declared: "\xff", Owners: make([]string, 300)}
	r := parse(t, render(t, "json", []finding.Finding{long, drift[0]}, Options{}))
	if i := r.Items[0]; !i.Altered || i.ID != long.Fingerprint() || len(i.Object) > maxName || !utf8.ValidString(i.Object) || len(i.Owners) != maxOwners {
		t.Errorf("%t, %d bytes, %d owners", i.Altered, len(i.Object), len(i.Owners))
	}
	if r.Items[1].Altered {
		t.Error("a short one is marked")
	}
	opts := Options{Coverage: []finding.Coverage{{Part: "x", Units: 1, Gaps: make([]finding.Gap, maxGaps+5)}}}
	for n := range opts.Coverage[0].Gaps {
		opts.Coverage[0].Gaps[n].Reason = finding.Denied
	}
	if gaps := parse(t, render(t, "json", nil, opts)).Coverage[0].Gaps; len(gaps) != maxGaps || gaps[maxGaps-1].Detail != "6 more gaps are not listed" {
		t.Errorf("%d gaps, the last one %+v", len(gaps), gaps[len(gaps)-1])
	}
}

// text is a random one, with what formats stumble on.
func text(r *rand.Rand, most int) string {
	alphabet := []rune("abc/.:|`*_<>&\"'@#\\{}[] \n\r\t\x00\x1bäß€\u202e\u2028\ufffd\U0001f600")
	var b strings.Builder
	for range r.IntN(most + 1) {
		b.WriteRune(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

func random(r *rand.Rand) finding.Finding {
	f := finding.Finding{
		Rule: "R" + text(r, 5), Severity: finding.Severity(r.IntN(4)), Object: "o" + text(r, 20), Field: text(r, 5), File: text(r, 20),
		Line: r.IntN(100), Message: "m" + text(r, 50), Declared: text(r, 20), Observed: text(r, 20), Fix: text(r, 20),
	}
	for range r.IntN(4) {
		f.Owners = append(f.Owners, text(r, 8))
	}
	if r.IntN(2) == 0 {
		f.FirstSeen = time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
		f.LastSeen = f.FirstSeen.Add(time.Duration(r.Int64N(1e15)))
	}
	if r.IntN(3) == 0 {
		f.Acknowledged = &finding.Acknowledgement{By: text(r, 5), Reason: text(r, 30), Expires: "2027-01-31"}
	}
	return f
}

// RP-20: everything that is public comes back.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		all := make([]finding.Finding, r.IntN(8))
		for n := range all {
			all[n] = random(r)
		}
		got := parse(t, render(t, "json", all, audited(r.IntN(2) == 0)))
		finding.Sort(all)
		if len(all)+len(got.Items) > 0 && !reflect.DeepEqual(got.Findings(), all) {
			t.Fatalf("got %+v\nwant %+v", got.Findings(), all)
		}
	}
}

// indent must do what the standard library does.
func FuzzIndent(f *testing.F) {
	f.Add(render(f, "json", append(drift, sample...), audited(false)))
	f.Add(`{"a":{},"b":[],"c":[{}],"d":"\"{,}:\\"}`)
	f.Fuzz(func(t *testing.T, in string) {
		var v any
		if json.Unmarshal([]byte(in), &v) != nil {
			return
		}
		compact, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got, want bytes.Buffer
		indent(&got, compact, "  ")
		if err := json.Indent(&want, compact, "  ", "  "); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() {
			t.Errorf("got %s\nwant %s", got.String(), want.String())
		}
	})
}

// Whatever is read can be written and read again, and is then the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte(render(f, "json", append(drift, sample...), audited(false))))
	f.Add([]byte(render(f, "json", community(8), audited(true))))
	f.Add([]byte(`{"schema":1,"title":"","findings":[]}`))
	var hidden bytes.Buffer
	if err := WritePrivate(&hidden, "json", sample, Options{}); err != nil {
		f.Fatal(err)
	}
	f.Add(hidden.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := Parse(bytes.NewReader(in))
		if err != nil {
			return
		}
		rewrite := func(r *Report) string {
			var b strings.Builder
			write := Write
			if r.Private {
				write = WritePrivate
			}
			if err := write(&b, "json", r.Findings(), r.Options()); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
		first := rewrite(r)
		if second := rewrite(parse(t, first)); second != first {
			t.Errorf("got\n%s\nwant\n%s", second, first)
		}
		for _, format := range Formats() {
			render(t, format, r.Findings(), r.Options())
		}
	})
}
