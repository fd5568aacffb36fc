// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/lease/leasetest"
)

// The suite of every store, on a server that has versions, schemas, field managers and an etcd.
func TestStore(t *testing.T) {
	c := startCluster(t)
	leasetest.Run(t, func(*testing.T) leasetest.Backend { return &site{cluster: c, namespace: c.Namespace()} })
}

// Data of very many fields, of each of which the server may note who wrote it, are stored or refused, and the store goes on.
func TestManyFields(t *testing.T) {
	c := startCluster(t)
	s := c.pool(t, c.Namespace(), time.Second, nil).Store("me")
	_, epoch, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]string{}
	for i := range 60_000 {
		data[fmt.Sprintf("key-%06d", i)] = ""
	}
	r := lease.Resource{Name: "r", Type: "t", State: "free"}
	record := func() []lease.Record {
		c := r
		return []lease.Record{{Kind: lease.KindResource, Key: r.Name, Resource: &c}}
	}
	if err := s.Commit(t.Context(), epoch, record()); err != nil {
		t.Fatal(err)
	}
	r.UserData = data
	err = s.Commit(t.Context(), epoch, record())
	t.Logf("%d empty fields: %.200v", len(data), err)
	if err != nil && !errors.Is(err, lease.ErrRefused) {
		t.Errorf("%v", err)
	}
	r.UserData = nil
	if err := s.Commit(t.Context(), epoch, record()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// site is a namespace and the processes that work on it. A process that is killed reaches the server no more.
type site struct {
	cluster   *cluster
	namespace string
	plug      *plug

	at   int
	late bool
}

func (s *site) Open(t *testing.T) lease.Store {
	t.Helper()
	if s.plug != nil {
		s.plug.kill()
	}
	s.plug = &plug{at: s.at, late: s.late}
	return s.cluster.pool(t, s.namespace, time.Microsecond, s.plug.wrap).Store("me")
}

func (s *site) Rival(t *testing.T) lease.Store {
	t.Helper()
	return s.cluster.pool(t, s.namespace, time.Microsecond, nil).Store("rival")
}

func (s *site) Cut(n int, late bool) {
	s.at, s.late = n, late
	if s.plug != nil {
		s.plug.cut(n, late)
	}
}

func (s *site) Writes() int {
	s.plug.mu.Lock()
	defer s.plug.mu.Unlock()
	return s.plug.writes
}

func (s *site) TooMuch() []lease.Record {
	r := lease.Resource{Name: "large", Type: "t", UserData: map[string]string{"x": strings.Repeat("x", 2<<20)}}
	return []lease.Record{{Kind: lease.KindResource, Key: r.Name, Resource: &r}}
}

var errKilled = errors.New("the process was killed")

// plug is the connection of one process.
type plug struct {
	next http.RoundTripper

	mu     sync.Mutex
	at     int
	late   bool
	writes int
	dead   bool
}

func (p *plug) wrap(next http.RoundTripper) http.RoundTripper {
	p.next = next
	return p
}

func (p *plug) cut(n int, late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.late, p.writes = n, late, 0
}

func (p *plug) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

func (p *plug) RoundTrip(r *http.Request) (*http.Response, error) {
	dies, late := p.count(r)
	if !dies {
		return p.next.RoundTrip(r)
	}
	if late {
		if resp, err := p.next.RoundTrip(r); err == nil {
			resp.Body.Close()
		}
	}
	return nil, errKilled
}

func (p *plug) count(r *http.Request) (dies, late bool) {
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
