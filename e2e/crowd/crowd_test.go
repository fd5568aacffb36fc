// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// The model sees a lease that is granted twice, and one that is lost.
func TestModelCanFail(t *testing.T) {
	type row struct {
		deed
		from, to int64
	}
	took := func(owner string, from, to int64) row { return row{deed{acquire, "r", owner, true}, from, to} }
	gave := func(owner string, from, to int64) row { return row{deed{release, "r", owner, true}, from, to} }
	for _, c := range []struct {
		name string
		rows []row
		want bool
	}{
		{"one after the other", []row{took("a", 1, 2), gave("a", 3, 4), took("b", 5, 6)}, true},
		{"given back before the answer", []row{took("a", 1, 2), gave("a", 3, 9), took("b", 5, 6)}, true},
		{"two at once", []row{took("a", 1, 2), took("b", 3, 4), gave("a", 5, 6)}, false},
		{"lost", []row{took("a", 1, 2), {deed{renew, "r", "a", false}, 3, 4}}, false},
		{"given away again", []row{took("a", 1, 2), took("b", 5, 6), {deed{release, "r", "a", false}, 7, 8}}, false},
	} {
		var history []porcupine.Operation
		for i, r := range c.rows {
			history = append(history, porcupine.Operation{ClientId: i, Input: r.deed, Call: r.from, Output: r.granted, Return: r.to})
		}
		if got := porcupine.CheckOperations(oneHolder(), history); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
