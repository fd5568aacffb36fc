// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ack

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func day(text string) time.Time {
	t, err := time.Parse(Day, text)
	if err != nil {
		panic(err)
	}
	return t
}

// fault is a finding, and entry its acknowledgement by dora.
func fault(rule, object string) finding.Finding {
	return finding.Finding{
		Rule: rule, Object: object, Severity: finding.Error, File: "dns/zone.yaml", Message: "differs",
		Declared: "a", Observed: "b", Owners: []string{"dora"},
	}
}

func entry(f finding.Finding) Entry {
	return Entry{
		ID: f.Fingerprint(), State: f.State(), Rule: f.Rule, Object: f.Object, Reason: "the registrar is slow",
		ApprovedBy: "dora", Expires: day("2026-03-01"), Line: 1,
	}
}

// lines is what people do with problems: they read them.
func lines(all []finding.Finding) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s %s %s %s: %s\n", f.Position(), f.Severity, f.Rule, strings.TrimPrefix(f.Object, File), f.Message)
	}
	return b.String()
}

const (
	good = `{id: 0123456789abcdef, state: 0123456701234567, rule: GCS-3, object: "gs://b", reason: r, approvedBy: dora, expires: 2026-03-01}`
	pre  = "audit/acknowledged.yaml"
)

func TestParse(t *testing.T) {
	with := func(old, new string) string { return "- " + strings.Replace(good, old, new, 1) }
	tests := []struct {
		name, file string
		entries    int
		want       string // of the problems
	}{
		{"absent", "", 0, ""},
		{"comments", "# nothing\n", 0, ""},
		{"null", "~", 0, ""},
		{"empty list", "[]", 0, ""},
		{"one", "- " + good, 1, ""},
		{"an address", with("expires", "issue: https://github.com/o/r/issues/1, expires"), 1, ""},
		{"an at sign", with("dora", `"@dora"`), 1, ""},
		{"spaces", with("0123456789abcdef", `" 0123456789abcdef "`), 1, ""},
		{"digits only", with("0123456789abcdef", "0123456789012345"), 1, ""},

		{"ACK-1: not a list", "a: b", 0, pre + ":1 error ACK-1 : want a list of entries\n"},
		{"ACK-1: no YAML", "- {", 0, pre + " error ACK-1 : line 1: did not find expected node content\n"},
		{"ACK-1: two documents", "[]\n---\n[]", 0, pre + " error ACK-1 : there is a second YAML document\n"},
		{"ACK-1: too long", strings.Repeat("#", maxFile+1), 0, pre + " error ACK-1 : 524289 bytes are more than 524288\n"},
		{"ACK-1: an entry that is none", "- x", 0, pre + ":1 error ACK-1 : want a mapping with id, state, rule, object, reason, approvedBy, expires, issue\n"},
		{"ACK-1: an anchor", "- &a " + good + "\n- *a", 0, pre + ":1 error ACK-1 : want a mapping with id, state, rule, object, reason, approvedBy, expires, issue\n" +
			pre + ":2 error ACK-1 : want a mapping with id, state, rule, object, reason, approvedBy, expires, issue\n"},
		{"ACK-1: unknown key", with("reason", "why: x, reason"), 0, pre + ":1 error ACK-1 #0123456789abcdef: unknown key \"why\": want id, state, rule, object, reason, approvedBy, expires, issue\n"},
		{"ACK-1: a key twice", with("reason", "rule: GCS-4, reason"), 0, pre + ":1 error ACK-1 #0123456789abcdef: rule stands twice\n"},
		{"ACK-1: a list", with("reason: r", "reason: [r]"), 0, pre + ":1 error ACK-1 #0123456789abcdef: reason is not a plain text\n"},
		{"ACK-1: a tag", with("reason: r", "reason: !!binary r"), 0, pre + ":1 error ACK-1 #0123456789abcdef: reason is not a plain text\n"},
		{"ACK-1: a refused id", with("id: 0123456789abcdef", "id: ~"), 0, pre + ":1 error ACK-1 : id is not a plain text\n"},
		{"ACK-1: all at once", "-\n  id: 0123456789abcdef\n  reason: ''\n  expires: tomorrow\n  approvedBy: a b", 0,
			pre + ":2 error ACK-1 #0123456789abcdef: state is missing\n" +
				pre + ":2 error ACK-1 #0123456789abcdef: rule is missing\n" +
				pre + ":2 error ACK-1 #0123456789abcdef: object is missing\n" +
				pre + ":3 error ACK-1 #0123456789abcdef: reason \"\" is empty or longer than 500 bytes\n" +
				pre + ":5 error ACK-1 #0123456789abcdef: approvedBy \"a b\" is not a login\n" +
				pre + ":4 error ACK-1 #0123456789abcdef: expires \"tomorrow\" is not a date such as 2026-01-31\n"},
		{"ACK-1: an address of its own", with("expires", "issue: javascript:alert(1), expires"), 0, pre + ":1 error ACK-1 #0123456789abcdef: issue \"javascript:alert(1)\" is not an https address\n"},
		{"ACK-2: an id", with("0123456789abcdef", "xyz"), 0, pre + ":1 error ACK-2 : id \"xyz\" is not an id of 16 hexadecimal digits\n"},
		{"ACK-2: a state", with("0123456701234567,", "0,"), 0, pre + ":1 error ACK-2 #0123456789abcdef: state \"0\" is not a state of 16 hexadecimal digits\n"},
		{"ACK-3: the last day that is allowed", with("2026-03-01", "2026-07-01"), 1, ""},
		{"ACK-3: a day more", with("2026-03-01", "2026-07-02"), 0, pre + ":1 error ACK-3 #0123456789abcdef: expires 2026-07-02 is more than 180 days ahead\n"},
		{"ACK-4: yesterday", with("2026-03-01", "2026-01-01"), 1, pre + ":1 warning ACK-4 #0123456789abcdef: the acknowledgement of GCS-3 of gs://b ended with 2026-01-01\n"},
		{"ACK-5: today", with("2026-03-01", "2026-01-02"), 1, pre + ":1 warning ACK-5 #0123456789abcdef: the acknowledgement of GCS-3 of gs://b ends with 2026-01-02\n"},
		{"ACK-5: two weeks", with("2026-03-01", "2026-01-16"), 1, pre + ":1 warning ACK-5 #0123456789abcdef: the acknowledgement of GCS-3 of gs://b ends with 2026-01-16\n"},
		{"ACK-5: a day more", with("2026-03-01", "2026-01-17"), 1, ""},
		{"ACK-7", "- " + good + "\n- " + good, 1, pre + ":2 error ACK-7 #0123456789abcdef: the id 0123456789abcdef has an entry in line 1 already\n"},
		{"too many", strings.Repeat("- x\n", maxEntries+1), 0, pre + ":1 error ACK-1 : 2001 entries are more than 2000\n"},
	}
	for _, tt := range tests {
		l := Parse([]byte(tt.file), noon)
		if got := lines(l.Problems); got != tt.want || len(l.Entries) != tt.entries {
			t.Errorf("%s: %d entries,\n%swant %d,\n%s", tt.name, len(l.Entries), got, tt.entries, tt.want)
		}
		for _, p := range l.Problems {
			if p.Fix == "" {
				t.Errorf("%s: no fix for %s", tt.name, p.Message)
			}
		}
	}
}

