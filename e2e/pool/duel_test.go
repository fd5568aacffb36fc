// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is how long a cache may take to see a change, on a machine with other work.
const patience = 10 * time.Second

// duel asks two servers the same and keeps the leases that they should agree on.
type duel struct {
	t      testing.TB
	plot   plot
	oracle side
	ours   side
	leases []lease
	dead   []lease            // of resources that were deleted since
	queues map[string]*places // by type and state
	grants int
	log    []string
	rules
	seen map[string]int // how often an intended difference was seen, and an operation with a status
}

// rules are how two servers have to be compared.
type rules struct {
	// cached says that the first server answers from a cache that runs after its own writes.
	cached bool
	// keeps says that one of the two is Boskos in memory, which never looks at its dynamic resources after the start and keeps
	// what is in a tombstone. None gets there then but in somebody's hands.
	keeps bool
	// halfway, if there is one, happens in the middle of every sequence and must not show.
	halfway func()
}

// side is one of the two. names has, by its own name for a resource, the one that both have in common.
type side struct {
	address
	names map[string]string
}

// lease is what Boskos has granted; name is the common one.
type lease struct {
	name, owner, state string
	typ                int
}

// exchange is one request, in common names, with both answers.
type exchange struct {
	request         string
	name            string // of the one resource that it is about
	meant, place    int    // in the queue: that it should have, and that Boskos gives it
	boskos, steward answer
}

// The differences that are intended, each with the reason. Any other fails. How often each was seen is in the test's log.
const (
	// What is taken before one is missing stays taken in Boskos, for nobody to know. Boskos gives it back, and the
	// sequence goes on.
	allOrNothing = "acquirebystate is all or nothing"
	// places says how Boskos forgets who waits. Who then comes first differs, and the sequence ends.
	nobodyForgotten = "the queue forgets nobody"
)

// afterDeath counts what is no difference: a request about a resource that both have deleted.
const afterDeath = "asked for what was deleted"

func newDuel(t testing.TB, p plot, r rules, boskos, steward address) *duel {
	return &duel{
		t: t, plot: p, rules: r, seen: map[string]int{}, queues: map[string]*places{},
		oracle: side{boskos, map[string]string{}}, ours: side{steward, map[string]string{}},
	}
}

// play runs operations until the servers differ and returns how, or "".
func (d *duel) play(all []operation) string {
	for i, o := range all {
		if i == len(all)/2 && d.halfway != nil {
			d.log = append(d.log, "half-way")
			d.halfway()
		}
		l := d.lease(o)
		o = o.aim(l)
		d.catchUp(o)
		build, owner := d.request(o, l, i)
		e := exchange{request: build(func(s string) string { return s }).String(), name: l.name}
		e.meant, e.place = d.place(o)
		e.boskos, e.steward = d.ask(&d.oracle, build, o), d.ask(&d.ours, build, o)
		e = d.again(e, build, o)
		d.log = append(d.log, fmt.Sprintf("%s\n  boskos:  %s\n  steward: %s", e.request, e.boskos, e.steward))
		if e.boskos != e.steward && e.meant != e.place {
			d.seen[nobodyForgotten]++
			return ""
		}
		if e.boskos != e.steward {
			return strings.Join(d.log, "\n")
		}
		d.count(o, l, e)
		d.note(o, e, owner)
		if o.kind == acquireByState && e.boskos.status != http.StatusOK {
			d.undo(o, owner)
		}
	}
	return ""
}

// count notes what was seen.
func (d *duel) count(o operation, l lease, e exchange) {
	d.seen[fmt.Sprintf("%v %d", o.kind, e.boskos.status)]++
	if slices.Contains(d.dead, l) && (o.kind == release || o.kind == update) {
		d.seen[afterDeath]++
	}
}

// again asks a server with a cache a second time where its first answer changed nothing.
func (d *duel) again(e exchange, build func(func(string) string) request, o operation) exchange {
	for late := time.Now().Add(patience); d.cached && e.boskos != e.steward && time.Now().Before(late); {
		if e.boskos.status < http.StatusBadRequest && o.kind != metric {
			return e
		}
		<-time.After(10 * time.Millisecond)
		e.boskos = d.ask(&d.oracle, build, o)
	}
	return e
}

// catchUp waits until a server with a cache has seen the last change, where it would else make one resource too many,
// reset one too few, or take less than both answers show.
func (d *duel) catchUp(o operation) {
	switch {
	case o.kind == reset, o.kind == acquire && made(o.typ):
		d.settle(d.plot.typ(o.typ))
	case o.kind == acquireByState:
		for _, name := range d.choose(o) {
			d.settle(strings.TrimSuffix(name, "-a"))
		}
	}
}

// settle waits until both servers count the same of a type, for as long as patience lasts.
func (d *duel) settle(typ string) {
	late := time.Now().Add(patience)
	for d.cached && d.metric(&d.oracle, typ) != d.metric(&d.ours, typ) && time.Now().Before(late) {
		<-time.After(10 * time.Millisecond)
	}
}

func (d *duel) metric(s *side, typ string) answer {
	r := call("/metric", "type", typ)
	r.method = http.MethodGet
	return s.must(d.t, r)
}

// place is where an acquire stands in its queue.
func (d *duel) place(o operation) (meant, boskos int) {
	if o.kind != acquire {
		return 0, 0
	}
	return d.queue(o).ask(o.id)
}

