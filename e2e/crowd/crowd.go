// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crowd is many clients of one pool whose processes die, with what has to be true of all that they were answered.
//
// The pool has one type and serves Boskos's interface. Which store keeps it, and which process of it dies when, is the affair
// of the test.
package crowd

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"sigs.k8s.io/steward/e2e/child"
)

// Type is that of all resources of the pool.
const Type = "t"

// Config is the configuration of a pool with so many resources.
func Config(resources int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resources:\n- type: %s\n  state: free\n  names:\n", Type)
	for i := range resources {
		fmt.Fprintf(&b, "  - %s\n", nameOf(i))
	}
	return b.String()
}

func nameOf(i int) string { return fmt.Sprintf("%s-%d", Type, i) }

// Crowd is a number of clients, half of whom wait in the queue, who take, renew and give back the resources of a pool.
type Crowd struct {
	Clients, Resources int
	// Ask makes a request to whichever process the client may ask now. An error says that there is no answer: then nobody knows
	// yet what became of the request.
	Ask func(client *http.Client, method, target string) (status int, body string, err error)
	// Pause is between two tries of a request without an answer.
	Pause time.Duration

	t     *testing.T
	start time.Time
	over  atomic.Bool
}

// One request of a client on one resource, with what it was answered. What has no answer is not in it: the client finds
// out what became of it.
type deed struct {
	kind        kind
	name, owner string
	granted     bool // else refused, because the owner does not hold it
}

type kind int

const (
	acquire kind = iota
	renew
	release
)

// customer is one client, with a history of its own.
type customer struct {
	*Crowd
	id      int
	rng     *rand.Rand
	http    *http.Client
	history []porcupine.Operation
	leases  int
	unsure  int // requests without an answer
	found   int // leases whose grant had no answer
}

// answer is what a client was told; none is zero.
type answer struct {
	status int
	body   string
}

// Run lets the clients work for as long as trouble takes. What each resource went through has to be linearizable: no lease is
// granted twice, none that was acknowledged is lost, and in the end all are free.
func (c *Crowd) Run(t *testing.T, trouble func()) {
	t.Helper()
	c.t, c.start = t, time.Now()
	customers := make([]*customer, c.Clients)
	var busy sync.WaitGroup
	for i := range customers {
		customers[i] = &customer{Crowd: c, id: i, rng: rand.New(rand.NewPCG(uint64(i), 7)), http: &http.Client{Transport: &http.Transport{}}}
		busy.Go(customers[i].work)
	}
	func() {
		defer busy.Wait()
		defer c.over.Store(true)
		trouble()
	}()
	c.check(customers)
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
			c.settled(renew, name, owner, target("/update", "name", name, "owner", owner, "state", "busy"))
		}
		c.settled(release, name, owner, target("/release", "name", name, "owner", owner, "dest", "free"))
	}
}

// target is a path with its query, in which clients of Boskos have all parameters.
func target(path string, pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return path + "?" + values.Encode()
}

func (c *customer) post(target string) (answer, error) {
	status, body, err := c.Ask(c.http, http.MethodPost, target)
	return answer{status, body}, err
}

// acquire returns the name of a resource, or "" where there was none. A request without an answer may have got one: its
// owner is in no other request, so that the metric tells, and a release the name. Who waits asks again by the same id.
func (c *customer) acquire(owner string) string {
	pairs := []string{"type", Type, "state", "free", "dest", "busy", "owner", owner}
	waits := c.id%2 == 0
	if waits {
		pairs = append(pairs, "request_id", owner)
	}
	for {
		from := time.Since(c.start)
		got, err := c.post(target("/acquire", pairs...))
		switch {
		case err == nil && got.status == http.StatusOK:
			var r struct{ Name string }
			if err := json.Unmarshal([]byte(got.body), &r); err != nil {
				c.t.Errorf("acquire: %+v: %v", got, err)
			}
			c.did(deed{acquire, r.Name, owner, true}, from)
			return r.Name
		case err == nil && got.status != http.StatusNotFound:
			c.t.Errorf("acquire: %+v", got)
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
	for i := range c.Resources {
		again, before := time.Since(c.start), c.unsure
		got := c.insist(http.MethodPost, target("/release", "name", nameOf(i), "owner", owner, "dest", "free"))
		// One that is refused after one without an answer may have been done by that.
		if got.status == http.StatusOK || c.unsure > before && !c.holds(owner) {
			c.found++
			c.add(deed{acquire, nameOf(i), owner, true}, from, again)
			c.did(deed{release, nameOf(i), owner, true}, again)
			return true
		}
	}
	c.t.Errorf("%s holds something, and nothing can be released", owner)
	return true
}

// holds says whether anything is lent to an owner.
func (c *customer) holds(owner string) bool {
	return strings.Contains(c.metric(), `"`+owner+`":1`)
}

func (c *customer) metric() string {
	return c.insist(http.MethodGet, target("/metric", "type", Type)).body
}

// insist asks until there is an answer.
func (c *customer) insist(method, target string) answer {
	for late := time.Now().Add(child.Patience); ; {
		status, body, err := c.Ask(c.http, method, target)
		if err == nil {
			return answer{status, body}
		}
		c.unsure++
		if time.Now().After(late) {
			c.t.Errorf("%s: %v", target, err)
			return answer{}
		}
		<-time.After(c.Pause)
	}
}

// settled makes a request about a lease that the client has. A release that comes again after one without an answer is
// refused where that was done.
func (c *customer) settled(k kind, name, owner, target string) {
	from, before := time.Since(c.start), c.unsure
	got := c.insist(http.MethodPost, target)
	done := got.status == http.StatusOK || k == release && c.unsure > before && got.status == http.StatusUnauthorized
	if !done && got.status != http.StatusUnauthorized {
		c.t.Errorf("%s: %+v", target, got)
	}
	c.did(deed{k, name, owner, done}, from)
}

// did adds what has just been answered.
func (c *customer) did(d deed, from time.Duration) { c.add(d, from, time.Since(c.start)) }

func (c *customer) add(d deed, from, to time.Duration) {
	c.history = append(c.history, porcupine.Operation{ClientId: c.id, Input: d, Call: from.Nanoseconds(), Output: d.granted, Return: to.Nanoseconds()})
}

// check looks at the histories and at what is left.
func (c *Crowd) check(customers []*customer) {
	c.t.Helper()
	var history []porcupine.Operation
	leases, unsure, found := 0, 0, 0
	for _, customer := range customers {
		history = append(history, customer.history...)
		leases += customer.leases
		unsure += customer.unsure
		found += customer.found
	}
	c.t.Logf("%d operations, %d leases, %d more without an answer, %d other requests without", len(history), leases, found, unsure-found)
	if found == 0 || leases < 10*c.Resources {
		c.t.Error("the test shows nothing")
	}
	if got := porcupine.CheckOperationsTimeout(oneHolder(), history, child.Patience); got != porcupine.Ok {
		c.t.Errorf("the history is not linearizable: %v", got)
	}
	want := fmt.Sprintf(`{"type":%q,"current":{"free":%d},"owner":{"":%[2]d}}`, Type, c.Resources)
	if got := strings.TrimSpace(customers[0].metric()); got != want {
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
