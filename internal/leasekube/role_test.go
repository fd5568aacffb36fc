// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/internal/lease"
)

// The Role that is shipped allows what the pool does, and nothing that it never does.
func TestRole(t *testing.T) {
	allowed := role(t)
	delete(allowed, "/pods list") // of the part that follows pods
	delete(allowed, "/pods watch")
	_, url := serve(t)
	var mu sync.Mutex
	asked := map[string]bool{}
	c := cluster(t, &rest.Config{Host: url, WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			asked[verb(r)] = true
			mu.Unlock()
			return next.RoundTrip(r)
		})
	}})
	work(t, c)
	mu.Lock()
	defer mu.Unlock()
	for v := range asked {
		if !allowed[v] {
			t.Errorf("%s is not allowed", v)
		}
	}
	for v := range allowed {
		if !asked[v] && v != "boskos.k8s.io/dynamicresourcelifecycles watch" && !strings.HasSuffix(v, " get") {
			t.Errorf("%s is allowed and not needed", v)
		}
	}
	t.Logf("%v", slices.Sorted(maps.Keys(asked)))
}

// work does everything once.
func work(t *testing.T, c *Cluster) {
	t.Helper()
	e := c.Election(ElectionOptions{Name: "a", Retry: time.Millisecond})
	if !e.try(t.Context(), false) || !e.try(t.Context(), true) {
		t.Fatal("not elected")
	}
	s := c.Store("me")
	dynamic := lease.Record{Kind: lease.KindDynamic, Key: "d", Dynamic: &lease.Dynamic{Type: "d", Max: 1}}
	waiter := lease.Record{Kind: lease.KindWaiter, Key: "k", Lazy: true, Waiter: &lease.Waiter{Seq: 1}}
	large := resource("p1", "free", "")
	large.Resource.UserData = map[string]string{"x": strings.Repeat("x", 300_000)}
	_, epoch := again(t, s)
	mustCommit(t, s, epoch, large, dynamic, waiter)
	changed := *dynamic.Dynamic
	changed.Max = 2
	mustCommit(t, s, epoch, resource("p1", "busy", "o"), lease.Record{Kind: lease.KindDynamic, Key: "d", Dynamic: &changed}, lease.Record{Kind: lease.KindWaiter, Key: "k", Gone: true})
	mustCommit(t, s, epoch, lease.Record{Kind: lease.KindResource, Key: "p1", Gone: true}, lease.Record{Kind: lease.KindDynamic, Key: "d", Gone: true})
	if err := s.follow(t.Context(), &watch{at: "x", known: map[string]seen{}}); err == nil {
		t.Error("a watch from nowhere")
	}
}

func verb(r *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/")
	what := parts[0] + "/" + parts[4]
	switch {
	case r.URL.Query().Get("watch") != "":
		return what + " watch"
	case r.Method == http.MethodGet && len(parts) == 5:
		return what + " list"
	}
	return what + " " + map[string]string{"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}[r.Method]
}

// role reads the verbs of the shipped Role.
func role(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile("../../config/kubernetes/pool/rbac.yaml")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for dec := yaml.NewDecoder(bytes.NewReader(content)); ; {
		var o struct {
			Rules []struct {
				Groups    []string `yaml:"apiGroups"`
				Resources []string `yaml:"resources"`
				Verbs     []string `yaml:"verbs"`
			} `yaml:"rules"`
		}
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return allowed
		} else if err != nil {
			t.Fatal(err)
		}
		for _, rule := range o.Rules {
			for _, resource := range rule.Resources {
				for _, v := range rule.Verbs {
					allowed[rule.Groups[0]+"/"+resource+" "+v] = true
				}
			}
		}
	}
}
