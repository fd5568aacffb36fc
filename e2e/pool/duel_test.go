// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// duel asks two servers the same and keeps the leases that they should agree on.
type duel struct {
	t      testing.TB
	plot   plot
	oracle side
	ours   side
	leases []lease
	grants int
	log    []string
	seen   map[string]int // differences, by name
}

// side is one of the two. names has, by its own name for a resource, the one that both have in common.
type side struct {
	address
	names map[string]string
}

// lease is what Boskos has granted; name is the common one.
type lease struct{ name, owner, state string }

// exchange is one request, in common names, with both answers.
type exchange struct {
	request         string
	kind            kind
	name            string // of the one resource that it is about
	boskos, steward answer
}

// difference is one that is intended. It may put the two servers into the same state again.
type difference struct {
	name, why string
	match     func(d *duel, e exchange) bool
}

func differences() []difference {
	return nil
}

func newDuel(t testing.TB, p plot, boskos, steward address, seen map[string]int) *duel {
	d := &duel{t: t, plot: p, seen: seen}
	d.oracle, d.ours = side{boskos, map[string]string{}}, side{steward, map[string]string{}}
	if p.exact {
		d.order()
	}
	return d
}

// order makes the last change of every resource another time, in the same order on both: Boskos adds those of its
// configuration in the order of a Go map.
func (d *duel) order() {
	for i := range unknown {
		for _, name := range d.plot.statics(i + 1)[len(d.plot.statics(i)):] {
			for _, s := range []*side{&d.oracle, &d.ours} {
				d.cycle(s, name, states()[i%2])
			}
		}
	}
}

// cycle takes one resource by its name and gives it back in the state that it had.
func (d *duel) cycle(s *side, name, state string) {
	d.t.Helper()
	for _, r := range []request{
		call("/acquirebystate", "state", state, "dest", "x", "owner", "order", "names", name),
		call("/release", "name", name, "dest", state, "owner", "order"),
	} {
		if got := s.must(d.t, r); got.status != http.StatusOK {
			d.t.Fatalf("%s: %s", r, got)
		}
	}
}

// play runs operations until the servers differ and returns how, or "".
func (d *duel) play(all []operation) string {
	for i, o := range all {
		l := d.lease(o)
		build, owner := d.request(o, l, i)
		e := exchange{request: build(func(s string) string { return s }).String(), kind: o.kind, name: l.name}
		e.boskos, e.steward = d.ask(&d.oracle, build, o), d.ask(&d.ours, build, o)
		e = d.again(e, build, o)
		d.log = append(d.log, fmt.Sprintf("%s\n  boskos:  %s\n  steward: %s", e.request, e.boskos, e.steward))
		if e.boskos != e.steward && !d.intended(e) {
			return strings.Join(d.log, "\n")
		}
		d.note(o, e, owner)
		if o.kind == acquireByState && e.boskos.status != http.StatusOK {
			d.undo(o, owner)
		}
	}
	return ""
}

// again asks Boskos on custom resources a second time where its first answer changed nothing: it answers from a cache
// that runs after its own writes.
func (d *duel) again(e exchange, build func(func(string) string) request, o operation) exchange {
	for late := time.Now().Add(2 * time.Second); !d.plot.exact && e.boskos != e.steward && time.Now().Before(late); {
		if e.boskos.status < http.StatusBadRequest && o.kind != metric {
			return e
		}
		<-time.After(10 * time.Millisecond)
		e.boskos = d.ask(&d.oracle, build, o)
	}
	return e
}

func (d *duel) intended(e exchange) bool {
	for _, row := range differences() {
		if row.match(d, e) {
			d.seen[row.name]++
			return true
		}
	}
	return false
}

// request turns an operation into a request, for which each server puts its own names, and says who makes it.
func (d *duel) request(o operation, l lease, i int) (build func(real func(string) string) request, owner string) {
	owner = l.owner
	if o.stranger {
		owner = o.owner
	}
	typ := d.plot.typ(o.typ)
	switch o.kind {
	case acquire:
		pairs := []string{"type", typ, "state", o.state, "dest", o.dest, "owner", o.owner}
		if o.id != "" {
			// The queue of a type and state outlives a sequence, so that its ids are a sequence's own.
			pairs = append(pairs, "request_id", o.id+d.plot.typ(0))
		}
		return func(func(string) string) request { return call("/acquire", pairs...) }, o.owner
	case acquireByState:
		owner = fmt.Sprint("many-", i)
		names := strings.Join(d.choose(o), ",")
		return func(func(string) string) request {
			return call("/acquirebystate", "state", o.state, "dest", o.dest, "owner", owner, "names", names)
		}, owner
	case release:
		return func(real func(string) string) request {
			return call("/release", "name", real(l.name), "dest", o.dest, "owner", owner)
		}, owner
	case update:
		state := l.state
		if o.stranger {
			state = o.state
		}
		body := o.body
		if !d.plot.exact && !slices.Contains(d.plot.statics(pair), l.name) {
			body = ""
		}
		return func(real func(string) string) request {
			r := call("/update", "name", real(l.name), "owner", owner, "state", state)
			r.body = body
			return r
		}, owner
	case reset:
		return func(func(string) string) request {
			return call("/reset", "type", typ, "state", o.state, "expire", o.expire, "dest", o.dest)
		}, ""
	case metric:
		return func(func(string) string) request {
			r := call("/metric", "type", typ)
			r.method = http.MethodGet
			return r
		}, ""
	}
	return func(func(string) string) request { return o.junk }, ""
}

