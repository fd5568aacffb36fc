// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/settings"
)

// gateConfig keeps steward/toy closed at o/r in every way.
const gateConfig = `
branch-protection:
  orgs:
    o:
      repos:
        r:
          protect: true
          required_status_checks: {contexts: [steward/toy]}
tide:
  context_options:
    orgs:
      o:
        repos:
          r:
            from-branch-protection: true
            required-contexts: [steward/toy]
`

const gatePlugins = `
external_plugins:
  o/r:
  - name: steward-toy
    endpoint: http://steward-hook/toy
    events: [issue_comment, issues, pull_request, pull_request_review, pull_request_review_comment]
`

// toyContexts is what a set with the one plugin toy says.
func toyContexts(plugins []string) []string {
	if slices.Contains(plugins, "toy") {
		return []string{"steward/toy"}
	}
	return nil
}

// check returns "RULE line object" of every finding.
func check(t *testing.T, config, plugins string) []string {
	t.Helper()
	s, err := settings.Parse([]byte("repos: {o/r: {plugins: [toy]}}"))
	if err != nil {
		t.Fatal(err)
	}
	prow, err := ParseProw("config.yaml", []byte(config), "plugins.yaml", []byte(plugins))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Check(s, prow, toyContexts) {
		if f.File == "" || f.Message == "" || f.Fix == "" {
			t.Errorf("incomplete: %+v", f)
		}
		got = append(got, fmt.Sprintf("%s %d %s", f.Rule, f.Line, f.Object))
	}
	return got
}

// Every case is one edit of the closed gate.
func TestGates(t *testing.T) {
	required, from := "            required-contexts: [steward/toy]\n", "from-branch-protection: true"
	checks := "          required_status_checks: {contexts: [steward/toy]}\n"
	for _, c := range []struct {
		name  string
		edits []string // old, new, …
		want  []string
	}{
		{"closed", nil, nil},
		{"by branch protection alone", []string{required, ""}, nil},
		{"by Tide's list alone", []string{from, ""}, nil},
		{"list of the org", []string{required, "", from, "x: 1", "    orgs:\n      o:\n        repos:\n          r:\n            x", "    orgs:\n      o:\n        required-contexts: [steward/toy]\n        repos:\n          r:\n            x"}, nil},
		{"list of all", []string{required, "", "  context_options:\n", "  context_options:\n    required-contexts: [steward/toy]\n"}, nil},
		{"named nowhere", []string{required, "", checks, ""}, []string{"POLICY-3 6 o/r steward/toy", "POLICY-1 13 o/r steward/toy"}},
		{"not taken from branch protection", []string{required, "", from, "from-branch-protection: false"}, []string{"POLICY-1 14 o/r steward/toy"}},
		{"off by default", []string{required, "", "            " + from + "\n", ""}, []string{"POLICY-1 14 o/r steward/toy"}},
		{"taken from an unprotected branch", []string{required, "", "protect: true", "protect: false"}, []string{"POLICY-4 6 o/r steward/toy", "POLICY-1 14 o/r steward/toy"}},
		{"the button", []string{checks, ""}, []string{"POLICY-3 6 o/r steward/toy"}},
		{"protected by others", []string{"protect: true", "unmanaged: true"}, nil},
		{"an org that is not named", []string{"branch-protection:\n  orgs:\n    o:", "branch-protection:\n  protect: true\n  orgs:\n    other:"}, []string{"POLICY-4 4 o/r steward/toy"}},
		{"optional and required", []string{"required-contexts:", "optional-contexts: [x, steward/toy]\n            required-contexts:"}, []string{"POLICY-2 16 o/r steward/toy"}},
		{"expression that is none", []string{required, required + "            optional-regex-contexts: ['(']\n"}, []string{"POLICY-2 17 o/r steward/toy"}},
		{"unknown contexts skipped", []string{required, "            skip-unknown-contexts: yes\n", checks, ""},
			[]string{"POLICY-3 6 o/r steward/toy", "POLICY-1 13 o/r steward/toy", "POLICY-2 15 o/r steward/toy"}},
		{"required if present", []string{"required-contexts", "skip-unknown-contexts: true\n            required-if-present-contexts", checks, ""},
			[]string{"POLICY-3 6 o/r steward/toy", "POLICY-1 13 o/r steward/toy"}},
		{"unknown contexts skipped, but known", []string{required, required + "            skip-unknown-contexts: true\n"}, nil},
		{"keys in any case", []string{required, required + "            Optional-Contexts: [steward/toy]\n"}, []string{"POLICY-2 17 o/r steward/toy"}},
		{"an anchor", []string{"tide:", "x: &gates [steward/toy]\ntide:", "required-contexts: [steward/toy]", "required-contexts: *gates"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := gateConfig
			for i := 0; i < len(c.edits); i += 2 {
				if strings.Count(config, c.edits[i]) != 1 {
					t.Fatalf("%q occurs %d times", c.edits[i], strings.Count(config, c.edits[i]))
				}
				config = strings.Replace(config, c.edits[i], c.edits[i+1], 1)
			}
			if got := check(t, config, gatePlugins); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q in\n%s", got, c.want, config)
			}
		})
	}
}

