// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// d is a digest of one repeated digit.
func d(digit string) string { return "sha256:" + strings.Repeat(digit, 64) }

// short writes digests in a text as their digit.
func short(text string) string {
	for _, digit := range strings.Split("0123456789abcdef", "") {
		text = strings.ReplaceAll(text, d(digit), digit)
	}
	return text
}

const roots = "registries:\n- {name: src.io/p, src: true}\n- name: a.pkg.dev/k/i\n- name: b.pkg.dev/k/i\n"

// community is a tree of manifests: project to its registries ("" for roots) and images.
type community map[string][2]string

func (c community) load(t testing.TB, mirrors ...string) (*manifest.Set, []finding.Finding) {
	t.Helper()
	files := fstest.MapFS{}
	for name, texts := range c {
		registries := texts[0]
		if registries == "" {
			registries = roots
		}
		for digit := range strings.SplitSeq("0123456789abcdef", "") {
			texts[1] = strings.ReplaceAll(texts[1], "<"+digit+">", d(digit))
		}
		files["r/manifests/"+name+"/promoter-manifest.yaml"] = &fstest.MapFile{Data: []byte(registries)}
		files["r/images/"+name+"/images.yaml"] = &fstest.MapFile{Data: []byte(texts[1])}
	}
	set, problems, err := manifest.Load(files, "r", mirrors...)
	if err != nil {
		t.Fatal(err)
	}
	return set, problems
}

