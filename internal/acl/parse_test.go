// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/spell"
)

// O-2: what a strict file may look like, and at which line it fails.
func TestParseOwners(t *testing.T) {
	for _, c := range []struct {
		name, text string
		code       string // of the fault that denies
		line       int
	}{
		{"empty", "", "", 0},
		{"comment only", "# nothing\n", "", 0},
		{"plain", "approvers: [a]\n", "", 0},
		{"null lists", "approvers:\nreviewers: []\noptions:\n", "", 0},
		{"numeric login", "approvers: [123]\n", "", 0},
		{"anchors of lists", "filters:\n  a: {approvers: &x [a]}\n  b: {approvers: *x}\n", "", 0},
		{"emeritus", "approvers: [a]\nemeritus_approvers: [b]\n", "", 0},
		{"scalar", "approvers\n", CodeMalformed, 1},
		{"list", "- a\n", CodeMalformed, 1},
		{"octal login", "approvers:\n- 0123\n", CodeMalformed, 2},
		{"float login", "approvers:\n- 1e3\n", CodeMalformed, 2},
		{"boolean login", "approvers:\n- a\n- true\n", CodeMalformed, 3},
		{"date", "approvers: [2024-01-01]\n", CodeMalformed, 1},
		{"mapping in list", "approvers:\n- a: b\n", CodeMalformed, 2},
		{"merge key", "a: &a {approvers: [x]}\n<<: *a\n", CodeMalformed, 2},
		{"folded duplicate", "approvers: [a]\nApprovers: [b]\n", CodeMalformed, 2},
		{"duplicate filter", "filters:\n  a: {approvers: [x]}\n  a: {approvers: [y]}\n", CodeMalformed, 3},
		{"options as list", "options: [no_parent_owners]\n", CodeMalformed, 1},
		{"quoted boolean", "options:\n  no_parent_owners: 'true'\n", CodeMalformed, 2},
		{"filter without mapping", "filters:\n  a: [x]\n", CodeMalformed, 2},
		{"filters as list", "filters: [a]\n", CodeMalformed, 1},
		{"empty filter", "filters:\n  '': {approvers: [x]}\n", CodePattern, 2},
		{"mixed", "labels: [x]\nfilters:\n  a: {}\n", CodeMixed, 1},
		{"unclosed", "approvers: [a\n", CodeMalformed, 1},
		{"tab", "approvers:\n\t- a\n", CodeMalformed, 2},
		{"not UTF-8", "approvers: [\xff]\n", CodeMalformed, 0},
		{"two documents", "approvers: [a]\n---\napprovers: [b]\n", CodeMalformed, 0},
		{"long pattern", "filters:\n  " + strings.Repeat("a", 600) + ": {}\n", CodePattern, 2},
		{"large pattern", "filters:\n  " + strings.Repeat("x{999}", 20) + ": {}\n", CodePattern, 2},
		{"many filters", "filters:\n" + strings.Repeat("  a: {}\n", 300), CodeMalformed, 0},
		{"many entries", "approvers: [" + strings.Repeat("a,", 6000) + "]\n", CodeMalformed, 1},
	} {
		f := parseOwners([]byte(c.text))
		code, line := "", 0
		if f.denies != nil {
			code, line = f.denies.code, f.denies.line
		}
		if code != c.code || c.line != 0 && line != c.line {
			t.Errorf("%s: %q in line %d, want %q in line %d (%+v)", c.name, code, line, c.code, c.line, f.faults)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	f := parseOwners([]byte("aprovers: [x]\noptions: {no_parent_owner: true, auto_approve_unowned_subfolders: 3}\nfilters: {'(': {approver: [a]}}\n"))
	var got []string
	for _, x := range f.faults {
		got = append(got, x.code+" "+x.fix)
	}
	want := []string{
		CodeUnknownKey + " did you mean approvers?", CodeUnknownKey + " did you mean no_parent_owners?",
		CodeMalformed + " mend the file; until then it denies everything below its directory",
		CodePattern + " mend the regular expression (Go RE2 syntax)", CodeUnknownKey + " did you mean approvers?",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestFrontMatter(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"none", "# title\n", ""},
		{"no owners", "---\ntitle: x\n---\n", ""},
		{"owners", "---\ntitle: x\napprovers: [a]\n---\ntext\n---\n", "a"},
		{"not closed", "---\napprovers: [a]\n", ""},
		{"not at the start", "\n---\napprovers: [a]\n---\n", ""},
		{"longer rule inside", "---\napprovers: [a]\n----\n---\n", "broken"},
		{"malformed", "---\napprovers: [a\n---\n", "broken"},
		{"filters are not read", "---\nfilters: {x: {approvers: [a]}}\n---\n", ""},
	} {
		got := ""
		if f := parseFrontMatter([]byte(c.text)); f != nil && f.denies != nil {
			got = "broken"
		} else if f != nil {
			got = f.sections[0].approvers[0].name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// O-10: which aliases files are whole.
func TestParseAliases(t *testing.T) {
	for _, c := range []struct {
		name, text string
		whole      bool
	}{
		{"empty", "", true},
		{"no aliases", "aliases:\n", true},
		{"list, nothing, mapping", "aliases: {a: [x], b: , c: {x, y}}\n", true},
		{"foreign key", "aliases: {a: [x]}\nother: 1\n", true},
		{"scalar group", "aliases: {a: x}\n", false},
		{"number as member", "aliases: {a: [1]}\n", false},
		{"nested mapping", "aliases: {a: {b: [x]}}\n", false},
		{"list of groups", "aliases: [a]\n", false},
		{"twice by case", "aliases: {Team: [x], team: [y]}\n", false},
		{"conflict markers", "aliases:\n<<<<<<< ours\n  a: [x]\n=======\n  a: [y]\n>>>>>>> theirs\n", false},
		{"truncated", "aliases:\n  a: [x,\n", false},
	} {
		a := parseAliases([]byte(c.text))
		if (a.broken == nil) != c.whole {
			t.Errorf("%s: broken %+v", c.name, a.broken)
		}
		if a.broken != nil && len(a.groups)+len(a.of) > 0 {
			t.Errorf("%s: a broken file grants", c.name)
		}
	}
}

// O-11: who can be a login.
func TestIsLogin(t *testing.T) {
	whole := parseAliases([]byte("aliases: {crew: [ann]}\n"))
	broken := parseAliases([]byte("aliases:\n  crew: ann\n  other:\n  - stp-ip\n  - dave # x\n"))
	for _, c := range []struct {
		name          string
		whole, broken bool
	}{
		{"ann", true, false}, // stands beside a key in the broken file
		{"dave", true, true}, {"eve", true, true}, {"stp-ip", true, true},
		{"other-one", true, false}, {"crew", false, false},
		{"sig-x", false, false}, {"dns-admins", false, false}, {"k8s-ci-robot", true, false},
		{"a_b", false, false}, {"a.b", false, false}, {"-a", false, false}, {"", false, false}, {"a b", false, false},
		{"old-", true, false}, {"dependabot[bot]", true, true}, {strings.Repeat("a", 40), false, false},
	} {
		if got := whole.isLogin(c.name); got != c.whole {
			t.Errorf("%q with aliases: %t", c.name, got)
		}
		if got := broken.isLogin(c.name); got != c.broken {
			t.Errorf("%q with broken aliases: %t", c.name, got)
		}
	}
}

func TestKeysAreSuggested(t *testing.T) {
	for word, want := range map[string]string{
		"no_parent_owner": "no_parent_owners", "aprovers": "approvers", "reviewer": "reviewers", "minimum": "", "": "",
	} {
		if got := spell.Nearest(word, append(append([]string{}, topKeys...), optionKeys...)); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// format writes what was parsed as a plain OWNERS file, for the round trip.
func format(f *ownersFile) []byte {
	texts := func(list []entry) (all []string) {
		for _, e := range list {
			all = append(all, e.text)
		}
		return all
	}
	body := func(s section) map[string][]string {
		return map[string][]string{"approvers": texts(s.approvers), "reviewers": texts(s.reviewers),
			"required_reviewers": texts(s.required), "labels": texts(s.labels)}
	}
	out := map[string]any{"options": map[string]bool{"no_parent_owners": f.noParent, "auto_approve_unowned_subfolders": f.autoApprove}}
	filters := map[string]any{}
	for _, s := range f.sections {
		if s.pattern != "" {
			filters[s.pattern] = body(s)
			continue
		}
		for key, list := range body(s) {
			out[key] = list
		}
	}
	if len(filters) > 0 {
		out["filters"] = filters
	}
	b, err := yaml.Marshal(out)
	if err != nil {
		panic(err) // maps and strings
	}
	return b
}

// meaning is a parsed file without positions and order of filters.
func meaning(f *ownersFile) map[string]any {
	all := map[string]any{"noParent": f.noParent, "autoApprove": f.autoApprove}
	for _, s := range f.sections {
		for key, list := range map[string][]entry{"approvers": s.approvers, "reviewers": s.reviewers, "required": s.required, "labels": s.labels} {
			for _, e := range list {
				name := s.pattern + "/" + key
				all[name], _ = append(asNames(all[name]), e.name), 0
			}
		}
		all["filter "+s.pattern] = true
	}
	return all
}

func asNames(v any) []string {
	list, _ := v.([]string)
	return list
}

// FuzzOwners: no input panics or takes unbounded memory, the result depends on
// the input alone, and what is accepted means the same after a round trip.
func FuzzOwners(f *testing.F) {
	for _, seed := range []string{
		"approvers: [a, B, '@c']\nlabels: [x]\noptions: {no_parent_owners: true}\n",
		"filters:\n  '.*': {approvers: [a]}\n  '\\.go$': {labels: [go]}\n",
		"approvers: &x [a]\nreviewers: *x\n", "---\napprovers: [a]\n---\ntext\n", "aliases: {a: [b, c]}\n", "a: [[[[\n", "\x00", "? a\n: b\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFileBytes {
			return
		}
		first, second := parseOwners(b), parseOwners(bytes.Clone(b))
		if !reflect.DeepEqual(first.faults, second.faults) || !reflect.DeepEqual(meaning(first), meaning(second)) {
			t.Fatalf("two readings differ")
		}
		if len(first.faults) > maxFaults || len(first.sections) > maxFilters+1 {
			t.Fatalf("%d faults, %d sections", len(first.faults), len(first.sections))
		}
		if first.denies == nil {
			again := parseOwners(format(first))
			if again.denies != nil || !reflect.DeepEqual(meaning(first), meaning(again)) {
				t.Fatalf("round trip: %v\n%v\n%v\n%s", again.faults, meaning(first), meaning(again), format(first))
			}
		}
		if head := parseFrontMatter(b); head != nil && len(head.faults) > maxFaults {
			t.Fatal("front matter is unbounded")
		}
		if a := parseAliases(b); a.broken != nil && len(a.groups) > 0 {
			t.Fatal("a broken aliases file grants")
		}
		compatOwners(b)
		compatAliases(b)
		compatFrontMatter(b)
	})
}