func TestApply(t *testing.T) {
	a, b := fault("GCS-3", "gs://a"), fault("DNS-1", "k8s.io. A")
	worse := a
	worse.Observed = "allUsers"
	hidden := a
	hidden.Visibility = finding.Private
	other := entry(a)
	other.Rule = "GCS-1"
	late := entry(a)
	late.Expires = day("2026-01-01")
	whole := finding.Coverage{Part: "gcs", Units: 1, Read: 1}
	gap := finding.Coverage{Part: "gcs", Units: 2, Read: 1}
	dns := finding.Coverage{Part: "dns", Units: 1, Read: 1}
	tests := []struct {
		name     string
		entry    Entry
		found    []finding.Finding
		coverage []finding.Coverage
		covers   bool
		want     string // rules of the problems
	}{
		{"covered", entry(a), []finding.Finding{a, b}, nil, true, ""},
		{"ACK-4: over", late, []finding.Finding{a}, []finding.Coverage{whole}, false, ""},
		{"ACK-4: over and gone is told once", late, nil, []finding.Coverage{whole}, false, ""},
		{"ACK-6: gone", entry(a), []finding.Finding{b}, []finding.Coverage{whole}, false, "ACK-6"},
		{"ACK-6: gone, as far as was read", entry(a), []finding.Finding{b}, []finding.Coverage{gap}, false, ""},
		{"ACK-6: gone, and its part was not read", entry(a), []finding.Finding{b}, []finding.Coverage{gap, dns}, false, ""},
		{"ACK-6: an unknown part, all is whole", entry(fault("X-1", "x")), nil, []finding.Coverage{whole, dns}, false, "ACK-6"},
		{"ACK-6: an unknown part, not all is whole", entry(fault("X-1", "x")), nil, []finding.Coverage{gap, dns}, false, ""},
		{"ACK-6: nothing was read", entry(a), nil, nil, false, ""},
		{"ACK-6: private", entry(a), []finding.Finding{hidden}, []finding.Coverage{whole}, false, "ACK-6"},
		{"ACK-8: worse", entry(a), []finding.Finding{worse}, []finding.Coverage{whole}, false, "ACK-8"},
		{"ACK-9: mislabelled", other, []finding.Finding{a}, []finding.Coverage{whole}, false, "ACK-9"},
	}
	for _, tt := range tests {
		got := Apply(List{Entries: []Entry{tt.entry}}, tt.found, tt.coverage, noon)
		covered := len(tt.found) > 0 && got[0].Acknowledged != nil
		var rules []string
		for _, p := range got[len(tt.found):] {
			rules = append(rules, p.Rule)
		}
		if covered != tt.covers || strings.Join(rules, " ") != tt.want {
			t.Errorf("%s: covered %t, %s", tt.name, covered, lines(got))
		}
		if len(tt.found) > 0 && tt.found[0].Acknowledged != nil {
			t.Errorf("%s: the argument was changed", tt.name)
		}
	}
}

