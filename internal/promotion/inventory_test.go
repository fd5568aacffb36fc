// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/iotest"

	"sigs.k8s.io/steward/internal/manifest"
)

func TestInventoryRefuses(t *testing.T) {
	set, problems := community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n"}}.load(t)
	one := `"` + d("1") + `"`
	tests := map[string]string{
		``:                         "unexpected EOF",
		`[]`:                       errShape.Error(),
		`{}x`:                      "something follows",
		`{"a.pkg.dev/k/i/x": []}`:  errShape.Error(),
		`{"a.pkg.dev/k/i/x": {`:    "unexpected EOF",
		`{"a.pkg.dev/k/i/x": {},}`: errShape.Error(),
		"{\n\"A B\": {}}":          `line 2: "A B" is not the name of a repository`,
		"{\"a.pkg.dev/k/i/x\":\n{\n\"sha256:1\": []}}":                                                  `line 3: "sha256:1" is not a digest`,
		`{"a.pkg.dev/k/i/x": {` + one + `: ["a b"]}}`:                                                   `"a b" is not a tag`,
		`{"a.pkg.dev/k/i/x": {` + one + `: ["v1", "v1"]}}`:                                              "tag v1 stands twice",
		`{"a.pkg.dev/k/i/x": {` + one + `: [], ` + one + `: []}}`:                                       "stands twice",
		`{"a.pkg.dev/k/i/x": {"` + d("2") + `": ["v1"], ` + one + `: ["v1"]}}`:                          "tag v1 stands twice",
		`{"a.pkg.dev/k/i/x": {}, "b.pkg.dev/k/i/x": {}, "a.pkg.dev/k/i/x": {}}`:                         "stands twice",
		`{"a.pkg.dev/k/i/x": {` + one + `: [null]}}`:                                                    errShape.Error(),
		`{"a.pkg.dev/k/i/x": {` + one + `: nul}}`:                                                       errShape.Error(),
		`{"` + strings.Repeat("a", 2000) + `": {}}`:                                                     "a text of more than",
		`{"` + strings.Repeat("a", scanBuffer+1) + `": {}}`:                                             "a text of more than",
		`{"\` + strings.Repeat("u0061\\", 2000) + `": {}}`:                                              "a text of more than",
		`{"a.pkg.dev/k/i/x": {` + one + `: ["` + "v\n1" + `"]}}`:                                        errShape.Error(),
		`{"a.pkg.dev/k/i/x": {` + one + `: ["v1"` + strings.Repeat(" ", 100) + `` + "\n\n" + ` "v2"]}}`: "line 3: " + errShape.Error(),
	}
	for text, want := range tests {
		c := Compare(set, problems, nil)
		if err := c.ReadInventory(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %s", text, err, want)
		}
	}
}

// TestInventoryFails: a file that cannot be read is no short file.
func TestInventoryFails(t *testing.T) {
	set, problems := community{"p": {"", "- name: x\n  dmap:\n    \"<1>\": [v1]\n"}}.load(t)
	c := Compare(set, problems, nil)
	broken := bufio.NewReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(`{"a.pkg.dev/k/i/x": {}}`))))
	if err := c.ReadInventory(broken); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("%v", err)
	}
}

// scanned reads a text with the scanner alone.
func scanned(text []byte) (map[string]map[string][]string, error) {
	all := map[string]map[string][]string{}
	var now map[string][]string
	s := &scanner{in: bufio.NewReaderSize(bytes.NewReader(text), scanBuffer), line: 1}
	err := s.inventory(
		func(name []byte) error {
			if all[string(name)] != nil {
				return fmt.Errorf("%s stands twice", name)
			}
			now = map[string][]string{}
			all[string(name)] = now
			return nil
		},
		func(digest []byte) (bool, error) {
			if _, again := now[string(digest)]; again {
				return false, fmt.Errorf("%s stands twice", digest)
			}
			now[string(digest)] = nil
			return false, nil
		},
		func(tag, digest []byte) (bool, error) {
			now[string(digest)] = append(now[string(digest)], string(tag))
			return false, nil
		},
	)
	return all, err
}

// FuzzInventory: what the scanner takes, encoding/json takes for the same; what it
// refuses, encoding/json refuses, or it stands twice, or is no name.
func FuzzInventory(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a.io/x": {}}`, `{"a.io/x": {"` + d("1") + `": ["v1", "\u0076\u0032"], "` + d("2") + `": null}, "b.io\/y": {}}`,
		" {\t\"a.io/x\"\r\n:{\"" + d("1") + "\":[]}}\n", `{"a.io/x": {"` + d("1") + `": ["v\\"]}}`, `{"a.io/x\"":{}}`, `{"a.io/x": null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := scanned(text)
		var want map[string]map[string][]string
		wantErr := json.Unmarshal(text, &want)
		if err == nil {
			if wantErr != nil {
				t.Fatalf("encoding/json says %v", wantErr)
			}
			equal := maps.EqualFunc(got, want, func(a, b map[string][]string) bool {
				return maps.EqualFunc(a, b, func(a, b []string) bool { return strings.Join(a, ",") == strings.Join(b, ",") })
			})
			if !equal {
				t.Fatalf("got %v, want %v", got, want)
			}
			return
		}
		if wantErr == nil && want != nil && proper(want) && !strings.Contains(err.Error(), "stands twice") && !bytes.Contains(text, []byte("null")) && len(text) < maxText {
			t.Fatalf("refused: %v", err)
		}
	})
}

// proper tells whether all names are such.
func proper(all map[string]map[string][]string) bool {
	for name, digests := range all {
		if !manifest.IsRegistry(name) {
			return false
		}
		for d, tags := range digests {
			if !manifest.IsDigest(d) {
				return false
			}
			for _, t := range tags {
				if !manifest.IsTag(t) {
					return false
				}
			}
		}
	}
	return true
}
