// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package filestore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/manifest"
)

// project declares files by name and content, from staging to two stores.
func project(files ...string) *manifest.FileProject {
	p := &manifest.FileProject{
		Name: "p", Stores: "a/filestores/p/filepromoter-manifest.yaml", Whole: true, Source: manifest.Filestore{Base: "gs://staging/"},
		Destinations: []manifest.Filestore{{Base: "gs://one/"}, {Base: "s3://two/"}},
	}
	for i, f := range files {
		name, content, _ := strings.Cut(f, " ")
		p.Files = append(p.Files, manifest.DeclaredFile{Name: name, SHA256: sum(content), File: "a/manifests/p/v1.yaml", Line: i + 1})
	}
	return p
}

func sum(content string) string { return strings.Repeat(content[:1], 64) }

// held reads "NAME CONTENT" (proven), "NAME ~MD5" (only that), "NAME CONTENT-and-MD5" and "NAME ?" (nothing is known).
func held(text string) Held {
	if text == "unread" {
		return nil
	}
	h := Held{}
	for line := range strings.SplitSeq(text, ",") {
		name, content, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		o := Object{Name: name, Size: 7, Version: "v-" + content}
		switch {
		case content == "?":
		case strings.HasPrefix(content, "~"):
			o.MD5 = content[1:]
		default:
			o.SHA256, o.MD5 = sum(content), content[len(content)-1:]
		}
		h[name] = o
	}
	return h
}

// TestCompare (PF-3 to PF-6): what is copied as NAME FROM>TO, with ! where something is overwritten; then rules.
func TestCompare(t *testing.T) {
	for name, tt := range map[string]struct {
		staging, one, two string
		before            Before
		want              string
	}{
		"nothing is there":                      {"x a", "", "", nil, "x 0>1,2"},
		"one has it":                            {"x a", "x a", "", nil, "x 0>2"},
		"all have it":                           {"x a", "x a", "x a", nil, ""},
		"all have it, staging has not":          {"", "x a", "x a", nil, ""},
		"staging has lost it, a store has it":   {"", "x a", "", nil, "x 1>2"},
		"the last store has it":                 {"", "", "x a", nil, "x 2>1"},
		"lost":                                  {"", "", "", nil, "FILE-2"},
		"lost, and nobody knows what one has":   {"", "x ?", "", nil, "FILE-7 FILE-2"},
		"staging has another one":               {"x b", "", "", nil, "FILE-4"},
		"staging does not tell":                 {"x ?", "", "", nil, "x 0>1,2"},
		"put there by the promoter":             {"x ~m", "x ~m", "x ~m", nil, ""},
		"put there by the promoter, not proven": {"", "x ~m", "x a", nil, "FILE-7"},
		"production has another one":            {"x a", "x b", "x a", nil, "FILE-1"},
		"another one by its MD5":                {"x ~m", "x ~n", "x ~m", nil, "FILE-1"},
		"what was declared before":              {"x a", "x b", "x a", Before{"x": {sum("b")}}, "x 0>1!"},
		"what was declared before, and a third": {"x a", "x b", "x c", Before{"x": {sum("b")}}, "x 0>1! FILE-1"},
		"what several changes declared before":  {"x a", "x b", "x c", Before{"x": {sum("b"), sum("c")}}, "x 0>1!,2!"},
		"nothing was declared before":           {"x ~m", "x ~n", "x ~m", Before{"x": {""}}, ""},
		"before, and staging has it no more":    {"", "x b", "x a", Before{"x": {sum("b")}}, "x 2>1!"},
		"a change, and staging tells no more":   {"x ~m", "x ~m", "x a", Before{"x": {sum("b")}}, ""},
		"a change, and nobody knows":            {"", "x ?", "x a", Before{"x": {sum("b")}}, ""},
		"a change, and staging has a third":     {"x ~m", "x ~n", "x a", Before{"x": {sum("b")}}, ""},
		"as staging, which has another one":     {"x bm", "x ~m", "x ~m", nil, "FILE-1 FILE-1"},
		"staging cannot be read":                {"unread", "", "x a", nil, "x 2>1"},
		"staging cannot be read, nobody has it": {"unread", "", "", nil, ""},
		"a store cannot be read":                {"x a", "unread", "", nil, "x 0>2"},
		"what is not declared is no matter":     {"y b", "z c, x a", "x a", nil, ""},
	} {
		got, err := Compare(project("x a"), Scope{Before: tt.before}, []Held{held(tt.staging), held(tt.one), held(tt.two)}, "c")
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		for _, s := range got.Plan.Steps {
			var to []string
			for i, store := range s.Change.To {
				text := fmt.Sprint(store)
				if s.Change.Replaced[i] != "" {
					text += "!"
				}
				to = append(to, text)
			}
			said = append(said, fmt.Sprintf("%s %d>%s", s.Key, s.Change.From, strings.Join(to, ",")))
		}
		for _, f := range got.Faults {
			said = append(said, f.Rule)
			if f.Message == "" || f.Fix == "" || f.Object == "" || f.File == "" {
				t.Errorf("%s: incomplete %+v", name, f)
			}
		}
		if text := strings.Join(said, " "); text != tt.want {
			t.Errorf("%s: %q, want %q", name, text, tt.want)
		}
	}
	broken := project("x a")
	broken.Whole = false
	if got, err := Compare(broken, Scope{}, make([]Held, 3), ""); err != nil || !got.Plan.Empty() || len(got.Faults) != 1 || got.Faults[0].Rule != RuleBroken {
		t.Errorf("%+v, %v", got, err)
	}
}

