// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasekube"
)

const config = `resources:
- type: project
  state: free
  names: [project-1, project-2, project-3, project-4]
- type: cluster
  state: free
  min-count: 2
  max-count: 3
  lifespan: 48h
`

// keep runs a keeper on a store until end is called, which returns how it ended.
func keep(t *testing.T, store lease.Store, content string) (k *lease.Keeper, end func() error) {
	t.Helper()
	parsed, err := lease.ParseConfig("config", []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	ids := 0
	next := func() string {
		ids++
		return fmt.Sprintf("id-%d", ids)
	}
	k = lease.NewKeeper(lease.KeeperOptions{Store: store, LazyEvery: 100 * time.Millisecond, Pool: lease.Options{IDs: next, Names: next}})
	ctx, cancel := context.WithCancel(t.Context())
	ready, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- k.Run(ctx, parsed, func(error) { close(ready) }) }()
	select {
	case <-ready:
	case err := <-result:
		t.Fatalf("the pool is not served: %v", err)
	case <-time.After(child.Patience):
		t.Fatal("the pool is not served")
	}
	return k, func() error {
		cancel()
		return <-result
	}
}

// do is an operation that has to be stored and to succeed.
func do(t *testing.T, k *lease.Keeper, operation func(p *lease.Pool, now time.Time) error) {
	t.Helper()
	var failed error
	if err := k.Do(t.Context(), func(p *lease.Pool, now time.Time) { failed = operation(p, now) }); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
}

// A namespace with live leases of Boskos's is taken over, used, and handed back with leases of ours, which Boskos serves as
// its own; and then taken over again. Nothing is converted.
func TestTakeOver(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)

	b := startBoskos(t, c, namespace, config)
	first, second := b.acquire("project", "job-a"), b.acquire("project", "job-b")
	dynamic := b.acquire("cluster", "job-a")
	b.must("POST", "/update", `{"key":"value"}`, "name", first, "owner", "job-a", "state", "busy")
	before := b.metric("project")
	b.stop()

	store := c.pool(t, namespace, child.Patience, nil).Store("steward")
	k, end := keep(t, store, config)
	var third *lease.Resource
	do(t, k, func(p *lease.Pool, now time.Time) error {
		if got := counts(t, p, "project"); got != before {
			t.Errorf("the pool has %s, Boskos had %s", got, before)
		}
		if r := p.Get(first); r == nil || r.Owner != "job-a" || r.UserData["key"] != "value" || r.Updated.IsZero() {
			t.Errorf("a lease of Boskos's: %+v", r)
		}
		if d := p.Dynamic("cluster"); d == nil || d.Min != 2 || d.Max != 3 || d.Lifespan != 48*time.Hour {
			t.Errorf("a dynamic type of Boskos's: %+v", d)
		}
		if err := p.Update(now, lease.Grip{Resource: second, Owner: "job-b"}, "busy", nil); err != nil {
			return err
		}
		if err := p.Release(now, lease.Grip{Resource: first, Owner: "job-a"}, "dirty", ""); err != nil {
			return err
		}
		return p.Release(now, lease.Grip{Resource: dynamic, Owner: "job-a"}, "free", "")
	})
	got, err := k.Acquire(t.Context(), lease.Claim{
		Owner: "job-c", Holder: lease.Holder{Account: "sig-a"}, From: "free", To: "busy", Wants: []lease.Want{{Type: "project", Count: 2}}, TTL: time.Hour,
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	third, kept := got[0], got[1]
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Error(err)
	}

	b = startBoskos(t, c, namespace, config)
	if got, want := b.metric("project"), `{"type":"project","current":{"busy":3,"dirty":1},"owner":{"":1,"job-b":1,"job-c":2}}`; got != want {
		t.Errorf("handed back as %s, want %s", got, want)
	}
	b.must("POST", "/update", "", "name", third.Name, "owner", "job-c", "state", "busy")
	b.must("POST", "/release", "", "name", second, "owner", "job-b", "dest", "free")
	again := b.acquire("project", "job-d")
	if again != second {
		t.Errorf("Boskos lends %s, want %s", again, second)
	}
	b.stop()

	o, err := c.resources(t, namespace).Get(t.Context(), third.Name, metav1.GetOptions{})
	if err != nil || !strings.Contains(o.GetAnnotations()["steward.k8s.io/lease"], third.Lease.ID) {
		t.Errorf("Boskos has not carried the annotation along: %v, %v", o.GetAnnotations(), err)
	}
	k, end = keep(t, c.pool(t, namespace, child.Patience, nil).Store("steward"), config)
	do(t, k, func(p *lease.Pool, now time.Time) error {
		if r := p.Get(kept.Name); r.Lease == nil || r.Lease.ID != kept.Lease.ID || r.Lease.Account != "sig-a" {
			t.Errorf("a lease that Boskos did not touch: %+v", r)
		}
		if r := p.Get(third.Name); r.Owner != "job-c" || r.Lease != nil || r.Epoch <= third.Epoch {
			t.Errorf("a lease that Boskos renewed: %+v", r)
		}
		if err := p.Release(now, lease.Grip{Resource: third.Name, Lease: third.Lease.ID}, "free", ""); err == nil {
			t.Error("the lease from before still counts")
		}
		return p.Release(now, lease.Grip{Resource: again, Owner: "job-d"}, "free", "")
	})
	if err := end(); err != nil {
		t.Error(err)
	}
}

// counts is what a pool says of a type, in Boskos's words.
func counts(t *testing.T, p *lease.Pool, typ string) string {
	t.Helper()
	states, owners, err := p.Metric(typ)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"type":%q,"current":%s,"owner":%s}`, typ, encode(t, states), encode(t, owners))
}

// A person edits a resource with kubectl while the pool is served: the pool is loaded again, and the person's word counts.
func TestEdit(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)
	store := c.pool(t, namespace, child.Patience, nil).Store("steward")
	_, end := keep(t, store, config)
	watched := make(chan error, 1)
	go func() { watched <- store.Watch(t.Context()) }()
	resources := c.resources(t, namespace)
	o, err := resources.Get(t.Context(), "project-1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	o.Object["status"].(map[string]any)["state"] = "maintenance"
	if _, err := resources.Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	select {
	case err := <-watched:
		t.Logf("%v after %v", err, time.Since(begun))
		if err == nil || !strings.Contains(err.Error(), "project-1") || !strings.Contains(err.Error(), leasekube.ErrChanged.Error()) {
			t.Errorf("%v", err)
		}
	case <-time.After(child.Patience):
		t.Fatal("the edit is not seen")
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	k, end := keep(t, store, config)
	do(t, k, func(p *lease.Pool, _ time.Time) error {
		if r := p.Get("project-1"); r.State != "maintenance" {
			t.Errorf("%+v", r)
		}
		return nil
	})
	if err := end(); err != nil {
		t.Error(err)
	}
}