// What is said about an entry for a private finding is what is said about an entry
// for nothing: otherwise the public report answers guesses.
func TestPrivateFindingsAreNotConfirmed(t *testing.T) {
	hidden := fault("GCS-3", "gs://a")
	hidden.Visibility = finding.Private
	whole := []finding.Coverage{{Part: "gcs", Units: 1, Read: 1}}
	l := List{Entries: []Entry{entry(hidden)}}
	with, without := Apply(l, []finding.Finding{hidden}, whole, noon), Apply(l, nil, whole, noon)
	if lines(with[1:]) != lines(without) || with[0].Acknowledged != nil || fmt.Sprint(with[1].Owners) != fmt.Sprint(without[0].Owners) {
		t.Errorf("%v\n%v", with[1:], without)
	}
	no := func(string, string) bool { return false }
	if with, without := Check(l.Entries, []finding.Finding{hidden}, no), Check(l.Entries, nil, no); lines(with) != lines(without) {
		t.Errorf("%v\n%v", with, without)
	}
}

func TestPart(t *testing.T) {
	for rule, want := range map[string]string{"GCS-3": "gcs", "IMG-3": "images", "IMAGE-TAG": "images", "MANIFEST-1": "images", "ZONE-3": "dns", "DNS-LAME": "dns", "": ""} {
		if got := Part(rule); got != want {
			t.Errorf("Part(%q) = %q, want %q", rule, got, want)
		}
	}
}

func TestAppliedIsAsAcknowledged(t *testing.T) {
	f := fault("GCS-3", "gs://a")
	got := Apply(List{Entries: []Entry{entry(f)}}, []finding.Finding{f}, nil, noon)[0].Acknowledged
	if want := (finding.Acknowledgement{By: "dora", Reason: "the registrar is slow", Expires: "2026-03-01"}); got == nil || *got != want {
		t.Errorf("%v", got)
	}
}

