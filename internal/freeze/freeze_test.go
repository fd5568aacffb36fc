// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

var (
	noon   = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	scopes = Scopes{"dns": {"dns/"}, "zones": {"dns/zones", "extra"}, "images": {"registry.k8s.io/images/"}}
)

func names(freezes []Freeze) string {
	var all []string
	for _, f := range freezes {
		name := f.Scope
		if f.Fault {
			name += "!"
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestScopes(t *testing.T) {
	if got := fmt.Sprint(scopes.Names()); got != "[all dns images zones]" {
		t.Error(got)
	}
	tests := map[string]string{All: "[.] true", "dns": "[dns] true", "zones": "[dns/zones extra] true", "x": "[] false", "": "[] false", "DNS": "[] false"}
	for scope, want := range tests {
		folders, ok := scopes.Folders(scope)
		if got := fmt.Sprint(folders, ok); got != want {
			t.Errorf("Folders(%q) = %s, want %s", scope, got, want)
		}
	}
}

func TestFile(t *testing.T) {
	tests := []struct{ name, file, want, err string }{
		{"absent", "", "", ""},
		{"empty", "# nothing\n", "", ""},
		{"null", "~", "", ""},
		{"empty list", "[]", "", ""},
		{"two", "- scope: dns\n  reason: a\n- {scope: all, reason: b}", "dns all", ""},
		{"until a time to come", "- {scope: dns, reason: a, until: 2026-01-02T12:00:01Z}", "dns", ""},
		{"until now", "- {scope: dns, reason: a, until: 2026-01-02T12:00:00Z}", "", ""},
		{"until in another zone", "- {scope: dns, reason: a, until: '2026-01-02T13:30:00+01:00'}", "dns", ""},
		{"until today", "- {scope: dns, reason: a, until: 2026-01-02}", "dns", ""},
		{"until yesterday", "- {scope: dns, reason: a, until: 2026-01-01}", "", ""},
		{"until whenever", "- {scope: dns, reason: a, until: soon}", "all!", "freeze.yaml:1: until \"soon\" is neither a date"},
		{"until a number", "- {scope: dns, reason: a, until: 2026}", "all!", "until \"2026\""},
		{"unknown scope", "- {scope: dns, reason: a}\n- {scope: dsn, reason: a}", "dns all!", "freeze.yaml:2: unknown scope \"dsn\": want one of all, dns, images, zones"},
		{"no scope", "- reason: a", "all!", "unknown scope \"\""},
		{"no reason", "- scope: dns", "all!", "the reason is empty"},
		{"blank reason", "- {scope: dns, reason: ' '}", "all!", "the reason is empty"},
		{"long reason", "- {scope: dns, reason: " + strings.Repeat("x", 501) + "}", "all!", "longer than 500 bytes"},
		{"unknown key", "- {scope: dns, reason: a, reson: b}", "all!", "unknown key \"reson\""},
		{"key twice", "- {scope: dns, reason: a, reason: b}", "all!", "reason stands twice"},
		{"reason a list", "- {scope: dns, reason: [a]}", "all!", "reason is not a plain text"},
		{"reason null", "- {scope: dns, reason: ~}", "all!", "reason is not a plain text"},
		{"not a list", "scope: dns", "all!", "freeze.yaml:1: want a list"},
		{"a scalar", "frozen", "all!", "want a list"},
		{"an entry that is none", "- dns", "all!", "want a mapping"},
		{"no YAML", "- {", "all!", "freeze.yaml: "},
		{"two documents", "[]\n---\n[]", "all!", "second YAML document"},
		{"anchors", "- &a {scope: dns, reason: x}\n- *a", "all! all!", "freeze.yaml:2: want a mapping"},
		{"anchored text", "- {scope: &s dns, reason: x}", "all!", "scope is not a plain text"},
		{"merge", "- {<<: {scope: dns}, reason: x}", "all!", "unknown key \"<<\""},
		{"too many", strings.Repeat("- {scope: dns, reason: a}\n", 201), "all!", "201 entries are more than 200"},
		{"too long", strings.Repeat("#", maxFile+1), "all!", "bytes are more than"},
		{"deep", "- {scope: dns, reason: " + strings.Repeat("[", 20000), "all!", "freeze.yaml: "},
	}
	for _, tt := range tests {
		set, err := Load(nil, []byte(tt.file), scopes, noon)
		if got := names(set.All()); got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v; want %q, %s", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func record(number int, scope string, unix int64, frozen bool) thread.Record {
	data, err := State{Scope: scope, By: "dora", Reason: "r", Frozen: frozen, At: noon}.Encode()
	if err != nil {
		panic(err)
	}
	return thread.Record{Number: number, Key: Key(scope), Stamp: thread.Stamp{Unix: unix}, Data: data}
}

func TestRecords(t *testing.T) {
	corrupt := record(1, "dns", 1, true)
	corrupt.Data = []byte(`{"scope":"dns","frozen":true,"x":1}`)
	foreign := record(1, "dns", 1, false)
	foreign.Key = Key("images")
	tests := []struct {
		name    string
		records []thread.Record
		want    string
	}{
		{"none", nil, ""},
		{"frozen", []thread.Record{record(1, "dns", 1, true), record(2, "images", 1, true)}, "dns images"},
		{"not frozen", []thread.Record{record(1, "dns", 1, false)}, ""},
		{"another plugin's", []thread.Record{{Number: 1, Key: "request/1", Data: []byte("x")}}, ""},
		{"the later of two", []thread.Record{record(1, "dns", 1, true), record(2, "dns", 2, false)}, ""},
		{"the later of two, first", []thread.Record{record(1, "dns", 2, true), record(2, "dns", 1, false)}, "dns"},
		{"unknown keys", []thread.Record{corrupt}, "all!"},
		{"data of another scope", []thread.Record{foreign}, "all!"},
		{"no data", []thread.Record{{Number: 1, Key: Key("dns")}}, "all!"},
		{"a scope that is gone, frozen", []thread.Record{record(1, "old", 1, true)}, "all!"},
		{"a scope that is gone, not frozen", []thread.Record{record(1, "old", 1, false)}, ""},
	}
	for _, tt := range tests {
		set, err := Load(tt.records, nil, scopes, noon)
		if got := names(set.All()); got != tt.want || (err != nil) != strings.Contains(tt.want, "!") {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestHoldingAndFrozen(t *testing.T) {
	set, err := Load([]thread.Record{record(1, "zones", 1, true)}, []byte("- {scope: images, reason: x}"), scopes, noon)
	if err != nil {
		t.Fatal(err)
	}
	holding := map[string]string{
		"dns/zones/a": "zones", "dns/zones": "zones", "dns/a": "", "dns/zones2/a": "", "extra/x/y": "zones", "a": "",
		"registry.k8s.io/images/a": "images", "registry.k8s.io/manifests/a": "", "": "",
	}
	for path, want := range holding {
		if got := names(set.Holding([]string{path})); got != want {
			t.Errorf("Holding(%q) = %q, want %q", path, got, want)
		}
	}
	if got := names(set.Holding(nil)); got != "" {
		t.Errorf("Holding(nothing) = %q", got)
	}
	frozen := map[string]string{All: "images zones", "dns": "zones", "zones": "zones", "images": "images", "unknown": "images zones"}
	for scope, want := range frozen {
		if got := names(set.Frozen(scope)); got != want {
			t.Errorf("Frozen(%q) = %q, want %q", scope, got, want)
		}
	}
	all, _ := Load([]thread.Record{record(1, All, 1, true)}, nil, scopes, noon)
	if names(all.Frozen("dns")) != "all" || names(all.Holding([]string{"x"})) != "all" {
		t.Error("all does not hold everything")
	}
	if got := names((Set{}).Frozen("dns")); got != "" {
		t.Errorf("nothing holds %q", got)
	}
}

// Whatever stands in the file: an error means that everything is frozen, and no
// error that everything was understood.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"- {scope: dns, reason: a, until: 2026-01-02}", "[]", "a: b", "- &a [*a]", "---\n---\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		set, err := Load(nil, []byte(file), scopes, noon)
		if held := len(set.Holding([]string{"anything"})) > 0; err != nil && !held {
			t.Fatalf("%v, and nothing is frozen", err)
		}
		for _, z := range set.All() {
			if z.Fault && err == nil || z.Reason == "" || len(z.Folders) == 0 {
				t.Fatalf("%+v, %v", z, err)
			}
		}
	})
}
