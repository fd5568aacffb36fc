// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/kubefake"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/lease/leasetest"
)

// The suite of every store, on a server that has versions, schemas, field managers and an etcd.
func TestStore(t *testing.T) {
	c := startCluster(t)
	leasetest.Run(t, func(t *testing.T) leasetest.Backend { return &site{cluster: c, namespace: c.Namespace(t)} })
}

// Data of very many fields, of each of which the server may note who wrote it, are stored or refused, and the store goes on.
func TestManyFields(t *testing.T) {
	c := startCluster(t)
	s := c.pool(t, c.Namespace(t), time.Second, nil).Store("me")
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
	plug      *kubefake.Plug

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
	return s.cluster.pool(t, s.namespace, time.Microsecond, s.plug.Wrap).Store("me")
}

func (s *site) Rival(t *testing.T) lease.Store {
	t.Helper()
	return s.cluster.pool(t, s.namespace, time.Microsecond, nil).Store("rival")
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