// inventoryOf reads "REPO DIGIT:TAG,TAG DIGIT" lines.
func inventoryOf(lines ...string) string {
	all := map[string]map[string][]string{}
	for _, line := range lines {
		fields := strings.Fields(line)
		repo := map[string][]string{}
		for _, f := range fields[1:] {
			digit, tags, _ := strings.Cut(f, ":")
			repo[d(digit)] = strings.FieldsFunc(tags, func(r rune) bool { return r == ',' })
		}
		all[fields[0]] = repo
	}
	raw, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// planText is one line for each copy and fault.
func planText(t testing.TB, c *Comparison, set *manifest.Set) string {
	t.Helper()
	projects, err := c.Projects("")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, p := range projects {
		for _, s := range p.Plan.Steps {
			on := func(list []int) string {
				var names []string
				for _, m := range list {
					names = append(names, set.Mirrors[m][:1])
				}
				return strings.Join(names, "")
			}
			line := fmt.Sprintf("%s: %s@%s %s to %s from %s", p.Manifest.Name, s.Change.Path, s.Change.Digest, strings.Join(s.Change.Tags, ","), on(s.Change.Mirrors), s.Change.Source)
			if len(s.Change.Stored) > 0 {
				line += " stored " + on(s.Change.Stored)
			}
			if len(s.Change.New) > 0 {
				line += " new " + on(s.Change.New)
			}
			lines = append(lines, line)
		}
		for _, f := range p.Faults {
			lines = append(lines, fmt.Sprintf("%s: %s %s:%d %s", p.Manifest.Name, f.Rule, f.File, f.Line, f.Object))
		}
	}
	return short(strings.Join(lines, "\n"))
}

func TestPlan(t *testing.T) {
	one := community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n    \"<2>\": [v2, v]\n    \"<3>\": []\n"}}
	tests := map[string]struct {
		community
		inventory []string
		want      string
	}{
		"PR-2 nothing is there": {one, nil, `
p: x@1 v1 to ab from src.io/p/x new ab
p: x@2 v2,v to ab from src.io/p/x new ab
p: x@3  to ab from src.io/p/x new ab`},
		"PR-2 everything is there": {one, []string{"a.pkg.dev/k/i/x 1:v1 2:v2,v 3", "b.pkg.dev/k/i/x 1:v1 2:v2,v 3"}, ``},
		"PR-2 what is missing differs by mirror": {one, []string{"a.pkg.dev/k/i/x 1:v1 2:v", "b.pkg.dev/k/i/x 1:v1 2 3"}, `
p: x@2 v2,v to b from src.io/p/x stored b
p: x@2 v2 to a from src.io/p/x stored a
p: x@3  to a from src.io/p/x`},
		"PR-2 more than is declared is no matter": {one, []string{"a.pkg.dev/k/i/x 1:v1,v0 2:v2,v 3 4:w", "b.pkg.dev/k/i/x 1:v1 2:v2,v 3", "c.pkg.dev/z 9:v9"}, ``},
		"PR-3 a tag that moved on one mirror goes to none": {one, []string{"a.pkg.dev/k/i/x 9:v1 2:v2,v 3"}, `
p: x@2 v2,v to b from src.io/p/x new b
p: x@3  to b from src.io/p/x new b
p: PROMOTE-1 r/images/p/images.yaml:3 x:v1`},
		"PR-3 its neighbour goes": {one, []string{"a.pkg.dev/k/i/x 1:v1 2:v2 9:v 3"}, `
p: x@1 v1 to b from src.io/p/x new b
p: x@2 v2 to b from src.io/p/x new b
p: x@3  to b from src.io/p/x new b
p: PROMOTE-1 r/images/p/images.yaml:4 x:v`},
		"PR-4 not in the source": {one, []string{"src.io/p/x 2"}, `
p: x@2 v2,v to ab from src.io/p/x new ab
p: PROMOTE-2 r/images/p/images.yaml:3 x@1
p: PROMOTE-2 r/images/p/images.yaml:5 x@3`},
		"PR-4 not in the source and not needed": {one, []string{"src.io/p/x", "a.pkg.dev/k/i/x 1:v1 2:v2,v 3", "b.pkg.dev/k/i/x 1:v1 2:v2,v 3"}, ``},
		"PR-5 from a mirror that has it": {one, []string{"src.io/p/x 2", "b.pkg.dev/k/i/x 1:v1 3"}, `
p: x@1 v1 to a from b.pkg.dev/k/i/x new a
p: x@2 v2,v to ab from src.io/p/x new a
p: x@3  to a from b.pkg.dev/k/i/x new a`},
		"PR-6 one tag on two digests": {community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1, w]\n    \"<2>\": [v1]\n"}}, nil, `
p: x@1 w to ab from src.io/p/x new ab`},
		"PR-6 in two projects": {community{"p": {"", "- {name: x, dmap: {\"<1>\": [v1]}}"}, "q": {"", "- {name: x, dmap: {\"<2>\": [v1, w]}}"}}, nil, `
q: x@2 w to ab from src.io/p/x new ab`},
		"PR-6 twice the same goes once": {community{"p": {"", "- {name: x, dmap: {\"<1>\": [v1]}}"}, "q": {"", "- {name: x, dmap: {\"<1>\": [v1, w]}}"}}, nil, `
p: x@1 v1 to ab from src.io/p/x new ab
q: x@1 w to ab from src.io/p/x new ab`},
		"PR-6 the same tag on different mirrors": {community{
			"p": {"registries:\n- {name: src.io/p, src: true}\n- name: a.pkg.dev/k/i\n", "- {name: x, dmap: {\"<1>\": [v1]}}"},
			"q": {"registries:\n- {name: src.io/p, src: true}\n- name: b.pkg.dev/k/i\n", "- {name: x, dmap: {\"<2>\": [v1]}}"},
		}, nil, `
p: x@1 v1 to a from src.io/p/x new a
q: x@2 v1 to b from src.io/p/x new b`},
		"PR-6 a tag of what is no digest": {community{"p": {"", "- name: x\n  dmap:\n    \"sha256:12\": [v1]\n    \"<2>\": [v1, w]\n"}}, nil, `
p: x@2 w to ab from src.io/p/x new ab
p: PROMOTE-4 r/images/p/images.yaml:4 x:v1`},
		"PR-6 a digest whose tags are none": {community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [\"a b\"]\n    \"<2>\": [w]\n"}}, nil, `
p: x@2 w to ab from src.io/p/x new ab`},
		"PR-1 a broken project stops no other": {community{
			"p": {"registries:\n- {name: src.io/p, src: true}\n- [a.pkg.dev/k/i]\n- name: b.pkg.dev/k/i\n", "- {name: x, dmap: {\"<1>\": [v1]}}"},
			"q": {"", "- {name: y, dmap: {\"<2>\": [v1]}}"},
			"s": {"registries:\n- name: a.pkg.dev/k/i\n", "- {name: z, dmap: {\"<3>\": [v1]}}"},
		}, nil, `
p: PROMOTE-3 r/manifests/p/promoter-manifest.yaml:0 p
q: y@2 v1 to ab from src.io/p/y new ab
s: PROMOTE-3 r/manifests/s/promoter-manifest.yaml:0 s`},
		"PR-2 prefixes": {community{"p": {roots + "- name: a.pkg.dev/k/i/sub\n", "- {name: x, dmap: {\"<1>\": [v1]}}"}}, []string{"a.pkg.dev/k/i/x 1:v1"}, `
p: sub/x@1 v1 to a from src.io/p/x new a
p: x@1 v1 to b from src.io/p/x new b`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, problems := tt.load(t)
			c := Compare(set, problems, nil)
			if err := c.ReadInventory(strings.NewReader(inventoryOf(tt.inventory...))); err != nil {
				t.Fatal(err)
			}
			if got := planText(t, c, set); got != strings.TrimPrefix(tt.want, "\n") {
				t.Errorf("got\n%s\nwant%s", got, tt.want)
			}
		})
	}
}

