// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"io"
	"net/http/httptest"
	"strings"
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
	plug *kubefake.Plug

	at   int
	late bool
}

func (s *site) Open(t *testing.T) lease.Store {
	t.Helper()
	if s.plug != nil {
		s.plug.Kill()
	}
	s.plug = &kubefake.Plug{}
	s.plug.Cut(s.at, s.late)
	return s.connect(t, s.plug)
}

func (s *site) Rival(t *testing.T) lease.Store {
	t.Helper()
	return s.connect(t, &kubefake.Plug{})
}

func (s *site) connect(t *testing.T, p *kubefake.Plug) lease.Store {
	t.Helper()
	config := &rest.Config{Host: s.url, WrapTransport: p.Wrap}
	c, err := Connect(Options{Config: config, Namespace: namespace, Patience: time.Microsecond, Say: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return c.Store("me")
}

func (s *site) Cut(n int, late bool) {
	s.at, s.late = n, late
	if s.plug != nil {
		s.plug.Cut(n, late)
	}
}

func (s *site) Writes() int { return s.plug.Writes() }

func (s *site) TooMuch() []lease.Record {
	r := lease.Resource{Name: "large", Type: "t", UserData: map[string]string{"x": strings.Repeat("x", 2<<20)}}
	return []lease.Record{{Kind: lease.KindResource, Key: r.Name, Resource: &r}}
}
