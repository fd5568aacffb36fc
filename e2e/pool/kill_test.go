// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/crowd"
)

// kills is how often the server dies.
const kills = 25

// phoenix is a server that dies again and again, each time at another address.
type phoenix struct {
	s  *steward
	mu sync.RWMutex // guards at, which every birth changes
	at address
}

// steward-pool is killed again and again while 256 clients work with it, and what they see is linearizable.
func TestKill(t *testing.T) {
	c := &crowd.Crowd{Clients: 256, Resources: 48, Pause: 5 * time.Millisecond}
	p := &phoenix{s: startSteward(t, crowd.Config(c.Resources))}
	p.at, c.Ask = p.s.address, p.ask
	c.Run(t, func() {
		rng := rand.New(rand.NewPCG(1, 7))
		for range kills {
			<-time.After(time.Duration(20+rng.IntN(400)) * time.Millisecond)
			p.die()
		}
	})
}

func (p *phoenix) die() {
	p.s.kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.start()
	p.at = p.s.address
}

func (p *phoenix) ask(client *http.Client, method, target string) (int, string, error) {
	p.mu.RLock()
	at := p.at
	p.mu.RUnlock()
	got, err := at.ask(client, request{method: method, target: target})
	return got.status, got.body, err
}
