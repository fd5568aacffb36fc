// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sigs.k8s.io/steward/internal/lease"
)

// TestPanic (P-26): the caller of an operation that panics is answered 500, without what went wrong, and the pool goes on.
func TestPanic(t *testing.T) {
	var serving *lease.Keeper
	registry := prometheus.NewRegistry()
	metrics := NewMetrics(registry, func() *lease.Keeper { return serving })
	broken := true
	var value any
	serving = lease.NewKeeper(lease.KeeperOptions{
		Store: memory{},
		Pool: lease.Options{
			IDs: func() string {
				if broken {
					panic("a secret")
				}
				return "lease-1"
			},
		},
		Panicked: func(v any, _ []byte) {
			value, broken = v, false
			metrics.Panicked()
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	done, ready := make(chan error, 1), make(chan struct{})
	config := lease.Config{Static: []lease.Group{{Type: "project", State: lease.Free, Names: []string{"p0"}}}}
	go func() { done <- serving.Run(ctx, config, func(error) { close(ready) }) }()
	<-ready
	s := httptest.NewServer((&Boskos{Pool: serving, Metrics: metrics}).Handler())
	defer s.Close()
	for _, want := range []int{http.StatusInternalServerError, http.StatusOK} {
		resp, err := http.Post(s.URL+"/acquire?type=project&state=free&dest=busy&owner=me", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want || strings.Contains(string(body), "secret") {
			t.Errorf("%s %q, %v; want %d", resp.Status, body, err, want)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-done; err != nil || value != "a secret" {
		t.Errorf("%v, told %v", err, value)
	}
	serving = nil
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, f := range families {
		if f.GetName() == "steward_pool_panics_total" {
			counted = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != 1 {
		t.Errorf("%v panics were counted", counted)
	}
}
