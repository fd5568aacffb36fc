// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func lint(t *testing.T, archive string) []finding.Finding {
	t.Helper()
	return acl.Lint(load(t, tree(archive), acl.Options{ListFiles: true, MarkdownFrontMatter: true}))
}

// One tree for each rule; the wanted findings are "severity rule file:line", and
// nothing else may be found.
func TestLintRules(t *testing.T) {
	const root = "-- OWNERS --\napprovers: [alice, bob]\n"
	for _, c := range []struct {
		files string
		want  []string
	}{
		{root, nil},
		{"-- x --\n", []string{"error OWNERS-NO-ROOT-APPROVERS OWNERS"}},
		{"-- OWNERS --\napprovers: [a\n", []string{"error OWNERS-F1 OWNERS:1"}},
		{root + "-- d/OWNERS --\nreviewers: [x]\nfilters: {x: {}}\n-- d/x --\n", []string{"error OWNERS-F2 d/OWNERS:1"}},
		{root + "-- d/OWNERS --\noptions: {no_parent_owners: true}\nfilters: {x: {approvers: [ann, ben]}}\n-- d/x --\n-- d/y --\n", []string{"warning OWNERS-F3 d/OWNERS:1"}},
		{root + "-- d/OWNERS --\noptions:\n  no_parent_owners: true\n", []string{"error OWNERS-F4 d/OWNERS:2"}},
		{root + "-- d/OWNERS --\noptions:\n  no_parent_owners: true\napprovers: [ann]\n", []string{"info OWNERS-SOLE-APPROVER d/OWNERS:2"}},
		{root + "-- d/OWNERS --\nfilters:\n  '(': {approvers: [x]}\n", []string{"error OWNERS-F6 d/OWNERS:2"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  a: b\n", []string{"error OWNERS-F7 OWNERS_ALIASES:2"}},
		{root + "-- d/OWNERS --\nroot: true\napprovers: [x]\n", []string{"error OWNERS-F11 d/OWNERS:1"}},
		{root + "-- OWNERS_ALIASES --\n[\n-- d/OWNERS --\napprovers: [ann, sig-x-leads]\n", []string{"error OWNERS-F7 OWNERS_ALIASES:1"}},
		{root + "-- OWNERS_ALIASES --\nalias: {}\n", []string{"error OWNERS-F11 OWNERS_ALIASES:1"}},
		{root + "-- d/OWNERS --\napprovers:\n- ann\n- sig-x-leads\n", []string{"error OWNERS-UNDEFINED-ALIAS d/OWNERS:3"}},
		{root + "-- OWNERS_ALIASES --\naliases: {rangers: [ann, ben]}\n-- d/OWNERS --\nreviewers: [rangers]\napprovers:\n- ranger\n", []string{"warning OWNERS-NEAR-ALIAS d/OWNERS:3"}},
		{root + "-- d/OWNERS --\napprovers:\n- ann\n- not.a.login\n", []string{"error OWNERS-BAD-LOGIN d/OWNERS:3"}},
		{root + "-- d/OWNERS --\napprovers:\n- ann\n-\n", []string{"error OWNERS-BAD-LOGIN d/OWNERS:3"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  crew: [ann]\n", []string{"info OWNERS-UNUSED-ALIAS OWNERS_ALIASES:2"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  crew: [ann, team-b]\n-- d/OWNERS --\napprovers: [crew]\n", []string{"error OWNERS-NESTED-ALIAS OWNERS_ALIASES:2"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  crew:\n-- d/OWNERS --\napprovers: [ann, crew]\n", []string{"warning OWNERS-EMPTY-ALIAS OWNERS_ALIASES:2"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  ann: [ann]\n-- d/OWNERS --\napprovers: [ann]\n", []string{"warning OWNERS-ALIAS-SHADOWS-LOGIN OWNERS_ALIASES:2"}},
		{root + "-- OWNERS_ALIASES --\naliases:\n  crew: [Ann, ann]\n-- d/OWNERS --\nreviewers: [crew]\napprovers: [ben]\n", []string{"warning OWNERS-DUPLICATE OWNERS_ALIASES:2"}},
		{root + "-- d/OWNERS --\napprovers:\n- ann\n- Ann\n", []string{"warning OWNERS-DUPLICATE d/OWNERS:3"}},
		{root + "-- OWNERS_ALIASES --\naliases: {crew: [ann, ben]}\n-- d/OWNERS --\napprovers:\n- crew\n- ann\n", []string{"info OWNERS-REDUNDANT d/OWNERS:3"}},
		{root + "-- d/OWNERS --\n# nothing\n", []string{"warning OWNERS-EMPTY d/OWNERS"}},
		{root + "-- d/OWNERS --\nlabels: [x]\n", []string{"info OWNERS-NO-APPROVERS d/OWNERS:1"}},
		{root + "-- d/OWNERS --\nfilters:\n  '\\.go$': {approvers: [x]}\n-- d/e/x.py --\n", []string{"warning OWNERS-DEAD-FILTER d/OWNERS:2"}},
		{root + "-- d/OWNERS --\nfilters:\n  '^e/x': {approvers: [x]}\n-- d/e/x.py --\n", nil},
		{root + "-- d/OWNERS --\napprovers: [ann]\nemeritus_approvers:\n- Ann\n", []string{"warning OWNERS-EMERITUS-ACTIVE d/OWNERS:3"}},
		{root + "emeritus_approvers: [ann]\n-- d/OWNERS --\napprovers:\n- ann\n", []string{"info OWNERS-EMERITUS-BELOW d/OWNERS:2"}},
		{root + "emeritus_approvers: [ann]\n-- OWNERS_ALIASES --\naliases: {crew: [ann]}\n-- d/OWNERS --\napprovers:\n- ben\n- crew\n", []string{"info OWNERS-EMERITUS-BELOW d/OWNERS:3"}},
		{root + "-- d/OWNERS --\nApprovers: [ann]\n", []string{"warning OWNERS-SPELLING d/OWNERS:1"}},
		{root + "-- d/OWNERS --\napprovers: ['@ann']\n", []string{"warning OWNERS-SPELLING d/OWNERS:1"}},
		{root + "-- d/OWNERS --\napprovers: [ann, ben]\noptions: {no_parent_owners: on}\n", []string{"warning OWNERS-SPELLING d/OWNERS:2"}},
		{root + "-- d/OWNERS_ALIASES --\naliases: {}\n", []string{"warning OWNERS-STRAY-ALIASES d/OWNERS_ALIASES"}},
		{root + "-- d/x.md --\n---\ntitle: x\napprovers: [team-x]\n---\n", []string{"error OWNERS-UNDEFINED-ALIAS d/x.md:3"}},
	} {
		var got []string
		for _, f := range lint(t, c.files) {
			got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Rule, f.Position()))
			if f.Message == "" || f.Object == "" {
				t.Errorf("incomplete: %+v", f)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.files, got, c.want)
		}
	}
}

// Every code of the table is documented, and every code a rule uses is in it.
func TestRulesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/owners.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, r := range acl.Rules() {
		if seen[r.Code] {
			t.Errorf("%s stands twice", r.Code)
		}
		seen[r.Code] = true
		if !strings.Contains(string(page), "| "+r.Code+" ") {
			t.Errorf("docs/owners.md has no row for %s", r.Code)
		}
	}
}

func TestFindingsNameWhoCanMend(t *testing.T) {
	all := lint(t, "-- OWNERS --\napprovers: [alice]\n-- d/OWNERS --\napprovers: [x\n-- e/OWNERS --\napprovers: [ann]\nx: 1\n")
	owners := map[string]string{}
	for _, f := range all {
		owners[f.File] = strings.Join(f.Owners, " ")
	}
	if owners["d/OWNERS"] != "alice" || owners["e/OWNERS"] != "ann" {
		t.Errorf("owners %v", owners)
	}
}

// Run-time problems are the faults of the files alone, less grave where they
// only warn (F11).
func TestProblems(t *testing.T) {
	loaded := load(t, tree("-- OWNERS --\napprovers: [alice]\nnope: 1\n-- d/OWNERS --\n- x\n"), acl.Options{})
	var got []string
	for _, f := range loaded.Problems() {
		got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Rule, f.Position()))
	}
	if want := []string{"warning OWNERS-F11 OWNERS:2", "error OWNERS-F1 d/OWNERS:1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The faults of the real k8s.io tree, each checked by hand against its file when
// the golden was made.
func TestLintRealTree(t *testing.T) {
	needRealTree(t)
	loaded := load(t, os.DirFS(realTree), acl.Options{ListFiles: true})
	var b strings.Builder
	for _, f := range acl.Lint(loaded) {
		fmt.Fprintf(&b, "%s %s %s\n    %s\n", f.Severity, f.Rule, f.Position(), f.Message)
	}
	const golden = "testdata/k8s.io.lint"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// dns/ is restricted: only its own approvers may change it, root or not.
func TestWhyOnRealDNS(t *testing.T) {
	needRealTree(t)
	loaded := load(t, os.DirFS(realTree), acl.Options{})
	const zone = "dns/zone-configs/k8s.io._0_base.yaml"
	for user, want := range map[string]string{
		"thockin": "", "cblecker": "", "ameukam": "", "BenTheElder": "",
		"MadhavJivrajani":     acl.CodeNotApprover, // approves at the root
		"spiffxp":             acl.CodeNotApprover, // emeritus
		"sig-k8s-infra-leads": acl.CodeNotLogin,
	} {
		if e := loaded.Explain(user, zone); e.Code != want || e.Allowed != (want == "") {
			t.Errorf("%s: %+v", user, e)
		}
	}
	e := loaded.Explain("MadhavJivrajani", zone)
	if e.File != "dns/OWNERS" || e.Line != 4 || !strings.Contains(e.Reason, "no_parent_owners") || e.Grants[0].File != "dns/OWNERS" {
		t.Errorf("%+v", e)
	}
}