// lease picks one that is held, or now and then a resource that may be free.
func (d *duel) lease(o operation) lease {
	if len(d.leases) > 0 && o.lease%8 != 0 {
		return d.leases[o.lease%len(d.leases)]
	}
	names := d.named()
	return lease{names[o.lease%len(names)], o.owner, o.state}
}

// named are the resources that both servers know by the same name.
func (d *duel) named() []string {
	if d.plot.exact {
		return d.plot.statics(unknown)
	}
	return d.plot.statics(pair)
}

func (d *duel) choose(o operation) []string {
	var names []string
	for _, n := range o.names {
		all := append(d.named(), "nowhere")
		names = append(names, all[n%len(all)])
	}
	return names
}

// ask sends the request to one side and returns the answer in common names.
func (d *duel) ask(s *side, build func(func(string) string) request, o operation) answer {
	d.t.Helper()
	own := map[string]string{}
	for name, common := range s.names {
		own[common] = name
	}
	a := s.must(d.t, build(func(common string) string {
		if name, ok := own[common]; ok {
			return name
		}
		return common
	}))
	if d.plot.exact {
		return a.plain(s.names)
	}
	return d.common(s, a, o)
}

// common puts the common names where the order among equals is not compared. A name is common for one lease.
func (d *duel) common(s *side, a answer, o operation) answer {
	var granted struct{ Name string }
	if o.kind == acquire && a.status == http.StatusOK && json.Unmarshal([]byte(a.body), &granted) == nil {
		if !slices.Contains(d.plot.statics(pair), granted.Name) {
			s.names[granted.Name] = fmt.Sprintf("LEASE-%03d", d.grants)
		}
	}
	a.body = times().ReplaceAllString(a.body, `"$1":"TIME"`)
	for name, common := range s.names {
		a.body = strings.ReplaceAll(a.body, name, common)
	}
	var owners map[string]string
	if o.kind == reset && a.status == http.StatusOK && json.Unmarshal([]byte(a.body), &owners) == nil {
		sorted, err := json.Marshal(owners)
		if err != nil {
			d.t.Fatal(err)
		}
		a.body = string(sorted)
	}
	return a
}

// note keeps what the answer says about leases.
func (d *duel) note(o operation, e exchange, owner string) {
	if e.boskos.status != http.StatusOK {
		return
	}
	switch o.kind {
	case acquire:
		var got struct{ Name string }
		d.decode(e.boskos, &got)
		d.grants++
		d.leases = append(d.leases, lease{got.Name, o.owner, o.dest})
	case acquireByState:
		var got []struct{ Name string }
		d.decode(e.boskos, &got)
		for _, g := range got {
			d.leases = append(d.leases, lease{g.Name, owner, o.dest})
		}
	case release:
		d.forget(e.name)
	case reset:
		var got map[string]string
		d.decode(e.boskos, &got)
		for _, name := range slices.Sorted(maps.Keys(got)) {
			d.forget(name)
		}
	}
}

func (d *duel) decode(a answer, out any) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(a.body), out); err != nil {
		d.t.Fatalf("%s: %v", a, err)
	}
}

// forget drops a lease, and its common name where that lasts no longer.
func (d *duel) forget(name string) {
	d.leases = slices.DeleteFunc(d.leases, func(l lease) bool { return l.name == name })
	if d.plot.exact {
		return
	}
	for _, s := range []*side{&d.oracle, &d.ours} {
		maps.DeleteFunc(s.names, func(_, common string) bool { return common == name })
	}
}

// undo gives back what Boskos took before it found one missing, and makes the same changes on steward-pool, which takes
// nothing: the order of the last changes has to stay the same.
func (d *duel) undo(o operation, owner string) {
	const row = "acquirebystate is all or nothing"
	for _, name := range slices.Compact(slices.Sorted(slices.Values(d.choose(o)))) {
		r := call("/release", "name", name, "dest", o.state, "owner", owner)
		if d.oracle.must(d.t, r).status == http.StatusOK {
			d.seen[row]++
			d.log = append(d.log, row+": "+name+" is given back")
			d.cycle(&d.ours, name, o.state)
		}
	}
}