// TestTold does the same by lists: what cannot be read is never missing, and sources are
// wanted only for what is.
func TestTold(t *testing.T) {
	set, problems := community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n    \"<2>\": [v2]\n    \"<3>\": [v3]\n"}}.load(t)
	c := Compare(set, problems, nil)
	repositories := slices.Collect(c.Repositories)
	if len(repositories) != 2 || repositories[0].Name != "a.pkg.dev/k/i/x" || repositories[1].Mirror != 1 {
		t.Fatalf("%+v", repositories)
	}
	c.Unread(repositories[1])
	listing := manifest.Listing{Digests: map[string]string{d("1"): "", d("9"): ""}, Tags: map[string]string{"v1": d("1"), "w": d("9")}}
	if err := c.Holds(repositories[0], listing); err != nil {
		t.Fatal(err)
	}
	if err := c.Holds(repositories[0], listing); err == nil {
		t.Error("a repository was told twice")
	}
	if !c.Unknown("x") {
		t.Error("x was read on all mirrors")
	}
	if got := fmt.Sprint(c.Sources()); short(got) != "[{src.io/p/x [2 3]}]" {
		t.Errorf("sources: %s", short(got))
	}
	c.SourceHolds("src.io/p/x", []string{d("2")})
	if got, want := planText(t, c, set), "p: x@2 v2 to a from src.io/p/x\np: PROMOTE-2 r/images/p/images.yaml:5 x@3"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	// A source that could not be read is neither used nor called empty.
	c = Compare(set, problems, nil)
	for _, r := range repositories {
		if err := c.Absent(r); err != nil {
			t.Fatal(err)
		}
	}
	c.SourceUnread("src.io/p/x")
	if got := planText(t, c, set); got != "" {
		t.Errorf("with an unread source: %s", got)
	}
}

// TestSince (PR-7): digests, tags, mirrors and prefixes that are new, quoted or not.
func TestSince(t *testing.T) {
	base := community{
		"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n    \"<2>\": [v2]\n"},
		"q": {"", "- {name: y, dmap: {\"<4>\": [v1]}}"},
	}
	tests := map[string]struct {
		project, registries, images string
		want                        string
	}{
		"nothing":           {"p", "", "# another comment\n- name: x\n  dmap:\n    <1>: [v1]\n    <2>: [v2]\n", "map[]"},
		"a digest":          {"p", "", "- name: x\n  dmap:\n    <1>: [v1]\n    <2>: [v2]\n    <3>: [v3]\n", "map[x:map[3:[0 1]]]"},
		"a tag":             {"p", "", "- name: x\n  dmap:\n    <1>: [v1, v]\n    <2>: [v2]\n", "map[x:map[1:[0 1]]]"},
		"a tag that moves":  {"p", "", "- name: x\n  dmap:\n    <1>: []\n    <2>: [v2, v1]\n", "map[x:map[2:[0 1]]]"},
		"one less":          {"p", "", "- name: x\n  dmap:\n    <1>: [v1]\n", "map[]"},
		"a mirror":          {"p", roots + "- name: c.pkg.dev/k/i\n", "- name: x\n  dmap:\n    <1>: [v1]\n    <2>: [v2]\n", "map[x:map[1:[2] 2:[2]]]"},
		"a prefix":          {"q", roots + "- name: b.pkg.dev/k/i/sub\n", "- {name: y, dmap: {<4>: [v1]}}", "map[sub/y:map[4:[1]]]"},
		"another project":   {"z", "", "- {name: z, dmap: {<5>: []}}", "map[z:map[5:[0 1]]]"},
		"a mirror in front": {"q", roots + "- name: 0.pkg.dev/k/i\n", "- {name: y, dmap: {<4>: [v1]}}", "map[y:map[4:[0]]]"},
	}
	before, _ := base.load(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			now := maps.Clone(base)
			now[tt.project] = [2]string{tt.registries, tt.images}
			set, _ := now.load(t)
			var s Scope
			s.Since(before, set)
			if got := short(fmt.Sprint(s.Digests)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	set, _ := base.load(t)
	var s Scope
	s.Since(nil, set)
	if got := short(fmt.Sprint(s.Digests)); got != "map[x:map[1:[0 1] 2:[0 1]] y:map[4:[0 1]]]" {
		t.Errorf("since nothing: %s", got)
	}
}

func TestScope(t *testing.T) {
	set, problems := community{
		"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n    \"<2>\": [v2]\n"},
		"q": {"", "- {name: y, dmap: {\"<4>\": [v1]}}"},
	}.load(t)
	scope := &Scope{Projects: map[string]bool{"p": true}}
	scope.Add("x", d("2"), []int{1})
	c := Compare(set, problems, scope)
	var names []string
	for r := range c.Repositories {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "b.pkg.dev/k/i/x" {
		t.Errorf("repositories: %s", got)
	}
	if err := c.ReadInventory(strings.NewReader("{}")); err != nil {
		t.Fatal(err)
	}
	if got := planText(t, c, set); got != "p: x@2 v2 to b from src.io/p/x new b" {
		t.Errorf("got %s", got)
	}
}