// A plan is empty after it was done (PF-3).
func TestPlanAfterApply(t *testing.T) {
	p := project("x a", "y b", "z c")
	stores := []Held{held("x a, y b, z c"), held("y b"), held("x d")}
	before := Before{"x": {sum("d")}}
	first, err := Compare(p, Scope{Before: before}, stores, "c")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range first.Plan.Steps {
		for _, to := range s.Change.To {
			stores[to][s.Change.Name] = Object{Name: s.Change.Name, SHA256: s.Change.SHA256}
		}
	}
	again, err := Compare(p, Scope{Before: before}, stores, "c")
	if err != nil || len(first.Plan.Steps) != 3 || !again.Plan.Empty() || len(again.Faults) > 0 || again.Same != 6 {
		t.Errorf("%+v then %+v, %v", first.Plan, again, err)
	}
}

// TestSince (PF-7).
func TestSince(t *testing.T) {
	base, head := project("x a", "y b"), project("x c", "y b", "z d")
	s := Since(base, head)
	if !s.Has("x") || s.Has("y") || !s.Has("z") || !slices.Equal(s.Before["x"], []string{sum("a")}) || len(s.Before) != 1 {
		t.Errorf("%+v", s)
	}
	head.Destinations = append(head.Destinations, manifest.Filestore{Base: "s3://three/"})
	if s := Since(base, head); !s.Has("y") {
		t.Errorf("a new store: %+v", s)
	}
	if s := Since(nil, head); !s.Has("x") || len(s.Before) != 0 {
		t.Errorf("a new project: %+v", s)
	}
}

func TestDoubts(t *testing.T) {
	changed := Scope{Before: Before{"y": {sum("d")}}}
	for name, tt := range map[string]struct {
		scope         Scope
		stores        []string
		want, wantAll []Doubt
	}{
		"where staging has another one": {
			stores: []string{"x ~m, y ~m", "x ~n, y ~m, z ?", "x a, y ~k, z c"}, // z is not in staging
			want:   []Doubt{{1, "x"}, {2, "y"}}, wantAll: []Doubt{{1, "x"}, {2, "y"}, {1, "z"}},
		},
		"where staging is known to hold another one": {
			stores: []string{"x bm", "x ~m", "x ~m"}, want: []Doubt{{1, "x"}, {2, "x"}}, wantAll: []Doubt{{1, "x"}, {2, "x"}},
		},
		"where a change declares another one, whatever staging has": {
			scope: changed, stores: []string{"x ~m, y ~m", "x ~m, y ~m", "x ~m, y ~k"}, want: []Doubt{{1, "y"}, {2, "y"}}, wantAll: []Doubt{{1, "y"}, {2, "y"}},
		},
		"where a change declares another one, and staging has none": {
			scope: changed, stores: []string{"", "x ?, y ?", "y b"}, want: []Doubt{{1, "y"}}, wantAll: []Doubt{{1, "x"}, {1, "y"}},
		},
		"where staging cannot be read": {
			scope: changed, stores: []string{"unread", "y ~m", "unread"}, want: []Doubt{{1, "y"}}, wantAll: []Doubt{{1, "y"}},
		},
	} {
		var stores []Held
		for _, text := range tt.stores {
			stores = append(stores, held(text))
		}
		p := project("x a", "y b", "z c")
		if got := Doubts(p, tt.scope, stores, false); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		if got := Doubts(p, tt.scope, stores, true); !slices.Equal(got, tt.wantAll) {
			t.Errorf("%s, all: %v, want %v", name, got, tt.wantAll)
		}
	}
}

// What is doubtful counts as nothing before it was read, and then as what it is (PF-5, PF-6).
func TestDoubtsAreRead(t *testing.T) {
	p, scope := project("x a"), Scope{Before: Before{"x": {sum("b")}}}
	for content, want := range map[string]struct {
		same, steps, faults int
	}{"~m": {}, "a": {same: 1}, "b": {steps: 1}, "c": {faults: 1}} {
		got, err := Compare(p, scope, []Held{held("x ~m"), held("x " + content), held("unread")}, "c")
		if err != nil || got.Same != want.same || len(got.Plan.Steps) != want.steps || len(got.Faults) != want.faults || got.Unproven > 0 {
			t.Errorf("%s: %+v, %v", content, got, err)
		}
	}
}
