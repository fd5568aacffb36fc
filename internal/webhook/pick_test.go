// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestPick(t *testing.T) {
	for in, want := range map[string]string{
		`{}`:                                "",
		" {\n} ":                            "",
		`{"a":1}`:                           "1",
		`{ "a" : "x\"}" , "b":{} }`:         `"x\"}"`,
		`{"b":"\\","a":[1,{"a":2}]}`:        `[1,{"a":2}]`,
		`{"b":{"a":"{"},"c":"\\\"","a":-1}`: "-1",
		`{"a":1,"a":{"b":"]"}}`:             `{"b":"]"}`,
		`{"a":1,"a":null}`:                  "",
		`{"A":1}`:                           "",
	} {
		if found, err := pick([]byte(in), "z", "a"); err != nil || string(found[1]) != want || found[0] != nil {
			t.Errorf("%s: %q, %v", in, found, err)
		}
	}
	for _, in := range []string{
		"", " ", "null", "1", `"a"`, "[]", "{", `{"a"`, `{"a"}`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a":"x}`,
		`{"a":"x\"}`, `{"a":[}`, `{"a":1]`, `{"a":1}}`, `{"a":1}x`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, strings.Repeat(`{"a":`, 100_000),
	} {
		if found, err := pick([]byte(in), "a"); err == nil {
			t.Errorf("%.20s: %q", in, found)
		}
	}
	if found, err := pick(nil, "a"); err != nil || found[0] != nil {
		t.Errorf("no object: %q, %v", found, err)
	}
}

// Of an object that is JSON pick finds what encoding/json finds; whatever it gets, it does not panic.
func FuzzPick(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":"\\\""},"a":[true,null]}`))
	f.Add([]byte(comment))
	f.Fuzz(func(t *testing.T, in []byte) {
		found, err := pick(in, "a")
		var members map[string]json.RawMessage
		if json.Unmarshal(in, &members) != nil || members == nil {
			return // pick may take what is not wholly right
		}
		want := string(members["a"])
		if want == "null" {
			want = ""
		}
		if bytes.Contains(in, []byte(`\u`)) {
			return // a name may be spelled with escapes, which pick does not read
		}
		if err != nil || string(found[0]) != want {
			t.Errorf("%q, %v, want %q", found[0], err, want)
		}
	})
}