// A problem goes to the owners of what the entry is about.
func TestProblemsAreRouted(t *testing.T) {
	f := fault("GCS-3", "gs://a")
	e := entry(f)
	content, err := Add(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Apply(Parse(content, day("2026-02-25")), []finding.Finding{f}, nil, day("2026-02-25"))[1:] {
		if p.Rule != "ACK-5" || fmt.Sprint(p.Owners) != "[dora]" || p.Line == 0 {
			t.Errorf("%+v", p)
		}
	}
}

func TestCheck(t *testing.T) {
	declared, loose, hidden := fault("GCS-3", "gs://a"), fault("GCS-4", "gs://b"), fault("GCS-5", "gs://c")
	loose.File = ""
	hidden.Visibility = finding.Private
	stale, lying := entry(declared), entry(declared)
	stale.State, lying.Object = "00000000", "gs://harmless"
	asked, none := "", fault("GCS-6", "x").Fingerprint()
	got := Check([]Entry{entry(declared), entry(loose), entry(hidden), entry(fault("GCS-6", "x")), stale, lying},
		[]finding.Finding{declared, loose, hidden}, func(login, path string) bool {
			asked += login + " " + path + "; "
			return path == File || strings.Count(asked, ";") > 2
		})
	if asked != "dora dns/zone.yaml; dora audit/acknowledged.yaml; dora dns/zone.yaml; dora dns/zone.yaml; " {
		t.Error(asked)
	}
	id := " #" + declared.Fingerprint() + ": "
	want := pre + ":1 error ACK-10" + id + "dora may not approve dns/zone.yaml, which the finding is about\n" +
		pre + ":1 error ACK-11 #" + hidden.Fingerprint() + ": no public finding of the latest report has the id " + hidden.Fingerprint() + "\n" +
		pre + ":1 error ACK-11 #" + none + ": no public finding of the latest report has the id " + none + "\n" +
		pre + ":1 warning ACK-8" + id + "GCS-3 of gs://a is not as it was acknowledged: its state is " + declared.State() + ", not 00000000\n" +
		pre + ":1 error ACK-9" + id + "the finding " + declared.Fingerprint() + " is GCS-3 of gs://a, and the entry says GCS-3 of gs://harmless\n"
	if lines(got) != want {
		t.Errorf("%s\nwant\n%s", lines(got), want)
	}
}

// What somebody may not give is taken back, and only that.
func TestEnforce(t *testing.T) {
	good, bad, open := fault("GCS-3", "gs://a"), fault("GCS-4", "gs://b"), fault("GCS-5", "gs://c")
	bad.File = "apps/x"
	l := List{Entries: []Entry{entry(good), entry(bad)}}
	before := Apply(l, []finding.Finding{good, bad, open}, nil, noon)
	got := Enforce(l, before, func(login, path string) bool { return login == "dora" && path == "dns/zone.yaml" })
	if got[0].Acknowledged == nil || got[1].Acknowledged != nil || got[2].Acknowledged != nil || before[1].Acknowledged == nil {
		t.Errorf("%+v", got)
	}
	want := pre + ":1 error ACK-10 #" + bad.Fingerprint() + ": dora may not approve apps/x, which the finding is about, so the entry holds for nothing\n"
	if lines(got[3:]) != want || fmt.Sprint(got[3].Owners) != "[dora]" {
		t.Error(lines(got[3:]))
	}
}

func TestUnbackedAndFresh(t *testing.T) {
	old, other := entry(fault("GCS-3", "gs://a")), entry(fault("GCS-4", "gs://b"))
	renewed := old
	renewed.Expires, old.Line = day("2026-04-01"), 99
	before := List{Entries: []Entry{old, entry(fault("GCS-5", "gone"))}}
	moved := old
	moved.Line = 7
	if fresh := (List{Entries: []Entry{moved, other}}).Fresh(before); len(fresh) != 1 || fresh[0].ID != other.ID {
		t.Errorf("%+v", fresh)
	}
	fresh := (List{Entries: []Entry{renewed}}).Fresh(before)
	if len(fresh) != 1 {
		t.Fatalf("%+v", fresh)
	}
	if got := Unbacked(fresh, func(login string) bool { return login == "dora" }); len(got) != 0 {
		t.Error(got)
	}
	if got := lines(Unbacked(fresh, func(string) bool { return false })); !strings.HasPrefix(got, pre+":1 error ACK-12 #"+old.ID+": dora has neither written nor approved") {
		t.Error(got)
	}
}

func TestAdd(t *testing.T) {
	e := Entry{
		ID: "0123456789abcdef", State: "0123456701234567", Rule: "GCS-3", Object: "gs://b", Reason: "a \"b\"\n# c: [d]", ApprovedBy: "dora",
		Expires: day("2026-03-01"), Issue: "https://github.com/o/r/issues/1#issuecomment-2",
	}
	block := `- id: "0123456789abcdef"
  state: "0123456701234567"
  rule: "GCS-3"
  object: "gs://b"
  reason: "a \"b\" # c: [d]"
  approvedBy: "dora"
  expires: 2026-03-01
  issue: "https://github.com/o/r/issues/1#issuecomment-2"
`
	other := "- id: aaaaaaaaaaaaaaaa # first\n  state: 0123456701234567\n  rule: X\n  object: y\n  reason: |\n    text\n    more\n  approvedBy: a\n  expires: 2026-02-01\n"
	same := "- {id: 0123456789abcdef, state: aaaaaaaaaaaaaaaa, rule: X,\n   object: y, reason: r, approvedBy: a, expires: 2026-02-01}\n"
	tests := []struct{ name, before, after string }{
		{"absent", "", header + "\n" + block},
		{"only comments", "# ours\n", "# ours\n" + block},
		{"no line break at the end", "# ours", "# ours\n" + block},
		{"empty brackets", "# ours\n[] # none\n", "# ours\n" + block + "# none\n"},
		{"after another", "# ours\n" + other + "# end\n", "# ours\n" + other + "# end\n" + block},
		{"indented", "  " + strings.ReplaceAll(other, "\n", "\n  "), "  " + strings.ReplaceAll(other, "\n", "\n  ") + "\n  " + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n  ") + "\n"},
		{"in the place of an older one", "# a\n" + same + "\n# about the next\n" + other, "# a\n" + block + "\n# about the next\n" + other},
		{"in the place of the last one", other + "# b\n" + same + "# end\n", other + "# b\n" + block + "# end\n"},
		{"a dash of its own", "-\n  id: 0123456789abcdef\n  rule: x\n" + other, block + other},
	}
	for _, tt := range tests {
		got, err := Add([]byte(tt.before), e)
		if err != nil || string(got) != tt.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", tt.name, err, got, tt.after)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	e := entry(fault("GCS-3", "gs://a"))
	long := e
	long.Reason = strings.Repeat("x", maxReason+1)
	tests := []struct {
		name, before string
		entry        Entry
		want         string
	}{
		{"no YAML", "- {", e, "audit/acknowledged.yaml: line 1: did not find"},
		{"no list", "a: b", e, "audit/acknowledged.yaml:1: want a list"},
		{"brackets", "[" + good + "]", e, "audit/acknowledged.yaml:1: the list is in brackets"},
		{"brackets on two lines", "[\n]", e, "cannot be added"},
		{"a reason too long", "", long, "reason \"xxx"},
		{"the end of a document", "- " + good + "\n...\n", e, "cannot be added"},
		{"full", strings.Repeat("- "+good+"\n", maxEntries), e, "2001 entries are more than 2000"},
	}
	for _, tt := range tests {
		got, err := Add([]byte(tt.before), tt.entry)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s\n%.300s", tt.name, err, tt.want, got)
		}
	}
}

// Entries that were added one after another are all there, in order, whatever they
// say, and none changes a byte of what was before it.
func TestAddKeepsWhatWasThere(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		words := []string{"a", ": ", "# ", "\"", "'", "- ", "ä", "\U0001f525", "\\", "{", "\t", "%", "@", "|", "\u2028", "~"}
		text := func() string {
			out := "x"
			for range rng.IntN(12) {
				out += words[rng.IntN(len(words))]
			}
			return out + "y"
		}
		var content []byte
		var want []Entry
		for i := range 1 + rng.IntN(8) {
			e := entry(fault("GCS-3", fmt.Sprintf("gs://%d", i)))
			e.Reason, e.Object = oneLine(text()), []string{"", " ", "\n"}[rng.IntN(3)]+text()+"\n "
			before := content
			var err error
			if content, err = Add(content, e); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if !strings.HasPrefix(string(content), string(before)) {
				t.Fatalf("seed %d: %s\nis not the beginning of\n%s", seed, before, content)
			}
			want = append(want, e)
		}
		l := Parse(content, noon)
		if len(l.Problems) > 0 || len(l.Entries) != len(want) {
			t.Fatalf("seed %d: %s\n%s", seed, lines(l.Problems), content)
		}
		for i, e := range l.Entries {
			if !e.equal(want[i]) {
				t.Fatalf("seed %d: %+v, want %+v", seed, e, want[i])
			}
		}
	}
}

// Whatever stands in the file: it is read without a panic, no entry holds that has a
// problem, and what can be added to reads back.
func FuzzAdd(f *testing.F) {
	for _, seed := range []string{
		"", "[]", "# c\n", "- " + good, "- " + good + "\n# c\n- x\n", "a: b", "- &a {id: *a}", "---\n---\n", "-\n - {id: 0123456789abcdef}",
		"- id: 0123456789abcdef\n  reason: |+\n    # no comment\n\n# c\n- {rule: x}\n", "  - id: 0123456789abcdef", "\r\n- id: x\r\n", "? - a\n: b",
	} {
		f.Add([]byte(seed), "a reason")
	}
	f.Fuzz(func(t *testing.T, content []byte, reason string) {
		l := Parse(content, noon)
		for _, e := range l.Entries {
			if !idForm.MatchString(e.ID) || !stateForm.MatchString(e.State) || e.Reason == "" || e.Expires.After(noon.AddDate(0, 0, MaxDays)) {
				t.Fatalf("%+v holds", e)
			}
		}
		e := Entry{ID: "0123456789abcdef", State: "0123456701234567", Rule: "GCS-3", Object: "gs://b", Reason: reason, ApprovedBy: "dora", Expires: day("2026-03-01")}
		added, err := Add(content, e)
		if err != nil {
			return
		}
		// What holds by the file's own text does not depend on the day; that an entry is
		// too long or over does.
		again := Parse(added, e.Expires)
		if got, ok := again.Find(e.ID); !ok || got.Reason != oneLine(reason) {
			t.Fatalf("%q is not in\n%s", reason, added)
		}
	})
}
