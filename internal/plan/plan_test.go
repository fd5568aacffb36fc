// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plan

import "testing"

type record struct{ Value string }

func steps(verb Verb, keys ...string) []Step[record] {
	var out []Step[record]
	for _, k := range keys {
		out = append(out, Step[record]{Key: k, Verb: verb, Change: record{k}})
	}
	return out
}

func TestNewRefusesKeysThatStandTwice(t *testing.T) {
	for _, keys := range [][]string{{"a", "a"}, {""}} {
		if _, err := New("c", steps(Create, keys...)); err == nil {
			t.Errorf("keys %q were accepted", keys)
		}
	}
}

func TestHashCoversCommitOrderAndContent(t *testing.T) {
	base, _ := New("c", steps(Create, "a", "b"))
	others := []Plan[record]{
		{Commit: "d", Steps: base.Steps},
		{Commit: "c", Steps: steps(Create, "b", "a")},
		{Commit: "c", Steps: steps(Delete, "a", "b")},
	}
	want, err := base.Hash()
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range others {
		if got, _ := p.Hash(); got == want {
			t.Errorf("plan %d has the hash of another plan", i)
		}
	}
	if again, _ := New("c", steps(Create, "a", "b")); !again.Empty() {
		if got, _ := again.Hash(); got != want {
			t.Error("an equal plan has another hash")
		}
	}
}

func TestBrakes(t *testing.T) {
	p, _ := New("c", append(steps(Create, "x"), steps(Delete, "a", "b", "c")...))
	tests := map[string]struct {
		brake Brake
		held  bool
	}{
		"below the limit":      {Brake{Verb: Delete, Max: 3}, false},
		"above the limit":      {Brake{Verb: Delete, Max: 2}, true},
		"share of what exists": {Brake{Verb: Delete, Percent: 10, Of: 29}, true},
		"share not exceeded":   {Brake{Verb: Delete, Percent: 10, Of: 30}, false},
		"share of nothing":     {Brake{Verb: Delete, Percent: 10}, true},
		"few of few":           {Brake{Verb: Delete, Percent: 10, Of: 4, Least: 3}, false},
		"more than a few":      {Brake{Verb: Delete, Percent: 10, Of: 4, Least: 2}, true},
		"another verb":         {Brake{Verb: Update, Max: 1}, false},
		"no limit set":         {Brake{Verb: Delete}, false},
	}
	for name, tc := range tests {
		held := Check(p, []Brake{tc.brake})
		if (len(held) == 1) != tc.held {
			t.Errorf("%s: held %v, want %v", name, held, tc.held)
		}
		if tc.held && len(held) == 1 && len(held[0].Exceed.Steps) != 3 {
			t.Errorf("%s: exceeding steps %v", name, held[0].Exceed.Steps)
		}
	}
}
