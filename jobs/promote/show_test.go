// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/promotion"
)

// TestManyTags: a line stays one that can be read.
func TestManyTags(t *testing.T) {
	c := promotion.Copy{Path: "x", Digest: "sha256:" + strings.Repeat("0", 64), Mirrors: []int{0}}
	for i := range 100 {
		c.Tags = append(c.Tags, fmt.Sprint("v", i))
	}
	f := planFile{Mirrors: []string{"a"}}
	if got := f.copy(c, func(s string) string { return s }); !strings.HasPrefix(got, "x:v0,v1,") || !strings.Contains(got, ",v19 and 80 more tags sha256:000000000000 to ") {
		t.Error(got)
	}
}

// TestJSON: what is written copy by copy is what encoding/json makes of the whole.
func TestJSON(t *testing.T) {
	c := promotion.Copy{Path: "x/y", Source: "src.io/p", Digest: "sha256:1", Tags: []string{"<v1>", "\"projects\":null"}, Mirrors: []int{0, 2}, Line: 3}
	for _, f := range []planFile{
		{Version: 1, Projects: []projectFile{}, Mirrors: []string{"a", "b"}, Findings: []finding.Finding{}},
		{
			Version: 1, Commit: "0123", Since: `"projects":null`, Complete: true, Mirrors: []string{"a"}, Total: promotion.Count{Images: 2},
			Projects: []projectFile{{Name: "null}", File: "f", Copies: []promotion.Copy{c, c}}, {Name: "q", Copies: []promotion.Copy{c}}},
			Findings: []finding.Finding{{Rule: "PROMOTE-1", Message: "m"}}, Coverage: []finding.Coverage{{Part: "repositories", Units: 3}},
		},
	} {
		var out bytes.Buffer
		if err := f.json(&out); err != nil {
			t.Fatal(err)
		}
		var got planFile
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v:\n%s", err, &out)
		}
		if !reflect.DeepEqual(got, f) {
			t.Errorf("got %+v\nwant %+v", got, f)
		}
	}
}
