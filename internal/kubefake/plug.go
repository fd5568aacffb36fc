// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"errors"
	"net/http"
	"sync"
)

var errKilled = errors.New("the process was killed")

// Plug is the connection of one process to an API, which can be pulled out: at a write that is not GET, before it is sent or
// after, so that it is done and nobody is told. From then on the process reaches nothing. The zero value stays in.
type Plug struct {
	next http.RoundTripper

	mu     sync.Mutex
	at     int
	late   bool
	writes int
	dead   bool
}

// Wrap is a rest.Config's WrapTransport.
func (p *Plug) Wrap(next http.RoundTripper) http.RoundTripper {
	p.next = next
	return p
}

// Cut pulls it out at the nth write from now on; late is after the write, 0 is never.
func (p *Plug) Cut(n int, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.late, p.writes = n, late, 0
}

// Kill pulls it out now.
func (p *Plug) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// RoundTrip passes a request on.
func (p *Plug) RoundTrip(r *http.Request) (*http.Response, error) {
	if dies, late := p.count(r); dies {
		if !late {
			return nil, errKilled
		}
		if resp, err := p.next.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
		return nil, errKilled
	}
	return p.next.RoundTrip(r)
}

func (p *Plug) count(r *http.Request) (dies, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return true, false
	}
	if r.Method == http.MethodGet {
		return false, false
	}
	p.writes++
	if p.at == 0 || p.writes != p.at {
		return false, false
	}
	p.dead = true
	return true, p.late
}

// Writes counts the writes since the last Cut.
func (p *Plug) Writes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.writes
}
