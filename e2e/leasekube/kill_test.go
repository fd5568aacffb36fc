// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/e2e/crowd"
)

// The size of the kill test. After some deaths the other process takes over, which takes it nine seconds to dare.
const (
	kills     = 15
	takeOvers = 3
)

// pair is two processes of one pool. Each has an address for good, at which clients may ask it while it lives.
type pair struct {
	t         *testing.T
	c         *cluster
	namespace string
	config    string
	addresses [2]string
	servers   [2]*server
}

// Whichever of two processes leads is killed again and again while 64 clients ask either of them, and what they see is
// linearizable. Mostly it comes back at once and leads on, else the other takes over. About half of those who lead die as soon as
// they answer anything, which is while they load the pool.
func TestKill(t *testing.T) {
	c := &crowd.Crowd{Clients: 64, Resources: 16, Pause: 50 * time.Millisecond}
	p := &pair{t: t, c: startCluster(t), config: crowd.Config(c.Resources)}
	p.namespace = p.c.Namespace(t)
	for i, port := range child.FreePorts(t, len(p.servers)) {
		p.addresses[i] = child.Loopback(port)
		p.start(i)
	}
	c.Ask = p.ask
	rng := rand.New(rand.NewPCG(1, 7))
	c.Run(t, func() {
		for i := range kills {
			<-time.After(time.Duration(rng.IntN(2)*(1000+rng.IntN(1500))) * time.Millisecond)
			leader := p.leader()
			p.servers[leader].stop()
			if i%(kills/takeOvers) == 0 {
				p.takenOver(leader)
			}
			p.start(leader)
		}
	})
}

func (p *pair) start(i int) {
	p.t.Helper()
	p.servers[i] = startPoolAt(p.t, p.c, p.namespace, fmt.Sprint("pool-", i), p.addresses[i], p.config)
}

// leader is the process that leads as the Lease has it.
func (p *pair) leader() int {
	p.t.Helper()
	holder := ""
	child.Within(p.t, "somebody leads", func() bool {
		l, err := p.c.Client(p.t).CoordinationV1().Leases(p.namespace).Get(p.t.Context(), "steward-pool", metav1.GetOptions{})
		if err == nil && l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		return holder != ""
	})
	if strings.HasPrefix(holder, "pool-0@") {
		return 0
	}
	return 1
}

// takenOver waits until the other process leads and serves.
func (p *pair) takenOver(dead int) {
	p.t.Helper()
	begun, other := time.Now(), p.servers[1-dead]
	child.Within(p.t, "the other process leads", func() bool {
		status, _ := other.ask(http.MethodGet, "/metric", "", "type", crowd.Type)
		return status == http.StatusOK && p.leader() != dead
	})
	p.t.Logf("taken over after %v", time.Since(begun))
}

// errOpen is that of a request which a process passed on to one that died, or which none could serve: nobody knows.
var errOpen = errors.New("not answered by who serves the pool")

// ask asks either process, as a Service does.
func (p *pair) ask(client *http.Client, method, target string) (int, string, error) {
	status, body, err := send(client, method, "http://"+p.addresses[rand.IntN(len(p.addresses))]+target, "")
	if status == http.StatusServiceUnavailable {
		err = errOpen
	}
	return status, body, err
}
