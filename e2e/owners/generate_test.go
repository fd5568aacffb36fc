// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// tree is a repository's files by path, as small as a test wants them.
type tree map[string]string

// settings are the parts of Prow's configuration that change how OWNERS files are read.
type settings struct {
	markdown  bool
	denylist  []string
	filenames [2]string // OWNERS, OWNERS_ALIASES
}

// generator makes trees out of one seed: the same seed makes the same tree on every machine.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator {
	return generator{rand.New(rand.NewPCG(seed, 0x5eed))}
}

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// chance is true in percent of a hundred calls.
func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

// settings vary less than trees: most repositories have none. No pattern of the denylist matches a folder only
// by the path of the clone above it: Prow sees that path in one place, and what it does then depends on where it
// keeps its clones.
func (g generator) settings() settings {
	s := settings{filenames: [2]string{"OWNERS", "OWNERS_ALIASES"}, markdown: g.chance(50)}
	if g.chance(30) {
		s.denylist = append(s.denylist, g.pick(`^docs$`, `third_?party`, `pkg/a`, `(^|/)b$`))
	}
	if g.chance(10) {
		s.filenames = [2]string{"WHO", "WHO_ALIASES"}
	}
	return s
}

// tree makes a repository of up to a dozen folders. What decides access is never only valid.
func (g generator) tree(s settings) tree {
	t := tree{}
	for _, dir := range g.dirs() {
		for range 1 + g.IntN(3) {
			g.file(t, dir)
		}
		if dir == "." && g.chance(85) || g.chance(60) {
			t[path.Join(dir, s.filenames[0])] = g.owners()
		}
	}
	if g.chance(75) {
		t[s.filenames[1]] = g.aliases()
	}
	return t
}

func (g generator) file(t tree, dir string) {
	name := g.pick("a.go", "b_test.go", "Makefile", "README.md", "guide.md", "OWNERS.txt", "owners", "deploy.yaml")
	t[path.Join(dir, name)] = g.pick("", "text\n", g.frontMatter())
}

