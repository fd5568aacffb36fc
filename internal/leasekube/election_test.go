// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
)

// candidate campaigns over a connection that can be cut. Its terms are told when they begin and end.
type candidate struct {
	election     *Election
	plug         *kubefake.Plug
	begun, ended chan time.Time
	over         chan error
	stop         context.CancelFunc
}

func campaign(t *testing.T, url, name string) *candidate {
	t.Helper()
	c := &candidate{plug: &kubefake.Plug{}, begun: make(chan time.Time, 9), ended: make(chan time.Time, 9), over: make(chan error, 1)}
	c.election = cluster(t, &rest.Config{Host: url, WrapTransport: c.plug.Wrap}).Election(ElectionOptions{
		Name: name, Address: name + ":8080", Duration: time.Second, Renew: 500 * time.Millisecond, Retry: 20 * time.Millisecond,
	})
	var ctx context.Context
	ctx, c.stop = context.WithCancel(t.Context())
	t.Cleanup(c.stop)
	go func() {
		c.over <- c.election.Run(ctx, func(ctx context.Context) error {
			c.begun <- time.Now()
			<-ctx.Done()
			c.ended <- time.Now()
			return nil
		})
	}()
	return c
}

func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	var v T
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("not within 10 seconds: %s", what)
	}
	return v
}

// PS-12: one leads; one that is cut off stops before the next begins; one that stops is followed at once.
func TestElection(t *testing.T) {
	fake, url := serve(t)
	a := campaign(t, url, "a")
	await(t, "a leads", a.begun)
	b := campaign(t, url, "b")
	select {
	case <-b.begun:
		t.Fatal("two lead")
	case <-time.After(1500 * time.Millisecond):
	}
	if l, ok := b.election.Leader(); !ok || l != (Leader{"a", "a:8080"}) {
		t.Errorf("b believes that %v leads: %v", l, ok)
	}
	lease := fake.Get("coordination.k8s.io/v1", namespace, "leases", "steward-pool")
	if lease.Text("spec", "holderIdentity") != "a@a:8080" || lease.Text("spec", "renewTime") == "" {
		t.Errorf("%v", lease)
	}
	a.plug.Kill()
	stopped, began := await(t, "a stops", a.ended), await(t, "b leads", b.begun)
	if !stopped.Before(began) {
		t.Errorf("a stopped %v after b began", stopped.Sub(began))
	}
	c := campaign(t, url, "c")
	b.stop()
	if err := await(t, "b ends", b.over); err != nil {
		t.Error(err)
	}
	left := await(t, "b stopped", b.ended)
	if took := await(t, "c leads", c.begun).Sub(left); took > 700*time.Millisecond {
		t.Errorf("c leads %v after b gave the lead back", took)
	}
	fake.Put("coordination.k8s.io/v1", namespace, "leases", "steward-pool", kubefake.Object{"spec": map[string]any{"holderIdentity": "thief", "leaseDurationSeconds": 1}})
	await(t, "c stops where another leads", c.ended)
}

// A short failure of the server ends no term, and what the leader returns ends the campaign.
func TestElectionGoesOn(t *testing.T) {
	fake, url := serve(t)
	a := campaign(t, url, "a")
	await(t, "a leads", a.begun)
	if err := fake.Inject(fault.Rule{Action: "status", Status: 503, Nth: 1, Times: 6}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.ended:
		t.Error("a short failure ended the term")
	case <-time.After(400 * time.Millisecond):
	}
	a.stop()
	await(t, "a ends", a.over)
	fake.Heal() // what is left of the failure is not for b
	broken := errors.New("broken")
	e := cluster(t, &rest.Config{Host: url}).Election(ElectionOptions{Name: "b", Retry: time.Millisecond})
	if err := e.Run(t.Context(), func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if fake.Get("coordination.k8s.io/v1", namespace, "leases", "steward-pool").Text("spec", "holderIdentity") != "" {
		t.Error("the lead is not given back")
	}
}
