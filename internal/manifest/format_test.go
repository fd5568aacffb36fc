// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":       {"", ""},
		"only comments": {"# No images yet\n", "# No images yet\n"},
		"order": {
			"- name: b\n  dmap:\n    @c: [2.0, 1.10]\n    @b: [1.9]\n    @a: []\n- dmap: {@d: [x]}\n  name: a\n",
			"- name: a\n  dmap:\n    \"@d\": [\"x\"]\n- name: b\n  dmap:\n    \"@a\": []\n    \"@c\": [\"1.10\", \"2.0\"]\n    \"@b\": [\"1.9\"]\n",
		},
		"comments go with what they say": {
			"# of the file\n\n# of b\n- name: b\n  dmap:\n    # of 2\n    @b: [\"2\"] # beside 2\n    @a: [\"1\"]\n- name: a # beside a\n  dmap: {@c: [v]}\n",
			"# of the file\n\n- name: a # beside a\n  dmap:\n    \"@c\": [\"v\"]\n# of b\n- name: b\n  dmap:\n    \"@a\": [\"1\"]\n    # of 2\n    \"@b\": [\"2\"] # beside 2\n",
		},
		"a name that stands twice": {
			"- name: x\n  dmap: {@b: [2]}\n- name: x\n  dmap: {@a: [1]}\n",
			"- name: x\n  dmap:\n    \"@b\": [\"2\"]\n- name: x\n  dmap:\n    \"@a\": [\"1\"]\n",
		},
		"no digests":                {"- {name: x, dmap: {}}\n- {name: y}\n", "- name: x\n  dmap: {}\n- name: y\n"},
		"what is wrong stays wrong": {"- name: X\n  dmap: {\"sha256:12\": [\"a b\"]}\n", "- name: X\n  dmap:\n    \"sha256:12\": [\"a b\"]\n"},
	} {
		got, err := Format([]byte(expand(c.in)))
		if err != nil || string(got) != expand(c.want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, expand(c.want))
		}
	}
	for name, c := range map[string]struct{ in, want string }{
		"no YAML":        {"- {", "did not find"},
		"two documents":  {"- {name: a}\n---\n- {name: b}\n", "second YAML document"},
		"no list":        {"name: a\n", "line 1: not a plain list of images"},
		"no mapping":     {"- a\n", "line 1: an image is not a plain mapping"},
		"no name":        {"- {dmap: {}}\n", "line 1: an image has no name"},
		"an unknown key": {"- name: a\n  tags: []\n", `line 2: "tags" is not`},
		"an anchor":      {"- name: a\n  dmap: &x {@a: [v]}\n", "line 2: a key or value is not plain"},
		"odd tags":       {"- name: a\n  dmap: {@a: [[v]]}\n", "line 2: a tag is not a plain text"},
		"too large":      {strings.Repeat("#", maxFile+1), "more than"},
	} {
		if got, err := Format([]byte(expand(c.in))); err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// stable tells whether formatting twice is formatting once, and nothing is lost on the way.
func stable(t *testing.T, raw []byte) (out []byte, ok bool) {
	t.Helper()
	out, err := Format(raw)
	if err != nil {
		return nil, false
	}
	again, err := Format(out)
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("again: %v\n%s\nwas\n%s", err, again, out)
	}
	if before, after := declares(raw), declares(out); !slices.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
	return out, true
}

// All lists of kubernetes/k8s.io can be formatted, and half of them are.
func TestFormatRealTree(t *testing.T) {
	const dir = "../../../shared/data/k8s.io/registry.k8s.io/images"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no ../shared/data/k8s.io")
	}
	files, formatted := 0, 0
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != imagesFile {
			return err
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		out, ok := stable(t, raw)
		if !ok {
			t.Errorf("%s cannot be formatted", file)
		}
		files++
		if bytes.Equal(raw, out) {
			formatted++
		}
		return nil
	})
	if err != nil || files != 75 || formatted != 38 {
		t.Errorf("%d files, %d of them formatted, %v", files, formatted, err)
	}
}

func FuzzFormat(f *testing.F) {
	f.Add([]byte(expand("# a\n- name: x # b\n  # c\n  dmap:\n    @a: [1.10, v] # d\n    # e\n    @b:\n    - w # f\n# g\n- {name: y, dmap: {}}\n# h\n")))
	f.Add([]byte("- name: x\n  dmap: {? a : [b]}\n"))
	f.Add([]byte("#0\n- name: x\n  dmap:\n    a: [v]#0\n    b:\n #0"))
	f.Fuzz(func(t *testing.T, raw []byte) { stable(t, raw) })
}
