// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

// operation is one random request. It speaks of leases by their number, so that a sequence still means something when
// others are taken out of it.
type operation struct {
	kind               kind
	typ, lease         int
	state, dest, owner string
	id, body, expire   string
	stranger           bool // owner is used, not the lease's own
	names              []int
	junk               request
}

type kind int

const (
	acquire kind = iota
	acquireByState
	release
	update
	reset
	metric
	junk
)

func (k kind) String() string {
	return []string{"acquire", "acquirebystate", "release", "update", "reset", "metric", "junk"}[k]
}

// plot is the part of a server's resources that one sequence works on, so that many sequences share a server.
type plot int

// The types of a plot. The first three have one resource each, which both servers have to know by its name. Of the others
// a server may choose any: Boskos takes the one whose last change was longest ago, but counts in whole seconds, and among
// equals the first of a Go map. testdata/conformance/order.txtar takes the seconds that it takes to compare the rest.
const (
	single = iota
	second
	third
	pair
	five
	dynamic
	mortal
	unknown
)

// made says that the resources of a type are made when they are wanted.
func made(typ int) bool { return typ == dynamic || typ == mortal }

// alone says that a type has one resource at most, so that an answer may show what happened to it before.
func alone(typ int) bool { return typ <= third || typ == mortal }

func (p plot) typ(i int) string {
	return fmt.Sprintf("%s-%d", []string{"single", "second", "third", "pair", "five", "dynamic", "mortal", "unknown"}[i], p)
}

// named are the resources of the types with one.
func (p plot) named() []string {
	return []string{p.typ(single) + "-a", p.typ(second) + "-a", p.typ(third) + "-a"}
}

// config has the dynamic type of several without a lifespan: an answer would show which of its resources was released before.
//
// No lifespan ends while a sequence lasts, and no type has a minimum. What expired steward-pool gives up when its time has come,
// Boskos when the next change of anything makes it look, and in memory never. What is missing to a minimum Boskos makes at such
// a look from a cache that runs after its own writes, so that it may make two.
func (p plot) config() string {
	var b strings.Builder
	for i, size := range []int{1, 1, 1, 2, 5} {
		fmt.Fprintf(&b, "- {type: %s, state: %s, names: [", p.typ(i), states()[i%2])
		for k := range size {
			fmt.Fprintf(&b, "%s-%c, ", p.typ(i), 'a'+k)
		}
		b.WriteString("]}\n")
	}
	fmt.Fprintf(&b, "- {type: %s, state: free, min-count: 0, max-count: 3}\n", p.typ(dynamic))
	fmt.Fprintf(&b, "- {type: %s, state: free, min-count: 0, max-count: 1, lifespan: 1h}\n", p.typ(mortal))
	return b.String()
}

// The last states of a dynamic resource: a cleaner takes it apart, and then it is deleted.
const (
	toBeDeleted = "toBeDeleted"
	tombstone   = "tombstone"
)

// states are few, so that requests meet.
func states() []string { return []string{"free", "dirty", "busy", "clean ing", toBeDeleted, tombstone} }

func bodies() []string {
	return []string{
		"", "{}", "null", `{"a":"1"}`, `{"a":""}`, `{"b":"2","c":"3"}`, `{"b":"","a":"4"}`, `{"a":5}`, `[]`, `{"a":"6"} x`, `{`,
		`{"<":"\u0001é"}`,
	}
}

// sequence makes the operations of a seed.
func sequence(seed uint64, n int) []operation {
	rng := rand.New(rand.NewPCG(seed, 4))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	all := make([]operation, n)
	for i := range all {
		o := operation{
			kind: kind(weighted(rng, 48, 6, 22, 14, 6, 8, 4)), typ: weighted(rng, 3, 3, 3, 4, 5, 4, 7, 1), lease: rng.IntN(100),
			state: pick(states()...), dest: pick(append(states(), "free", "free")...), owner: pick("ann", "bob", "eve"),
			id: pick("", "", "", "r1", "r2", "r3"), body: pick(bodies()...), expire: pick("0s", "0s", "1h", "soon"),
			stranger: rng.IntN(6) == 0, junk: junks()[rng.IntN(len(junks()))],
		}
		for range 1 + rng.IntN(3) {
			o.names = append(o.names, rng.IntN(100))
		}
		if rng.IntN(2) == 0 {
			o.state = "free"
		}
		all[i] = o
	}
	return all
}

// aim lets most resets find something, which random states would not.
func (o operation) aim(l lease) operation {
	if o.kind == reset && !o.stranger {
		o.typ, o.state = l.typ, l.state
	}
	return o
}

// weighted returns an index, each as often as its weight says.
func weighted(rng *rand.Rand, weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := rng.IntN(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	return 0
}

func junks() []request {
	return []request{
		{method: http.MethodGet, target: "/acquire?type=x"},
		{method: http.MethodPost, target: "/acquire?type=x&state=free&dest=busy"},
		{method: http.MethodPost, target: "/acquire?type=%zz&state=free&dest=busy&owner=a"},
		{method: http.MethodPost, target: "/release?name=x&dest=free"},
		{method: http.MethodPost, target: "/release?name=x&dest=free&owner=a"},
		{method: http.MethodPost, target: "/update?name=x&owner=a&state=b", body: "[1"},
		{method: http.MethodPost, target: "/reset?type=x&state=b&expire=1&dest=d"},
		{method: http.MethodPost, target: "/reset?type=x&state=b&expire=1s&dest=d"},
		{method: http.MethodPost, target: "/metric?type=x"},
		{method: http.MethodDelete, target: "/nowhere"},
	}
}