func (d *duel) queue(o operation) *places {
	key := fmt.Sprint(o.typ, o.state)
	if d.queues[key] == nil {
		d.queues[key] = &places{}
	}
	return d.queues[key]
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
			return call("/release", "name", real(l.name), "dest", d.dest(o, l.typ), "owner", owner)
		}, owner
	case update:
		state := l.state
		if o.stranger {
			state = o.state
		}
		body := o.body
		if !alone(l.typ) {
			body = "" // it would show in a later answer which of several this was
		}
		return func(real func(string) string) request {
			r := call("/update", "name", real(l.name), "owner", owner, "state", state)
			r.body = body
			return r
		}, owner
	case reset:
		return func(func(string) string) request {
			return call("/reset", "type", typ, "state", o.state, "expire", o.expire, "dest", d.dest(o, o.typ))
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

// dest is the state that a resource of a type is left in: no tombstone where one of the two would keep it.
func (d *duel) dest(o operation, typ int) string {
	if d.keeps && made(typ) && o.dest == tombstone {
		return toBeDeleted
	}
	return o.dest
}

// lease picks one that is held, or now and then one of a resource that was deleted, or a resource that may be free.
func (d *duel) lease(o operation) lease {
	if len(d.dead) > 0 && o.lease%8 == 1 {
		return d.dead[o.lease%len(d.dead)]
	}
	if len(d.leases) > 0 && o.lease%8 != 0 {
		return d.leases[o.lease%len(d.leases)]
	}
	typ := o.lease % len(d.plot.named())
	return lease{d.plot.named()[typ], o.owner, o.state, typ}
}

func (d *duel) choose(o operation) []string {
	var names []string
	for _, n := range o.names {
		all := append(d.plot.named(), "nowhere")
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
	a = d.common(s, a, o)
	a.body = sorted(o.kind, a.body)
	return a
}

// sorted puts what came in the order of the last change into that of the names.
func sorted(k kind, body string) string {
	var owners map[string]string
	var taken []map[string]any
	var all any
	switch {
	case k == reset && json.Unmarshal([]byte(body), &owners) == nil:
		all = owners
	case k == acquireByState && json.Unmarshal([]byte(body), &taken) == nil:
		slices.SortFunc(taken, func(a, b map[string]any) int { return cmp.Compare(fmt.Sprint(a["name"]), fmt.Sprint(b["name"])) })
		all = taken
	default:
		return body
	}
	text, err := json.Marshal(all)
	if err != nil {
		return body
	}
	return string(text)
}

// common puts the common names where the order among equals is not compared. A name is common for one lease.
func (d *duel) common(s *side, a answer, o operation) answer {
	var granted struct{ Name string }
	if o.kind == acquire && a.status == http.StatusOK && json.Unmarshal([]byte(a.body), &granted) == nil {
		if !slices.Contains(d.plot.named(), granted.Name) {
			s.names[granted.Name] = fmt.Sprintf("LEASE-%03d", d.grants)
		}
	}
	a.body = times().ReplaceAllString(a.body, `"$1":"TIME"`)
	for name, common := range s.names {
		a.body = strings.ReplaceAll(a.body, name, common)
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
		d.queue(o).leave(o.id)
		d.grants++
		d.leases = append(d.leases, lease{got.Name, o.owner, o.dest, o.typ})
	case acquireByState:
		var got []struct{ Name string }
		d.decode(e.boskos, &got)
		for _, g := range got {
			d.leases = append(d.leases, lease{g.Name, owner, o.dest, slices.Index(d.plot.named(), g.Name)})
		}
	case release:
		d.forget(e.name, o)
	case reset:
		var got map[string]string
		d.decode(e.boskos, &got)
		for _, name := range slices.Sorted(maps.Keys(got)) {
			d.forget(name, o)
		}
	}
}

func (d *duel) decode(a answer, out any) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(a.body), out); err != nil {
		d.t.Fatalf("%s: %v", a, err)
	}
}

// forget drops a lease that an operation has ended, and its common name where another resource may get it. The name of one
// that is deleted stays.
func (d *duel) forget(name string, o operation) {
	i := slices.IndexFunc(d.leases, func(l lease) bool { return l.name == name })
	l := d.leases[i]
	d.leases = slices.Delete(d.leases, i, i+1)
	if made(l.typ) && d.dest(o, l.typ) == tombstone {
		d.dead = append(d.dead, l)
		return
	}
	for _, s := range []*side{&d.oracle, &d.ours} {
		maps.DeleteFunc(s.names, func(_, common string) bool { return common == name })
	}
}

// undo gives back what Boskos took before it found one missing, where steward-pool took nothing. A cache may know only
// after a while what was taken.
func (d *duel) undo(o operation, owner string) {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(d.choose(o)))) {
		if !d.taken(name, o.state, owner) {
			continue
		}
		r := call("/release", "name", name, "dest", o.state, "owner", owner)
		late := time.Now().Add(patience)
		for d.oracle.must(d.t, r).status != http.StatusOK {
			if !d.cached || time.Now().After(late) {
				d.t.Fatalf("%s: Boskos did not take it\n%s", r, strings.Join(d.log, "\n"))
			}
			<-time.After(10 * time.Millisecond)
		}
		if d.ours.must(d.t, r).status != http.StatusOK {
			d.seen[allOrNothing]++
			d.log = append(d.log, allOrNothing+": Boskos gives back "+name)
		}
	}
}

// taken says whether Boskos took a resource for an answer that names one missing: it was there for the taking, which our
// side shows where it took nothing itself.
func (d *duel) taken(name, state, owner string) bool {
	a := d.metric(&d.ours, strings.TrimSuffix(name, "-a"))
	if a.status != http.StatusOK {
		return false // no such type
	}
	var has struct{ Current, Owner map[string]int }
	d.decode(a, &has)
	return has.Owner[owner] > 0 || has.Current[state] > 0 && has.Owner[""] > 0
}