// Lists add up from level to level; of booleans the innermost counts.
func TestLevels(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"expression for all", "{required-contexts: [steward/toy], optional-regex-contexts: [^stew]}", "POLICY-2 3 o/r steward/toy"},
		{"inner yes", "orgs: {o: {skip-unknown-contexts: false, repos: {r: {skip-unknown-contexts: true}}}}", "POLICY-1 3 o/r steward/toy,POLICY-2 3 o/r steward/toy"},
		{"inner no", "orgs: {o: {skip-unknown-contexts: true, repos: {r: {skip-unknown-contexts: false}}}}", "POLICY-1 3 o/r steward/toy"},
		{"of a branch", "orgs: {o: {repos: {r: {branches: {b: {required-contexts: [steward/toy]}}}}}}", "POLICY-1 3 o/r steward/toy"},
		{"but of a branch", "orgs: {o: {repos: {r: {required-contexts: [steward/toy], branches: {b: {optional-contexts: [steward/toy]}}}}}}", "POLICY-2 3 o/r@b steward/toy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range check(t, "tide:\n  context_options:\n    "+c.options, gatePlugins) {
				if !strings.HasPrefix(f, "POLICY-4") {
					got = append(got, f)
				}
			}
			if strings.Join(got, ",") != c.want {
				t.Errorf("found %q, want %s", got, c.want)
			}
		})
	}
}

func TestForwarding(t *testing.T) {
	const events = "[issue_comment, issues, pull_request, pull_request_review, pull_request_review_comment]"
	for _, c := range []struct{ name, plugins, want string }{
		{"as shipped", gatePlugins, ""},
		{"of the org", "external_plugins: {o: [{name: steward-toy, endpoint: http://steward-hook/toy}]}", ""},
		{"by another name", "external_plugins: {o: [{name: x, endpoint: http://steward-hook/toy}]}", ""},
		{"for all plugins", "external_plugins: {o: [{name: steward-hook}]}", ""},
		{"the root for one", "external_plugins: {o: [{name: steward-toy, endpoint: http://steward-hook/}]}", ""},
		{"none", "", "POLICY-5 0 o/r plugin toy"},
		{"none of the repository", "external_plugins: {o/other: [{name: steward-toy}]}", "POLICY-5 1 o/r plugin toy"},
		{"a stranger", "external_plugins:\n  o/r: [{name: toy, endpoint: http://toy}]", "POLICY-5 2 o/r plugin toy"},
		{"wrong path", "external_plugins:\n  o/r:\n  - name: steward-toy\n    endpoint: http://steward-hook/toys", "POLICY-6 3 o/r plugin toy"},
		{"slash behind", "external_plugins: {o/r: [{name: steward-toy, endpoint: http://steward-hook/toy/}]}", "POLICY-6 1 o/r plugin toy"},
		{"no address", "external_plugins: {o/r: [{name: steward-toy, endpoint: '%'}]}", "POLICY-6 1 o/r plugin toy"},
		{"lacks an event", strings.Replace(gatePlugins, "issues, ", "", 1), "POLICY-7 4 o/r plugin toy"},
		{"events by anchor", "x: &e " + events + "\nexternal_plugins: {o: [{name: steward-toy, events: *e}]}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(check(t, gateConfig, c.plugins), ","); got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// What has another type than Prow's would be refused by Prow; all of it is told at once, with lines.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ config, plugins, want string }{
		"types":   {"tide:\n  context_options:\n    required-contexts: {}\n    skip-unknown-contexts: maybe", "", "config.yaml: unmarshal errors:\n  line 3|line 4"},
		"syntax":  {"tide: [", "", "config.yaml: line 1"},
		"twice":   {"tide: {}\nTide: {}", "", `config.yaml: unmarshal errors:|already defined`},
		"plugins": {"", "external_plugins: {o: {}}", "plugins.yaml: unmarshal errors:|line 1"},
		"huge":    {strings.Repeat("#", maxFile+1), "", "config.yaml: 16777217 bytes are more than 16777216"},
	} {
		_, err := ParseProw("config.yaml", []byte(c.config), "plugins.yaml", []byte(c.plugins))
		for want := range strings.SplitSeq(c.want, "|") {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q", name, err, want)
			}
		}
	}
}

// The manual lists every rule, in order.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(page)
	for _, rule := range []string{notRequired, optional, buttonOpen, unprotected, notForwarded, wrongPath, lacksEvents} {
		_, after, found := strings.Cut(rest, "- **"+rule+"**")
		if !found {
			t.Fatalf("docs/policy.md lacks %s, or its order is another", rule)
		}
		rest = after
	}
}

func FuzzParseProw(f *testing.F) {
	f.Add(gateConfig, gatePlugins)
	f.Add("x: &x {tide: *x}", "external_plugins: &y {o: [*y]}")
	f.Fuzz(func(t *testing.T, config, plugins string) {
		prow, err := ParseProw("c", []byte(config), "p", []byte(plugins))
		if err != nil {
			return
		}
		s := &settings.Settings{Repos: map[string]*settings.Repo{"o/r": {Plugins: []string{"toy"}}}}
		for _, f := range Check(s, prow, toyContexts) {
			if f.Line < 0 || f.Rule == "" || f.File == "" {
				t.Errorf("%+v", f)
			}
		}
	})
}
