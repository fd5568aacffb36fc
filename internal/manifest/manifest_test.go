// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"sigs.k8s.io/steward/internal/finding"
)

// tree makes files of a txtar text; @a to @z are digests.
func tree(text string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		files[f.Name] = &fstest.MapFile{Data: []byte(expand(string(f.Data))), Mode: 0o644}
	}
	return files
}

func expand(text string) string {
	for c := 'a'; c <= 'z'; c++ {
		text = strings.ReplaceAll(text, "@"+string(c), digest(byte(c)))
	}
	return text
}

func digest(c byte) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", c), 32) }

const registries = `
-- r/manifests/p/promoter-manifest.yaml --
registries:
- name: gcr.io/staging
  src: true
- name: us-docker.pkg.dev/prod/images/sub
- name: eu-docker.pkg.dev/prod/images/sub
  service-account: promoter@prod.example
-- r/images/p/images.yaml --
`

// load reads a tree and says its problems as POSITION RULE, one a line.
func load(t *testing.T, text string) (*Set, string) {
	t.Helper()
	set, problems, err := Load(tree(text), "r")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, p := range problems {
		said = append(said, strings.TrimPrefix(p.Position(), "r/")+" "+p.Rule)
		if p.Fix == "" || p.Object == "" || p.Message == "" {
			t.Errorf("incomplete: %+v", p)
		}
	}
	return set, strings.Join(said, "\n")
}

