// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/internal/kubefake"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/lease/leasetest"
)

func quiet() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

const namespace = "test-pods"

func serve(t *testing.T) (*kubefake.Custom, string) {
	t.Helper()
	fake := kubefake.NewCustom()
	server := httptest.NewServer(fake.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return fake, server.URL
}

func cluster(t *testing.T, config *rest.Config) *Cluster {
	t.Helper()
	c, err := Connect(Options{Config: config, Namespace: namespace, Patience: 5 * time.Second, Say: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStore(t *testing.T) {
	leasetest.Run(t, func(t *testing.T) leasetest.Backend {
		_, url := serve(t)
		return &site{url: url}
	})
}

// site is a cluster and the processes that work on it. A process that is killed reaches the cluster no more.
type site struct {
	url  string
	plug *plug

	at   int
	late bool
}

func (s *site) Open(t *testing.T) lease.Store {
	t.Helper()
	if s.plug != nil {
		s.plug.kill()
	}
	s.plug = &plug{at: s.at, late: s.late}
	return s.connect(t, s.plug)
}

func (s *site) Rival(t *testing.T) lease.Store {
	t.Helper()
	return s.connect(t, &plug{})
}

func (s *site) connect(t *testing.T, p *plug) lease.Store {
	t.Helper()
	config := &rest.Config{Host: s.url, WrapTransport: p.wrap}
	c, err := Connect(Options{Config: config, Namespace: namespace, Patience: time.Microsecond, Say: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return c.Store("me")
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
