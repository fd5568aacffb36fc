// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseConfig(t *testing.T) {
	got, err := ParseConfig("f", []byte(`resources:
- type: a
  names: [a1, a2]
- type: b
  state: dirty
  min-count: 1
  max-count: 3
  lifespan: 48h
  needs: {a: 0}
  config: {type: T, content: "x"}
- {type: c, max-count: 1, lifespan: 1000000000}
`))
	want := Config{
		Static: []Group{{Type: "a", State: Free, Names: []string{"a1", "a2"}, Line: 2, Lines: []int{3, 3}}},
		Dynamic: []Dynamic{
			{Type: "b", State: Dirty, Min: 1, Max: 3, Lifespan: 48 * time.Hour, Needs: map[string]int{"a": 0}, Config: Build{"T", "x"}},
			{Type: "c", State: Free, Max: 1, Lifespan: time.Second},
		},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

func TestConfigMap(t *testing.T) {
	got, err := ParseConfig("f", []byte(`apiVersion: v1
kind: ConfigMap
data:
  other: text
  config: |
    resources:
    - type: a
      names:
      - x
      - Y
`))
	if err == nil || !strings.HasPrefix(err.Error(), `f:10: name "Y": has to consist of lower-case letters`) {
		t.Errorf("got %v, %v; want the fault at its line of the file", got, err)
	}
}

func TestConfigFaults(t *testing.T) {
	_, err := ParseConfig("boskos.yaml", []byte(`resource: x
resources:
- type: a
  names: [one, one, Bad_Name]
  max-count: 2
- names: [two]
- type: a
  names: [three]
- type: d
- type: e
  min-count: 3
  max-count: 2
  lifespan: soon
- type: f
  max-count: 2
  needs: {a: 5, none: 1}
  lifspan: 1h
- plain
`))
	want := []string{
		`boskos.yaml:1: unknown key "resource": only resources is known`,
		`boskos.yaml:4: name one stands in line 4 already`,
		`boskos.yaml:4: name "Bad_Name": has to consist of lower-case letters, digits, '-' and '.', and to begin and end with a letter or digit`,
		`boskos.yaml:5: max-count has no meaning beside names`,
		`boskos.yaml:6: the type is missing`,
		`boskos.yaml:7: type a has an entry in line 3 already`,
		`boskos.yaml:9: type d has neither names nor a max-count above 0`,
		`boskos.yaml:10: min-count 3 is not between 0 and max-count 2`,
		`boskos.yaml:13: lifespan "soon" is not a time such as 24h`,
		`boskos.yaml:14: needs up to 10 of a, and there are 3`,
		`boskos.yaml:14: needs none, which does not exist`,
		`boskos.yaml:17: unknown key "lifspan": known are type, state, names, max-count, min-count, lifespan, config, needs`,
		`boskos.yaml:18: an entry has to be a mapping with a type`,
	}
	if err == nil {
		t.Fatal("no fault found")
	}
	got := strings.Split(err.Error(), "\n")
	for _, line := range want {
		if !contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d faults, want %d:\n%s", len(got), len(want), err)
	}
}

func contains(lines []string, line string) bool {
	for _, l := range lines {
		if l == line {
			return true
		}
	}
	return false
}

// TestRealConfig reads the pool of kubernetes/k8s.io, plain and as a ConfigMap.
func TestRealConfig(t *testing.T) {
	const dir = "../../../shared/data/boskos/"
	for _, name := range []string{"boskos-resources.yaml", "gke-prow-build.boskos-resources-configmap.yaml"} {
		content, err := os.ReadFile(dir + name)
		if err != nil {
			t.Skip("the real pool is not here: ", err)
		}
		c, err := ParseConfig(name, content)
		if err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int{}
		for _, g := range c.Static {
			sizes[g.Type] = len(g.Names)
			if g.State != Dirty {
				t.Errorf("%s: %s begins %s, want dirty", name, g.Type, g.State)
			}
		}
		want := map[string]int{
			"gce-project": 160, "gpu-project": 10, "scalability-project": 29, "scalability-scale-project": 1, "gcve-vsphere-project": 40,
		}
		if !reflect.DeepEqual(sizes, want) {
			t.Errorf("%s: %v, want %v", name, sizes, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("resources:\n- type: a\n  names: [x]\n"))
	f.Add([]byte("data:\n  config: |\n    resources:\n    - type: a\n      max-count: 2\n"))
	f.Add([]byte("resources: [{type: a, lifespan: 1h, max-count: 1, needs: {a: 1}}]"))
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := ParseConfig("f", content)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Errorf("a fault without its place: %v", err)
			}
			return
		}
		p := newPool(t, Policy{}, c)
		check(t, p)
		for _, g := range c.Static {
			for _, name := range g.Names {
				if p.Get(name) == nil {
					t.Errorf("%s was read and is not in the pool", name)
				}
			}
		}
	})
}