// shownOf is the entries of the first manifest as a text.
func shownOf(m *Manifest) string {
	var b strings.Builder
	for _, e := range m.Entries {
		fmt.Fprintf(&b, "%s:%d", e.Name, e.Line)
		for _, d := range append(slices.Clone(e.Digests), e.Lost...) {
			fmt.Fprintf(&b, " %.9s:%d", d.Digest, d.Line)
			for _, t := range d.Tags {
				fmt.Fprintf(&b, ",%s:%d", t.Name, t.Line)
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// TestOddities are the forms that real files have.
func TestOddities(t *testing.T) {
	for name, c := range map[string]struct{ images, want string }{
		"tags keep their text": {
			"- name: a\n  dmap:\n    \"@a\": [1.10, 010, 1e3, true, null_, 2024-01-01, \"x\"]\n",
			"a:1 sha256:61:3,1.10:3,010:3,1e3:3,true:3,null_:3,2024-01-01:3,x:3",
		},
		"one name several times": {
			"- name: a\n  dmap:\n    @a: [\"1\"]\n- name: b\n  dmap: {\"@b\": []}\n- name: a\n  dmap:\n    \"@c\": [\"2\"]\n    \"@a\": [\"3\"]\n",
			"a:1 sha256:61:3,1:3,3:9 sha256:63:8,2:8\nb:4 sha256:62:5",
		},
		"tags as a block, or none": {
			"- name: x/y\n  dmap:\n    \"@a\":\n    - one\n    - two\n    \"@b\":\n",
			"x/y:1 sha256:61:3,one:4,two:5 sha256:62:6",
		},
		"empty":         {"", ""},
		"only comments": {"# No images yet\n", ""},
		"null":          {"---\n~\n", ""},
	} {
		set, said := load(t, registries+c.images)
		if got := shownOf(set.Manifests[0]); got != c.want || said != "" || !set.Manifests[0].Whole {
			t.Errorf("%s:\n%s\nwant\n%s\n%s", name, got, c.want, said)
		}
	}
}

// TestRules has an example of every way to break a file. whole says whether
// everything that is declared is known all the same.
func TestRules(t *testing.T) {
	ok := "- name: a\n  dmap: {\"@a\": [x]}\n"
	for name, c := range map[string]struct {
		images, want string
		whole        bool
	}{
		"no YAML":            {"- name: a\n- name: [\n", "images/p/images.yaml:2 MANIFEST-2", false},
		"second document":    {ok + "---\n" + ok, "images/p/images.yaml MANIFEST-2", false},
		"no list":            {"name: a\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"element":            {"- a\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"no name":            {"- dmap: {\"@a\": [x]}\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"nothing":            {"- {}\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"name is a list":     {"- name: [a]\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"unknown key":        {"- name: a\n  dmapp: {}\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:2 MANIFEST-2", false},
		"dmap is a list":     {"- name: a\n  dmap: [x]\n", "images/p/images.yaml:2 MANIFEST-2", false},
		"tags are a text":    {"- name: a\n  dmap: {\"@a\": x}\n", "images/p/images.yaml:2 MANIFEST-2", false},
		"tag is a list":      {"- name: a\n  dmap: {\"@a\": [[x]]}\n", "images/p/images.yaml:2 MANIFEST-2", false},
		"anchor":             {"- &a\n  name: a\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"alias":              {"- name: a\n  dmap: {\"@a\": [&x y, *x]}\n", "images/p/images.yaml:2 MANIFEST-2\nimages/p/images.yaml:2 MANIFEST-2", false},
		"merge":              {"- <<: {name: a}\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"YAML tag":           {"- name: !!binary YQ==\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:1 MANIFEST-2", false},
		"empty dmap":         {"- name: a\n  dmap: {}\n", "images/p/images.yaml:1 MANIFEST-2", true},
		"absent dmap":        {"- name: a\n", "images/p/images.yaml:1 MANIFEST-2", true},
		"key twice":          {"- name: a\n  name: a\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:2 MANIFEST-3", true},
		"digest twice":       {"- name: a\n  dmap:\n    \"@a\": [x]\n    \"@a\": [y]\n", "images/p/images.yaml:4 MANIFEST-3", true},
		"name":               {"- name: A/b\n  dmap: {\"@a\": [x]}\n", "images/p/images.yaml:1 MANIFEST-5", true},
		"digest too short":   {"- name: a\n  dmap:\n    \"sha256:1234\": [x]\n", "images/p/images.yaml:3 MANIFEST-6", true},
		"digest upper case":  {"- name: a\n  dmap:\n    \"sha256:" + strings.Repeat("A", 64) + "\": [x]\n", "images/p/images.yaml:3 MANIFEST-6", true},
		"tag":                {"- name: a\n  dmap:\n    \"@a\": [\"-x\", \"x y\"]\n", "images/p/images.yaml:3 MANIFEST-7\nimages/p/images.yaml:3 MANIFEST-7", true},
		"signature":          {"- name: a\n  dmap:\n    \"@a\": [x, sha256-" + strings.Repeat("0", 64) + ".sig]\n", "images/p/images.yaml:3 MANIFEST-7", true},
		"nearly a signature": {"- name: a\n  dmap:\n    \"@a\": [x, sha256-" + strings.Repeat("0", 63) + "]\n", "", true},
		"latest":             {"- name: a\n  dmap:\n    \"@a\": [x, latest]\n", "images/p/images.yaml:3 MANIFEST-7", true},
		"two digests":        {"- name: a\n  dmap:\n    \"@a\": [x]\n    \"@b\": [x]\n", "images/p/images.yaml:4 MANIFEST-8", true},
		"two digests, apart": {ok + "- name: a\n  dmap: {\"@b\": [x]}\n", "images/p/images.yaml:4 MANIFEST-8", true},
		"redundant":          {ok + ok, "images/p/images.yaml:4 MANIFEST-9", true},
		"tag twice":          {"- name: a\n  dmap: {\"@a\": [x, x]}\n", "images/p/images.yaml:2 MANIFEST-9", true},
		"all at once": {
			"- name: A\n- name: a\n  x: y\n  dmap: {\"@a\": [\" \"], \"z\": []}\n",
			"images/p/images.yaml:1 MANIFEST-5\nimages/p/images.yaml:4 MANIFEST-6\nimages/p/images.yaml:4 MANIFEST-7\nimages/p/images.yaml:3 MANIFEST-2", false,
		},
	} {
		set, said := load(t, registries+c.images)
		sorted := func(s string) string { l := strings.Split(s, "\n"); slices.Sort(l); return strings.Join(l, "\n") }
		if sorted(said) != sorted(c.want) || set.Manifests[0].Whole != c.whole {
			t.Errorf("%s: whole %v\n%s\nwant\n%s", name, set.Manifests[0].Whole, said, c.want)
		}
	}
}

func TestRegistries(t *testing.T) {
	const at = "manifests/p/promoter-manifest.yaml"
	for name, c := range map[string]struct{ registries, want, source, names string }{
		"empty":           {"", at + " MANIFEST-2", "", ""},
		"unknown key":     {"registries: [{name: gcr.io/s, src: true}, {name: gcr.io/d}]\nimages: []\n", at + ":2 MANIFEST-2", "gcr.io/s", "gcr.io/d"},
		"imagesPath":      {"registries: [{name: gcr.io/s, src: yes}, {name: gcr.io/d}]\nimagesPath: x\n", "", "gcr.io/s", "gcr.io/d"},
		"no source":       {"registries: [{name: gcr.io/d}]\n", at + " MANIFEST-4", "", "gcr.io/d"},
		"no destination":  {"registries: [{name: gcr.io/s, src: on}]\n", at + " MANIFEST-4", "gcr.io/s", ""},
		"two sources":     {"registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/t, src: true}\n- {name: gcr.io/d, src: false}\n", at + ":3 MANIFEST-4", "gcr.io/s", "gcr.io/d"},
		"twice":           {"registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/d}\n- {name: gcr.io/d}\n", at + ":4 MANIFEST-4", "gcr.io/s", "gcr.io/d"},
		"source again":    {"registries:\n- {name: gcr.io/s}\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/d}\n", "", "gcr.io/s", "gcr.io/d"},
		"no name":         {"registries:\n- {name: gcr.io/s, src: true}\n- {}\n- {name: gcr.io/d}\n", at + ":3 MANIFEST-2", "gcr.io/s", "gcr.io/d"},
		"not a registry":  {"registries:\n- {name: gcr.io/s, src: true}\n- {name: images/x}\n- {name: gcr.io/d}\n", at + ":3 MANIFEST-4", "gcr.io/s", "gcr.io/d"},
		"only a project":  {"registries:\n- {name: us-docker.pkg.dev/s, src: true}\n- {name: us-docker.pkg.dev/d}\n- {name: gcr.io/d}\n", at + ":3 MANIFEST-4", "us-docker.pkg.dev/s", "gcr.io/d"},
		"quoted boolean":  {"registries:\n- {name: gcr.io/s, src: true}\n- {name: gcr.io/d, src: \"false\"}\n", at + ":3 MANIFEST-2", "gcr.io/s", "gcr.io/d"},
		"registries once": {"registries: {name: gcr.io/s}\n", at + " MANIFEST-4\n" + at + ":1 MANIFEST-2", "", ""},
	} {
		set, said := load(t, "-- r/images/p/images.yaml --\n-- r/manifests/p/promoter-manifest.yaml --\n"+c.registries)
		var names []string
		for _, d := range set.Manifests[0].Destinations {
			names = append(names, d.Name)
		}
		if got := strings.Join(names, " "); said != c.want || got != c.names || set.Manifests[0].Source != c.source {
			t.Errorf("%s: %q from %q\n%s\nwant\n%s", name, got, set.Manifests[0].Source, said, c.want)
		}
	}
}

func TestLayout(t *testing.T) {
	const manifest = "registries: [{name: gcr.io/s, src: true}, {name: gcr.io/d}]\n"
	_, said := load(t, "-- r/manifests/p/promoter-manifest.yaml --\n"+manifest+`
-- r/manifests/p/deep/promoter-manifest.yaml --
-- r/manifests/none/OWNERS --
-- r/manifests/README.md --
-- r/images/orphan/images.yaml --
-- r/images/other/OWNERS --
-- r/images/README.md --
`)
	want := "images/orphan/images.yaml MANIFEST-1\nimages/p/images.yaml MANIFEST-1\nmanifests/none MANIFEST-1\nmanifests/p/deep/promoter-manifest.yaml MANIFEST-1"
	if said != want {
		t.Errorf("%s\nwant\n%s", said, want)
	}
	files := tree(registries)
	files["r/images/p/images.yaml"].Mode = fs.ModeSymlink
	if _, problems, err := Load(files, "r"); err != nil || len(problems) != 1 || problems[0].Rule != ruleLayout {
		t.Errorf("a link: %v, %v", problems, err)
	}
	files["r/images/p/images.yaml"] = &fstest.MapFile{Data: make([]byte, maxFile+1)}
	if set, problems, err := Load(files, "r"); err != nil || len(problems) != 1 || problems[0].Rule != ruleLayout || set.Manifests[0].Whole {
		t.Errorf("a giant: %v, %v", problems, err)
	}
	for name, files := range map[string]fs.FS{
		"no folder":    fstest.MapFS{},
		"no manifests": tree("-- r/manifests/x --\n-- r/images/x --\n"),
		"no images":    tree("-- r/manifests/p/promoter-manifest.yaml --\n" + manifest),
		"broken disk":  broken{tree(registries)},
	} {
		if set, _, err := Load(files, "r"); err == nil {
			t.Errorf("%s: %v", name, set)
		}
	}
}

// broken cannot read the lists of images.
type broken struct{ fs.FS }

func (b broken) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, imagesFile) {
		return nil, errors.New("input/output error")
	}
	return b.FS.Open(name)
}

func TestMirrors(t *testing.T) {
	for name, c := range map[string]struct{ destinations, mirrors, images string }{
		"Artifact Registry": {
			"us-docker.pkg.dev/prod/images/sub eu-docker.pkg.dev/prod/images/sub",
			"eu-docker.pkg.dev/prod/images us-docker.pkg.dev/prod/images", "sub/x[0 1]",
		},
		"two prefixes": {
			"us-docker.pkg.dev/prod/images us-docker.pkg.dev/prod/images/kubernetes",
			"us-docker.pkg.dev/prod/images", "kubernetes/x[0] x[0]",
		},
		"what they have in common": {"quay.io/a/b/c quay.io/a/b/d ghcr.io/o/p", "ghcr.io/o/p quay.io/a/b", "c/x[1] d/x[1] x[0]"},
		"two accounts of a host":   {"quay.io/a quay.io/b", "quay.io/a quay.io/b", "x[0 1]"},
		"a host and its child":     {"localhost:5000 localhost:5000/a", "localhost:5000", "a/x[0] x[0]"},
	} {
		text := "-- r/images/p/images.yaml --\n- name: x\n  dmap: {\"@a\": [t]}\n-- r/manifests/p/promoter-manifest.yaml --\nregistries:\n- {name: gcr.io/s, src: true}\n"
		for _, d := range strings.Fields(c.destinations) {
			text += "- {name: \"" + d + "\"}\n"
		}
		set, said := load(t, text)
		var images []string
		for _, i := range set.Images {
			images = append(images, i.Path+fmt.Sprint(i.On()))
		}
		if m, i := strings.Join(set.Mirrors, " "), strings.Join(images, " "); m != c.mirrors || i != c.images || said != "" {
			t.Errorf("%s: %s; %s\n%s", name, m, i, said)
		}
	}
}

// TestManifestsMeet has two manifests that share a prefix on one of their mirrors.
func TestManifestsMeet(t *testing.T) {
	text := `
-- r/manifests/a/promoter-manifest.yaml --
registries: [{name: gcr.io/a, src: true}, {name: us-docker.pkg.dev/p/i}, {name: eu-docker.pkg.dev/p/i}]
-- r/images/a/images.yaml --
- name: x
  dmap: {"@a": [one, two, three], "@c": []}
- name: x
  dmap: {"sha256:12": [four]}
-- r/manifests/b/promoter-manifest.yaml --
registries: [{name: gcr.io/b, src: true}, {name: us-docker.pkg.dev/p/i}]
-- r/images/b/images.yaml --
- name: x
  dmap:
    "@b": [one]
    "@a": [two]
`
	set, said := load(t, text)
	if want := "images/a/images.yaml:4 MANIFEST-6\nimages/b/images.yaml:3 MANIFEST-8\nimages/b/images.yaml:4 MANIFEST-9"; said != want {
		t.Errorf("%s\nwant\n%s", said, want)
	}
	image := set.Image("x")
	if image == nil || set.Image("y") != nil || !slices.Equal(image.On(), []int{0, 1}) {
		t.Fatalf("image x is %+v", image)
	}
	eu, us := image.At(0), image.At(1)
	a, b := Place{"r/images/a/images.yaml", 2}, Place{"r/images/b/images.yaml", 3}
	if want := (Contents{
		Digests: map[string]Place{digest('a'): a, digest('c'): a},
		Tags:    map[string]Claim{"one": {a, []string{digest('a')}}, "two": {a, []string{digest('a')}}, "three": {a, []string{digest('a')}}},
		Lost:    map[string]Place{"four": {a.File, 4}},
	}); !reflect.DeepEqual(eu, want) {
		t.Errorf("eu: %+v", eu)
	}
	if want := (Claim{a, []string{digest('a'), digest('b')}}); !reflect.DeepEqual(us.Tags["one"], want) || us.Digests[digest('b')] != b || len(us.Digests) != 3 {
		t.Errorf("us: %+v", us)
	}
}

func TestFindingsAreToldApart(t *testing.T) {
	_, problems, err := Load(tree(registries+"- name: a\n  dmap:\n    \"sha256:1\": [\" \", \"+\"]\n    \"sha256:2\": [x, x]\n    \"@a\": [x, x]\n- [x]\n- name: B\n- name: C\n- {name: d, e: f, g: h}\n"), "r")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]finding.Finding{}
	for _, p := range problems {
		if was, again := seen[p.Fingerprint()]; again {
			t.Errorf("one fingerprint:\n%+v\n%+v", was, p)
		}
		seen[p.Fingerprint()] = p
	}
}

func TestGrammar(t *testing.T) {
	for name, c := range map[string]struct {
		is       func(string) bool
		yes, not []string
	}{
		"digest":   {IsDigest, []string{digest('a')}, []string{"", "sha256:", digest('a')[1:], digest('a') + "0", strings.ToUpper(digest('a'))}},
		"tag":      {IsTag, []string{"1", "v1.2-a_B", "_x", strings.Repeat("x", 128)}, []string{"", ".x", "-x", "a/b", "a b", "é", strings.Repeat("x", 129)}},
		"path":     {IsPath, []string{"a", "a/b-c", "a__b", "a.b", "a---b", "0"}, []string{"", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "-a", "a-", "a._b", "../x", strings.Repeat("x", 256)}},
		"registry": {IsRegistry, []string{"gcr.io", "gcr.io/a/b", "localhost:5000", "localhost/a", "127.0.0.1:5000/a"}, []string{"", "gcr", "a/b", "gcr.io/", "gcr.io/A", "gcr..io", "gcr.io:x/a", "gcr.io:/a", "user@gcr.io/a", "GCR.io"}},
	} {
		for _, s := range c.yes {
			if !c.is(s) {
				t.Errorf("%q is no %s", s, name)
			}
		}
		for _, s := range c.not {
			if c.is(s) {
				t.Errorf("%q is a %s", s, name)
			}
		}
	}
}

// TestThick (MF-10): one file with registries and images is the same as both files of a thin manifest.
func TestThick(t *testing.T) {
	const images = `
- name: web
  dmap:
    "@a": ["1.10"]
- name: web
  dmap: {@b: [1.9]}`
	thin, said := load(t, registries+images)
	if said != "" {
		t.Fatal(said)
	}
	text := strings.Replace(strings.Replace(registries, "r/manifests/p/promoter-manifest.yaml", "some/thick.yaml", 1), "-- r/images/p/images.yaml --", "images:", 1)
	thick, problems, err := Load(tree(text+images), "some/thick.yaml")
	if err != nil || len(problems) != 0 {
		t.Fatal(err, problems)
	}
	for i, image := range thick.Images {
		was := thin.Images[i]
		if image.Path != was.Path || fmt.Sprint(tagsAt(image)) != fmt.Sprint(tagsAt(was)) {
			t.Errorf("%s %v, in two files %s %v", image.Path, tagsAt(image), was.Path, tagsAt(was))
		}
	}
	if m := thick.Manifests[0]; m.Name != "thick" || m.Images != "some/thick.yaml" || !slices.Equal(thick.Mirrors, thin.Mirrors) {
		t.Errorf("%+v on %v", m, thick.Mirrors)
	}
	for want, text := range map[string]string{
		"some/thick.yaml MANIFEST-2":   "registries: [{name: gcr.io/a, src: true}, {name: gcr.io/b}]\n",
		"some/thick.yaml:3 MANIFEST-6": "registries: [{name: gcr.io/a, src: true}, {name: gcr.io/b}]\nimages:\n- {name: a, dmap: {\"sha256:1\": []}}\n",
		"some/thick.yaml:2 MANIFEST-2": "registries: [{name: gcr.io/a, src: true}, {name: gcr.io/b}]\nimages: 3\n",
	} {
		_, problems, err := Load(fstest.MapFS{"some/thick.yaml": {Data: []byte(text)}}, "some/thick.yaml")
		if err != nil || len(problems) != 1 || problems[0].Position()+" "+problems[0].Rule != want {
			t.Errorf("%s: %v %v, want %s", text, problems, err, want)
		}
	}
	// In a thin manifest images are an error: the promoter does not read them there.
	_, said = load(t, strings.Replace(registries, "-- r/images", "images: []\n-- r/images", 1))
	if !strings.HasPrefix(said, "manifests/p/promoter-manifest.yaml:") || !strings.Contains(said, "MANIFEST-2") {
		t.Errorf("images in a thin manifest: %q", said)
	}
}

func tagsAt(i *Image) []string {
	var all []string
	c := i.At(0)
	for tag, claim := range c.Tags {
		all = append(all, tag+" "+strings.Join(claim.Digests, ","))
	}
	slices.Sort(all)
	return all
}

func FuzzLoad(f *testing.F) {
	f.Add("- name: a\n  dmap:\n    \"sha256:"+strings.Repeat("0", 64)+"\": [\"1.0\", x]\n", "registries:\n- name: gcr.io/a\n  src: true\n- name: us-docker.pkg.dev/p/i/x\n")
	f.Add("- &a {name: x, dmap: *a}\n", "{registries: [{name: [], src: yes}], <<: {}}")
	f.Add("[[[[[{{{{", "\xff")
	f.Fuzz(func(t *testing.T, images, registries string) {
		files := fstest.MapFS{
			"r/images/p/images.yaml":                {Data: []byte(images)},
			"r/manifests/p/promoter-manifest.yaml":  {Data: []byte(registries)},
			"r/images/q/images.yaml":                {Data: []byte(images)},
			"r/manifests/q/promoter-manifest.yaml":  {Data: []byte("registries: [{name: gcr.io/s, src: true}, {name: us-docker.pkg.dev/p/i/x}]")},
			"r/manifests/zz/promoter-manifest.yaml": {Data: []byte(images)},
		}
		set, problems, err := Load(files, "r")
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			if len(p.Message) > 1000 || p.Rule == "" || p.File == "" {
				t.Errorf("finding %+v", p)
			}
		}
		for _, m := range set.Manifests {
			if !m.Whole && !slices.ContainsFunc(problems, func(p finding.Finding) bool { return p.File == m.File || p.File == m.Images }) {
				t.Errorf("%s is not whole, and nothing says why", m.Name)
			}
		}
		for _, i := range set.Images {
			if !IsPath(i.Path) && len(i.Path) <= pathLength {
				t.Errorf("image at %q", i.Path)
			}
			for _, m := range i.On() {
				for d := range i.At(m).Digests {
					if !IsDigest(d) {
						t.Errorf("digest %q", d)
					}
				}
			}
		}
	})
}
