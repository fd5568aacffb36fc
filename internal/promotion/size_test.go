// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"fmt"
	"strings"
	"testing"
)

// TestSizesThatNobodyMeans plans what somebody could propose to keep a planner busy. Each grew with the square once, and took
// minutes.
func TestSizesThatNobodyMeans(t *testing.T) {
	const many = 100_000
	list := func(each func(i int) string) string {
		var b strings.Builder
		for i := range many {
			b.WriteString(each(i))
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		images, registries string
		steps, faults      int
	}{
		"tags of a digest":    {images: "- name: x\n  dmap:\n    \"<1>\": [" + list(func(i int) string { return fmt.Sprintf("v%d,", i) }) + "]\n", steps: 1},
		"digests of a tag":    {images: "- name: x\n  dmap:\n" + list(func(i int) string { return fmt.Sprintf("    \"sha256:%064x\": [v]\n", i) })},
		"digests of an image": {images: "- name: x\n  dmap:\n" + list(func(i int) string { return fmt.Sprintf("    \"sha256:%064x\": []\n", i) }), steps: many},
		"destinations": {
			images:     "- name: x\n  dmap: {\"<1>\": [v]}\n",
			registries: "registries:\n- {name: src.io/p, src: true}\n" + list(func(i int) string { return fmt.Sprintf("- name: a%d.pkg.dev/k/i\n", i) }), faults: 1,
		},
		"images at many places": {
			images:     list(func(i int) string { return fmt.Sprintf("- {name: x%d, dmap: {\"<1>\": [v]}}\n", i) }),
			registries: roots + "- name: a.pkg.dev/k/i/sub\n- name: b.pkg.dev/k/i/sub\n", faults: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, problems := community{"p": {c.registries, c.images}}.load(t)
			projects, err := Compare(set, problems, nil).Projects("")
			if err != nil || len(projects) != min(1, c.steps+c.faults) {
				t.Fatalf("%d projects, %v", len(projects), err)
			}
			for _, p := range projects {
				if len(p.Plan.Steps) != c.steps || len(p.Faults) != c.faults {
					t.Errorf("%d steps, %d faults", len(p.Plan.Steps), len(p.Faults))
				}
			}
		})
	}
}

// TestRefusedDestinations (MF-7): what a manifest may not name decides nothing about the mirrors of others.
func TestRefusedDestinations(t *testing.T) {
	good := "- name: x\n  dmap: {\"<1>\": [v1]}\n"
	bad := "registries:\n- {name: src.io/q, src: true}\n- name: %s\n- name: a.pkg.dev/k/i\n"
	for _, destination := range []string{"a.pkg.dev/k", "a.pkg.dev", "b.pkg.dev/k", "evil.io/k/i"} {
		c := community{"p": {"", good}, "q": {fmt.Sprintf(bad, destination), "- name: y\n  dmap: {\"<2>\": [v1]}\n"}}
		set, problems := c.load(t, "a.pkg.dev/k/i", "b.pkg.dev/k/i")
		comparison := Compare(set, problems, nil)
		if err := comparison.ReadInventory(strings.NewReader(inventoryOf("a.pkg.dev/k/i/x 9:v1"))); err != nil {
			t.Fatal(err)
		}
		const want = "p: PROMOTE-1 r/images/p/images.yaml:2 x:v1\nq: PROMOTE-3 r/manifests/q/promoter-manifest.yaml:0 q"
		if got := planText(t, comparison, set); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", destination, got, want)
		}
		if strings.Join(set.Mirrors, " ") != "a.pkg.dev/k/i b.pkg.dev/k/i" {
			t.Errorf("%s: mirrors %v", destination, set.Mirrors)
		}
	}
}