func (g generator) dirs() []string {
	dirs := []string{"."}
	for range g.IntN(12) {
		parent := dirs[g.IntN(len(dirs))]
		name := g.pick("a", "b", "pkg", "docs", "Docs", "vendor", "third_party", "_output", "x_output", "mirror.git", "v1.2")
		if strings.Count(parent, "/") < 4 {
			dirs = append(dirs, path.Join(parent, name))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// owners makes the content of an OWNERS file: mostly as documented, sometimes as people write it.
func (g generator) owners() string {
	switch n := g.IntN(100); {
	case n < 40:
		return g.simple("")
	case n < 65:
		return g.full()
	case n < 70:
		return g.simple("") + g.full() // both forms in one file
	case n < 80:
		return g.malformed()
	case n < 85:
		return g.pick("", "\n", "# nothing\n", "---\n", "{}\n", "null\n", "[]\n", "text\n", "approvers:\n")
	case n < 92:
		return g.simple("") + g.unknown()
	default:
		return g.odd()
	}
}

// simple writes any of the four lists and the options.
func (g generator) simple(indent string) string {
	var b strings.Builder
	for _, key := range []string{"approvers", "reviewers", "required_reviewers", "labels"} {
		if g.chance(55) {
			b.WriteString(g.list(indent, key))
		}
	}
	if indent == "" && g.chance(35) {
		b.WriteString(g.options())
	}
	return b.String()
}

func (g generator) list(indent, key string) string {
	member := g.login
	if key == "labels" {
		member = func() string { return g.pick("area/dns", "sig/Testing", "kind/bug", "@label") }
	}
	if g.chance(20) {
		return fmt.Sprintf("%s%s: [%s, %s]\n", indent, key, member(), member())
	}
	b := indent + key + ":\n"
	for range g.IntN(4) {
		b += indent + "- " + member() + "\n"
	}
	return b
}

func (g generator) login() string {
	return g.pick("ann", "Bob", "\"@carl\"", "DORA", "eve-1", "team-a", "Team-A", "sig-dns-leads", "nested", "empty-group", "'@Team-B'")
}

func (g generator) options() string {
	b := "options:\n"
	if g.chance(80) {
		b += "  no_parent_owners: " + g.pick("true", "true", "true", "false") + "\n"
	}
	if g.chance(30) {
		b += "  auto_approve_unowned_subfolders: true\n"
	}
	return b
}

func (g generator) full() string {
	b := "filters:\n"
	patterns := map[string]bool{}
	for range 1 + g.IntN(3) {
		patterns[g.pick(".*", `\\.go$`, `\\.md$`, "^a/", "README", "(?i)readme", "", "^$", "[", "a(", "*", `^\\.$`, "b")] = true
	}
	for _, p := range slices.Sorted(maps.Keys(patterns)) {
		b += "  \"" + p + "\":\n" + g.simple("    ")
	}
	if g.chance(40) {
		b += g.options()
	}
	return b
}

// malformed is what no YAML parser takes, or what has another shape than the lists.
func (g generator) malformed() string {
	return g.pick(
		"approvers:\n- ann\n  - bob: [\n", "approvers: [ann\n", "\tapprovers:\n", "approvers: ann\n", "approvers: 3\n",
		"approvers: {ann: bob}\n", "approvers:\n- [ann]\n", "approvers:\n- {a: b}\n", "filters: [a]\n", "filters:\n  .*: ann\n",
		"options: true\n", "options:\n  no_parent_owners: maybe\napprovers: [ann]\n", "approvers: *nobody\n", "- approvers\n",
		"approvers: [ann]\nfilters: wrong\n", "labels: no-list\nfilters:\n  .*:\n    approvers: [ann]\n", "a: b: c\n", "%\n", "\x01\n",
	)
}

func (g generator) unknown() string {
	return g.pick("emeritus_approvers:\n- old\n", "no_parent_owners: true\n", "infra:\n  verbs: [freeze]\n", "approver: [ann]\n",
		"option:\n  no_parent_owners: true\n", "minimum_reviewers_required: 2\n")
}

// odd is valid YAML that a decoder may well read otherwise than its author meant it.
func (g generator) odd() string {
	return g.pick(
		"Approvers: [ann]\n", "APPROVERS: [ann]\napprovers: [bob]\n", "approvers: [ann]\napprovers: [bob]\n", "approvers: [yes, no, ~, 12, 1.5, 0x10]\n",
		"approvers: [~]\n", "approvers: ['']\n", "approvers: [2024-06-06, 1_000, 1e3]\n", "approvers: &x [ann]\nreviewers: *x\n",
		"base: &b\n  no_parent_owners: true\noptions:\n  <<: *b\napprovers: [ann]\n", "approvers: [ann]\n---\napprovers: [bob]\n",
		"options:\n  no_parent_owners: yes\napprovers: [ann]\n", "options:\n  no_parent_owners: \"true\"\napprovers: [ann]\n",
		"options:\n  No_Parent_Owners: true\napprovers: [ann]\n", "options: ~\napprovers: [ann]\n", "approvers: ~\nreviewers: [ann]\n",
		"{\"approvers\": [\"ann\"]}\n", "approvers: [\"@@ann\", \"@\", \" ann \"]\n", "\ufeffapprovers: [ann]\n", "approvers:\r\n- ann\r\n",
		"filters:\n  .*: ~\n", "filters:\n  .*:\n    Approvers: [ann]\n", "filters:\n  1:\n    approvers: [ann]\n", "filters: {}\n",
		"options:\n  no_parent_owners: true\n", "options:\n  no_parent_owners: true\nfilters: {}\n",
	)
}

// aliases makes an OWNERS_ALIASES. More than one alias beside a broken one would be read by Prow in random
// order, with random results (F7 of the access rules), so a broken one is alone.
func (g generator) aliases() string {
	if g.chance(15) {
		return g.pick("", "aliases:\n", "aliases: [a]\n", "aliases: {a\n", "team-a: [ann]\n", "aliases:\n  team-a: ann\n", "aliases:\n  team-a: [1]\n",
			"aliases:\n  team-a: [[ann]]\n", "aliases: ~\n", "aliases: text\n", "Aliases:\n  team-a: [ann]\n")
	}
	b := "aliases:\n"
	for _, name := range []string{"team-a", "TEAM-B", "sig-dns-leads", "nested", "empty-group"} {
		if g.chance(70) {
			b += "  " + name + ":" + g.members(name)
		}
	}
	return b
}

func (g generator) members(alias string) string {
	switch {
	case alias == "empty-group":
		return g.pick(" []\n", "\n", " ~\n")
	case alias == "nested":
		return "\n  - team-a\n  - ann\n"
	case g.chance(10):
		return " {ann, Bob}\n"
	case g.chance(10):
		return "\n  - Zoe # leads\n  - \"@zoe\"\n"
	}
	return "\n  - " + g.pick("zoe", "Yan", "\"@xavier\"", "ann") + "\n"
}

// frontMatter heads a Markdown file; in another file it is text.
func (g generator) frontMatter() string {
	switch g.IntN(6) {
	case 0:
		return "---\napprovers: [mia\n---\n"
	case 1:
		return "---\ntitle: x\n---\ntext\n---\nmore\n"
	case 2:
		return "text\n---\napprovers: [mia]\n---\n"
	case 3:
		return "---\r\napprovers: [mia]\r\n---\r\n"
	default:
		return "---\n" + g.simple("") + "---\n# Title\n"
	}
}
