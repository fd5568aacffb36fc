// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"sigs.k8s.io/steward/e2e/child"
)

// The size of the kill test.
const (
	killClients   = 256
	killResources = 48
	kills         = 25
)

// crash is many clients and one server that dies again and again.
type crash struct {
	t     *testing.T
	s     *steward
	start time.Time
	over  atomic.Bool
	mu    sync.RWMutex // guards address, which every birth changes
	at    address
}

// One request of a client on one resource, with what it was answered. What has no answer is not in it: the client finds
// out what became of it.
type deed struct {
	kind        kind // acquire, release or update
	name, owner string
	granted     bool // else refused, because the owner does not hold it
}

// customer is one client, with a history of its own.
type customer struct {
	*crash
	id      int
	rng     *rand.Rand
	http    *http.Client
	history []porcupine.Operation
	leases  int
	unsure  int // requests without an answer
	found   int // leases whose grant had no answer
}

// steward-pool is killed again and again while 256 clients, half of whom wait in the queue, take, renew and give back 48
// resources. What each resource
// went through is linearizable: no lease is granted twice, none that was acknowledged is lost, and in the end all are
// free.
func TestKill(t *testing.T) {
	c := &crash{t: t, s: startSteward(t, manyOf("t", killResources)), start: time.Now()}
	c.at = c.s.address
	customers := make([]*customer, killClients)
	var busy sync.WaitGroup
	for i := range customers {
		customers[i] = &customer{crash: c, id: i, rng: rand.New(rand.NewPCG(uint64(i), 7)), http: &http.Client{Transport: &http.Transport{}}}
		busy.Go(customers[i].work)
	}
	rng := rand.New(rand.NewPCG(1, 7))
	for range kills {
		<-time.After(time.Duration(20+rng.IntN(400)) * time.Millisecond)
		c.die()
	}
	c.over.Store(true)
	busy.Wait()
	c.check(customers)
}

// manyOf is a configuration with one type.
func manyOf(typ string, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resources:\n- type: %s\n  state: free\n  names:\n", typ)
	for i := range n {
		fmt.Fprintf(&b, "  - %s-%d\n", typ, i)
	}
	return b.String()
}

func (c *crash) die() {
	c.s.kill()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.start()
	c.at = c.s.address
}

func (c *crash) server() address {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.at
}

// work takes a lease, renews it a few times and gives it back, until it is over.
func (c *customer) work() {
	defer c.http.CloseIdleConnections()
	for n := 0; !c.over.Load(); n++ {
		owner := fmt.Sprintf("client-%d-%d", c.id, n)
		name := c.acquire(owner)
		if name == "" {
			<-time.After(time.Duration(c.rng.IntN(20)) * time.Millisecond)
			continue
		}
		c.leases++
		for range c.rng.IntN(4) {
			c.settled(update, name, owner, call("/update", "name", name, "owner", owner, "state", "busy"))
		}
		c.settled(release, name, owner, call("/release", "name", name, "owner", owner, "dest", "free"))
	}
}

// acquire returns the name of a resource, or "" where there was none. A request without an answer may have got one: its
// owner is in no other request, so that the metric tells, and a release the name. Who waits asks again by the same id.
func (c *customer) acquire(owner string) string {
	pairs := []string{"type", "t", "state", "free", "dest", "busy", "owner", owner}
	waits := c.id%2 == 0
	if waits {
		pairs = append(pairs, "request_id", owner)
	}
	for {
		from := time.Since(c.start)
		got, err := c.server().ask(c.http, call("/acquire", pairs...))
		switch {
		case err == nil && got.status == http.StatusOK:
			var r struct{ Name string }
			if err := json.Unmarshal([]byte(got.body), &r); err != nil {
				c.t.Errorf("acquire: %s: %v", got, err)
			}
			c.did(deed{acquire, r.Name, owner, true}, from)
			return r.Name
		case err == nil && got.status != http.StatusNotFound:
			c.t.Errorf("acquire: %s", got)
			return ""
		case err != nil && c.search(owner, from), !waits, c.over.Load():
			return ""
		}
	}
}

