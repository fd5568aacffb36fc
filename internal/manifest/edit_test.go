// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"slices"
	"strings"
	"testing"
)

// TestAdd (MF-11).
func TestAdd(t *testing.T) {
	const sorted = `# All images.
- name: db
  dmap:
    "@a": ["1.0"]
    # The one with the fix.
    "@b": ["1.2"] # keep
- name: web
  dmap:
    "@c": ["2"]
`
	for name, tt := range map[string]struct {
		from string
		add  []Addition
		want string // lines that come in, each behind the line that it stands behind; or an error
	}{
		"in its order":   {sorted, []Addition{{"db", "@d", []string{"1.1"}}}, `    "@a": ["1.0"]` + "\n" + `+    "@d": ["1.1"]`},
		"behind all":     {sorted, []Addition{{"db", "@d", []string{"1.3", "latest-1"}}}, `    "@b": ["1.2"] # keep` + "\n" + `+    "@d": ["1.3", "latest-1"]`},
		"the last image": {sorted, []Addition{{"web", "@d", []string{"3"}}}, `    "@c": ["2"]` + "\n" + `+    "@d": ["3"]`},
		"an image between": {sorted, []Addition{{"ui", "@d", nil}},
			`    "@b": ["1.2"] # keep` + "\n+- name: ui\n+  dmap:\n" + `+    "@d": []`},
		"an image above all": {sorted, []Addition{{"api", "@d", []string{"1"}}},
			"\n+- name: api\n+  dmap:\n" + `+    "@d": ["1"]`},
		"an image behind all": {sorted, []Addition{{"x/y", "@d", []string{"1"}}},
			`    "@c": ["2"]` + "\n+- name: x/y\n+  dmap:\n" + `+    "@d": ["1"]`},
		"into nothing":    {"# No images yet\n", []Addition{{"a", "@d", []string{"1"}}}, "# No images yet\n+- name: a\n+  dmap:\n" + `+    "@d": ["1"]`},
		"into no digests": {"- name: a\n  dmap: {}\n", []Addition{{"a", "@d", []string{"1"}}}, "-  dmap: {}\n+  dmap:\n" + `+    "@d": ["1"]`},
		"no newline at the end": {`- name: a
  dmap:
    "@a": ["1"]`, []Addition{{"a", "@d", []string{"2"}}}, `    "@a": ["1"]` + "\n" + `+    "@d": ["2"]`},
		"a tag more":       {sorted, []Addition{{"db", "@b", []string{"1.10"}}}, `-    "@b": ["1.2"] # keep` + "\n" + `+    "@b": ["1.10", "1.2"] # keep`},
		"declared already": {sorted, []Addition{{"db", "@b", []string{"1.2"}}, {"web", "@c", nil}}, ""},
		"two":              {sorted, []Addition{{"web", "@d", []string{"3"}}, {"web", "@e", []string{"4"}}}, `    "@c": ["2"]` + "\n" + `+    "@d": ["3"]` + "\n" + `+    "@e": ["4"]`},
		"a name that stands twice, in no order": {"# 1\n- name: b\n  dmap:\n    \"@a\": [\"1\"]\n- name: a\n  dmap:\n    \"@a\": [\"1\"]\n\n# 2\n- name: b\n  dmap:\n    \"@b\": [\"2\"]\n- name: a\n  dmap:\n    \"@b\": [\"2\"]\n",
			[]Addition{{"b", "@d", []string{"3"}}}, `    "@b": ["2"]` + "\n" + `+    "@d": ["3"]`},
		"digests in one line": {"- name: a\n  dmap: {\"@a\": [\"1\"]}\n", []Addition{{"a", "@d", []string{"2"}}}, "error: its digests stand in one line"},
		"tags in many lines":  {"- name: a\n  dmap:\n    \"@a\":\n    - \"1\"\n", []Addition{{"a", "@a", []string{"2"}}}, "error: its tags do not stand in one line"},
		"no digest":           {sorted, []Addition{{"db", "sha256:1", nil}}, "error: not a digest"},
		"no tag":              {sorted, []Addition{{"db", "@d", []string{"a\"]"}}}, "error: not a tag"},
		"no name":             {sorted, []Addition{{"DB", "@d", nil}}, "error: not a name of an image"},
		"no list":             {"a: 1\n", []Addition{{"db", "@d", nil}}, "error: not a plain list"},
		"no YAML":             {"- name: [\n", []Addition{{"db", "@d", nil}}, "error: line "},
	} {
		t.Run(name, func(t *testing.T) {
			from := expand(tt.from)
			var additions []Addition
			for _, a := range tt.add {
				additions = append(additions, Addition{a.Image, expand(a.Digest), a.Tags})
			}
			out, err := Add([]byte(from), additions)
			if want, fails := strings.CutPrefix(tt.want, "error: "); fails || err != nil {
				if err == nil || !fails || !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, want %s", err, tt.want)
				}
				return
			}
			if got, want := changes(from, string(out)), expand(tt.want); got != want {
				t.Errorf("changes\n%s\nwant\n%s\nof\n%s", got, want, out)
			}
			if again, err := Add(out, additions); err != nil || string(again) != string(out) {
				t.Errorf("added again: %v\n%s", err, again)
			}
		})
	}
}

// changes is the one place where two texts differ: the line above, what goes, what comes.
func changes(from, to string) string {
	a, b := strings.Split(from, "\n"), strings.Split(to, "\n")
	start := 0
	for start < min(len(a), len(b)) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < min(len(a), len(b))-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	gone, come := a[start:len(a)-end], slices.Clone(b[start:len(b)-end])
	if len(gone)+len(come) == 0 {
		return ""
	}
	var all []string
	if len(gone) == 0 {
		above := ""
		if start > 0 {
			above = a[start-1]
		}
		all = append(all, above)
	}
	for _, l := range gone {
		all = append(all, "-"+l)
	}
	for _, l := range come {
		all = append(all, "+"+l)
	}
	return strings.TrimSuffix(strings.Join(all, "\n"), "\n+")
}

// FuzzAdd: whatever the list, what Add returns says the old list and the addition.
func FuzzAdd(f *testing.F) {
	f.Add([]byte("- name: a\n  dmap:\n    \"sha256:"+strings.Repeat("0", 64)+"\": [\"1\"] # c\n"), "a", byte(1), "2")
	f.Add([]byte("# none\n"), "a/b", byte(2), "v1")
	f.Add([]byte("-  dmap: {}\n   name: a\n"), "a", byte(0), "")
	f.Fuzz(func(t *testing.T, raw []byte, image string, c byte, tag string) {
		a := Addition{Image: image, Digest: digest(c)}
		if tag != "" {
			a.Tags = []string{tag}
		}
		out, err := Add(raw, []Addition{a})
		if err != nil {
			return
		}
		said, before := declares(out), declares(raw)
		for _, s := range before {
			if _, is := slices.BinarySearch(said, s); !is {
				t.Fatalf("%q is lost:\n%s\n%s", s, raw, out)
			}
		}
		for _, want := range []string{"/name " + image, "/dmap/ " + a.Digest} {
			if _, is := slices.BinarySearch(said, want); !is {
				t.Fatalf("%q is not there:\n%s\n%s", want, raw, out)
			}
		}
	})
}
