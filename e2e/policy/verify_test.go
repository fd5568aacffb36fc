// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/policy"
	"sigs.k8s.io/steward/internal/settings"
)

const context = "steward/owners"

func contexts([]string) []string { return []string{context} }

// check runs steward's check on a config.yaml and returns the rules it finds broken, by object.
func check(t *testing.T, content string) map[string][]string {
	t.Helper()
	s, err := settings.Parse([]byte("repos: {" + org + "/" + repo + ": {plugins: [owners]}}"))
	if err != nil {
		t.Fatal(err)
	}
	prow, err := policy.ParseProw("config.yaml", []byte(content), "plugins.yaml", nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, content)
	}
	broken := map[string][]string{}
	for _, f := range policy.Check(s, prow, contexts) {
		broken[f.Object] = append(broken[f.Object], f.Rule)
	}
	return broken
}

// generator makes configurations in which every setting that steward reads has a say at every level.
type generator struct{ *rand.Rand }

func (g generator) one(n int) bool { return g.IntN(n) == 0 }

// set puts a setting in one of three times, its key in capitals now and then: Prow does not mind.
func (g generator) set(m map[string]any, key string, value any) {
	if g.one(20) {
		key = strings.ToUpper(key)
	}
	if g.one(3) {
		m[key] = value
	}
}

func (g generator) names() []string {
	return [][]string{nil, {}, {context}, {"other"}, {"other", context}}[g.IntN(5)]
}

func (g generator) options() map[string]any {
	m := map[string]any{}
	g.set(m, "skip-unknown-contexts", g.one(2))
	g.set(m, "from-branch-protection", g.one(2))
	if g.one(2) {
		g.set(m, "required-contexts", g.names())
	}
	if g.one(4) {
		g.set(m, "required-if-present-contexts", []string{context})
	}
	if g.one(4) {
		g.set(m, "optional-contexts", []string{[]string{context, "another"}[g.IntN(2)]})
	}
	if g.one(4) {
		g.set(m, "optional-regex-contexts", []string{[]string{"^steward/", "ow.ers", "nothing", "owner$"}[g.IntN(4)]})
	}
	return m
}

func (g generator) policy() map[string]any {
	m := map[string]any{}
	g.set(m, "protect", !g.one(4))
	g.set(m, "unmanaged", g.one(2))
	g.set(m, "required_status_checks", map[string]any{"contexts": g.names()})
	return m
}

// levels nests a stanza for all, the organization, the repository and the branch. Some lie beside ours, some are empty.
func (g generator) levels(level func() map[string]any) map[string]any {
	in := func(key, name string, inner map[string]any) map[string]any {
		m := level()
		if g.one(8) {
			name = "elsewhere"
		}
		if !g.one(8) {
			m[key] = map[string]any{name: inner}
		}
		return m
	}
	return in("orgs", org, in("repos", repo, in("branches", branch, level())))
}

// config is a config.yaml, and whether it has a stanza for our branch.
func (g generator) config(t *testing.T) (content string, named bool) {
	t.Helper()
	protection, options := g.levels(g.policy), g.levels(g.options)
	raw, err := json.MarshalIndent(map[string]any{
		"branch-protection": protection, "tide": map[string]any{"context_options": options},
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), names(protection) || names(options)
}

func names(levels any) bool {
	for _, key := range []string{"orgs", org, "repos", repo, "branches", branch} {
		m, _ := levels.(map[string]any)
		levels = m[key]
	}
	return levels != nil
}

// tally counts the verdicts, so that the generator cannot quietly make configurations of one kind.
type tally struct{ required, open, optional, refused int }

// Steward says that a context is required, or optional, exactly where Prow does (POLICY-1, POLICY-2).
func TestCheckAgreesWithTide(t *testing.T) {
	var seen tally
	for seed := range uint64(400) {
		content, named := generator{rand.New(rand.NewPCG(seed, 1))}.config(t)
		prow := load(t, content)
		broken := check(t, content)
		for _, at := range []string{branch, "unnamed"} {
			object := org + "/" + repo + " " + context
			if at == branch && named {
				object = org + "/" + repo + "@" + branch + " " + context
			}
			asked, err := prow.GetTideContextPolicy(nil, org, repo, at, base, headSHA)
			rules := broken[object]
			if err != nil {
				seen.refused++
				if !slices.Contains(rules, "POLICY-2") && !strings.Contains(err.Error(), "required if present") {
					t.Errorf("seed %d: %s: Prow refuses it (%v), steward says %q of\n%s", seed, object, err, rules, content)
				}
				continue
			}
			missing := slices.Contains(asked.MissingRequiredContexts(nil), context)
			optional := asked.IsOptional(context)
			if missing == slices.Contains(rules, "POLICY-1") || optional != slices.Contains(rules, "POLICY-2") {
				t.Errorf("seed %d: %s: Prow requires it %v, optional %v; steward says %q of\n%s", seed, object, missing, optional, rules, content)
			}
			seen.count(missing, optional)
		}
	}
	t.Logf("%+v", seen)
	if min(seen.required, seen.open, seen.optional, seen.refused) < 20 {
		t.Errorf("the generator makes too few of one kind: %+v", seen)
	}
}

func (c *tally) count(required, optional bool) {
	switch {
	case optional:
		c.optional++
	case required:
		c.required++
	default:
		c.open++
	}
}

func base() (string, error) { return "0123456789012345678901234567890123456789", nil }

const headSHA = "89abcdef0123456789abcdef0123456789abcdef"

// The stanzas that are shipped pass, whatever their severity.
func TestShippedStanzasPass(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(root, "config", name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	s, err := settings.Parse(read("steward.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	prow, err := policy.ParseProw("config.yaml", read("prow/config.yaml"), "plugins.yaml", read("prow/plugins.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gates := func(plugins []string) []string {
		var all []string
		for _, p := range plugins {
			if p != "pool" { // it holds no pull request
				all = append(all, "steward/"+p)
			}
		}
		return all
	}
	if found := policy.Check(s, prow, gates); finding.AtLeast(found, finding.Info) > 0 {
		t.Errorf("%+v", found)
	}
}