// search gives back what a request without an answer may have got, and says whether that was anything.
func (c *customer) search(owner string, from time.Duration) bool {
	c.unsure++
	if !c.holds(owner) {
		return false
	}
	for i := range killResources {
		name := fmt.Sprint("t-", i)
		again, before := time.Since(c.start), c.unsure
		got := c.insist(call("/release", "name", name, "owner", owner, "dest", "free"))
		// One that is refused after one without an answer may have been done by that.
		if got.status == http.StatusOK || c.unsure > before && !c.holds(owner) {
			c.found++
			c.add(deed{acquire, name, owner, true}, from, again)
			c.did(deed{release, name, owner, true}, again)
			return true
		}
	}
	c.t.Errorf("%s holds something, and nothing can be released", owner)
	return true
}

// holds says whether anything is lent to an owner.
func (c *customer) holds(owner string) bool {
	metric := call("/metric", "type", "t")
	metric.method = http.MethodGet
	return strings.Contains(c.insist(metric).body, `"`+owner+`":1`)
}

// insist asks until there is an answer.
func (c *customer) insist(r request) answer {
	for late := time.Now().Add(child.Patience); ; {
		got, err := c.server().ask(c.http, r)
		if err == nil {
			return got
		}
		c.unsure++
		if time.Now().After(late) {
			c.t.Errorf("%s: %v", r, err)
			return answer{}
		}
		<-time.After(5 * time.Millisecond)
	}
}

// settled makes a request about a lease that the client has. A release that comes again after one without an answer is
// refused where that was done.
func (c *customer) settled(k kind, name, owner string, r request) {
	from, before := time.Since(c.start), c.unsure
	got := c.insist(r)
	done := got.status == http.StatusOK || k == release && c.unsure > before && got.status == http.StatusUnauthorized
	if !done && got.status != http.StatusUnauthorized {
		c.t.Errorf("%s: %s", r, got)
	}
	c.did(deed{k, name, owner, done}, from)
}

// did adds what has just been answered.
func (c *customer) did(d deed, from time.Duration) { c.add(d, from, time.Since(c.start)) }

func (c *customer) add(d deed, from, to time.Duration) {
	c.history = append(c.history, porcupine.Operation{ClientId: c.id, Input: d, Call: from.Nanoseconds(), Output: d.granted, Return: to.Nanoseconds()})
}

// check looks at the histories and at what is left.
func (c *crash) check(customers []*customer) {
	var history []porcupine.Operation
	leases, unsure, found := 0, 0, 0
	for _, customer := range customers {
		history = append(history, customer.history...)
		leases += customer.leases
		unsure += customer.unsure
		found += customer.found
	}
	c.t.Logf("%d kills, %d operations, %d leases, %d more without an answer, %d other requests without", kills, len(history), leases, found, unsure-found)
	if found == 0 || leases < 10*killResources {
		c.t.Error("the test shows nothing")
	}
	if got := porcupine.CheckOperationsTimeout(oneHolder(), history, child.Patience); got != porcupine.Ok {
		c.t.Errorf("the history is not linearizable: %v", got)
	}
	metric := call("/metric", "type", "t")
	metric.method = http.MethodGet
	want := fmt.Sprintf(`{"type":"t","current":{"free":%d},"owner":{"":%[1]d}}`, killResources)
	if got := c.server().must(c.t, metric); got.body != want {
		c.t.Errorf("in the end: %s", got)
	}
}

// oneHolder is the model of one resource: it has one owner at most.
func oneHolder() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byName := map[string][]porcupine.Operation{}
			for _, o := range history {
				name := o.Input.(deed).name
				byName[name] = append(byName[name], o)
			}
			var all [][]porcupine.Operation
			for _, operations := range byName {
				all = append(all, operations)
			}
			return all
		},
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			d, owner := input.(deed), state.(string)
			switch {
			case d.kind == acquire:
				return owner == "", d.owner
			case !d.granted:
				return owner != d.owner, owner
			case d.kind == release:
				return owner == d.owner, ""
			}
			return owner == d.owner, owner
		},
	}
}

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
		{"lost", []row{took("a", 1, 2), {deed{update, "r", "a", false}, 3, 4}}, false},
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
