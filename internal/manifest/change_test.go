// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
)

func says(found []finding.Finding) string {
	var lines []string
	for _, f := range found {
		lines = append(lines, strings.TrimPrefix(f.Position(), "r/")+" "+f.Rule+" "+f.Object)
	}
	return strings.Join(lines, "\n")
}

func TestChange(t *testing.T) {
	const old = registries + `
- name: x
  dmap:
    "@a": ["1.0", "1.1"]
    "@b": ["2.0"]
- name: gone
  dmap: {"@c": [v1]}
`
	for name, c := range map[string]struct{ now, want string }{
		"nothing":    {old, ""},
		"reordered":  {registries + "- {name: gone, dmap: {\"@c\": [v1]}}\n- {name: x, dmap: {\"@b\": [2.0], \"@a\": [1.1, 1.0]}}\n", ""},
		"more":       {old + "- name: x\n  dmap: {\"@d\": [3.0], \"@a\": [latest]}\n", ""},
		"moved":      {strings.Replace(old, `"@b": ["2.0"]`, `"@d": ["2.0"]`, 1), "images/p/images.yaml:2 MANIFEST-11 sub/x\nimages/p/images.yaml:5 MANIFEST-10 sub/x:2.0"},
		"tag gone":   {strings.Replace(old, `, "1.1"`, "", 1), "images/p/images.yaml:2 MANIFEST-11 sub/x"},
		"image gone": {strings.Replace(old, "- name: gone\n  dmap: {\"@c\": [v1]}\n", "", 1), "images/p/images.yaml MANIFEST-11 sub/gone"},
		"not whole":  {registries + "- {", ""},
		// On mirrors that have nothing in common a tag may be something else.
		"elsewhere": {strings.NewReplacer("us-docker", "me-docker", "eu-docker", "as-docker", `"@b": ["2.0"]`, `"@b": ["2.0"]`+"\n    \"@d\": [\"1.0\"]", `["1.0", `, `[`).Replace(old), ""},
	} {
		before, _ := load(t, old)
		after, _ := load(t, c.now)
		if got := says(Change(before, after)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
	}
}

func TestDestinationsThatAreAllowed(t *testing.T) {
	roots := []string{"us-docker.pkg.dev/prod/images", "eu-docker.pkg.dev/prod/images"}
	manifest := func(destinations ...string) string {
		text := "-- r/images/p/images.yaml --\n-- r/manifests/p/promoter-manifest.yaml --\nregistries:\n- {name: gcr.io/s, src: true}\n"
		for _, d := range destinations {
			text += "- {name: \"" + d + "\"}\n"
		}
		return text
	}
	const above = "manifests/p/promoter-manifest.yaml:3 MANIFEST-4 r/manifests/p/promoter-manifest.yaml"
	for name, c := range map[string]struct {
		destinations  []string
		want, guessed string // with the roots, and without
	}{
		"all":          {[]string{roots[0] + "/a", roots[1] + "/a"}, "", ""},
		"roots":        {roots, "", ""},
		"two prefixes": {[]string{roots[0], roots[1], roots[0] + "/a", roots[1] + "/a"}, "", ""},
		"one missing":  {[]string{roots[0] + "/a"}, "manifests/p/promoter-manifest.yaml MANIFEST-13 p/a", ""},
		"mixed":        {[]string{roots[0] + "/a", roots[1] + "/b"}, "manifests/p/promoter-manifest.yaml MANIFEST-13 p/a\nmanifests/p/promoter-manifest.yaml MANIFEST-13 p/b", ""},
		"outside":      {append([]string{"gcr.io/mine"}, roots...), "manifests/p/promoter-manifest.yaml:3 MANIFEST-12 gcr.io/mine", ""},
		"look-alike":   {append([]string{roots[0] + "-2/a"}, roots...), "manifests/p/promoter-manifest.yaml:3 MANIFEST-12 us-docker.pkg.dev/prod/images-2/a", ""},
		"above":        {append([]string{"us-docker.pkg.dev/prod"}, roots...), above, above},
		"far above":    {append([]string{"us-docker.pkg.dev"}, roots...), above, above},
	} {
		load := func(mirrors ...string) (*Set, string) {
			set, problems, err := Load(tree(manifest(c.destinations...)), "r", mirrors...)
			if err != nil {
				t.Fatal(err)
			}
			return set, says(append(problems, set.Halves(mirrors)...))
		}
		set, got := load(roots...)
		if got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
		}
		for _, m := range set.Mirrors {
			if !slices.Contains(roots, m) {
				t.Errorf("%s: %s became a mirror", name, m)
			}
		}
		if _, got := load(); got != c.guessed {
			t.Errorf("%s, without a list: %s", name, got)
		}
	}
}
