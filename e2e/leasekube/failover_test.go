// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasekube"
)

func encode(t testing.TB, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// cable is a connection that can be cut: what goes into it then hangs, until it is mended or given up.
type cable struct {
	next http.RoundTripper

	mu     sync.Mutex
	mended chan struct{} // nil while it is whole
}

func (c *cable) wrap(next http.RoundTripper) http.RoundTripper {
	c.next = next
	return c
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mended = make(chan struct{})
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.mended)
	c.mended = nil
}

func (c *cable) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	mended := c.mended
	c.mu.Unlock()
	if mended != nil {
		select {
		case <-mended:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return c.next.RoundTrip(r)
}

// replica is one process: it campaigns, and while it leads it keeps the pool.
type replica struct {
	name     string
	cable    *cable
	election *leasekube.Election
	store    *leasekube.Store
	leads    chan *lease.Keeper // one for each term
	ended    chan error         // one for each term
}

func startReplica(t *testing.T, c *cluster, namespace, name string) *replica {
	t.Helper()
	r := &replica{name: name, cable: &cable{}, leads: make(chan *lease.Keeper, 10), ended: make(chan error, 10)}
	pool := c.pool(t, namespace, 5*time.Second, r.cable.wrap)
	r.election = pool.Election(leasekube.ElectionOptions{Name: name, Address: name + ".example:8080"})
	r.store = pool.Store(name)
	parsed, err := lease.ParseConfig("config", []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	running.Go(func() {
		err := r.election.Run(ctx, func(ctx context.Context) error {
			ids := 0
			next := func() string {
				ids++
				return fmt.Sprintf("%s-%d-%d", name, time.Now().UnixNano(), ids)
			}
			k := lease.NewKeeper(lease.KeeperOptions{Store: r.store, QueueEvery: 50 * time.Millisecond, Pool: lease.Options{IDs: next, Names: next}})
			r.ended <- k.Run(ctx, parsed, func(error) { r.leads <- k })
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	return r
}

func leading(t *testing.T, r *replica) *lease.Keeper {
	t.Helper()
	select {
	case k := <-r.leads:
		return k
	case <-time.After(child.Patience):
		t.Fatalf("%s does not lead", r.name)
	}
	return nil
}

// entries counts what the pages of a kind hold.
func (c *cluster) entries(t *testing.T, namespace, holds string) int {
	t.Helper()
	client, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	pages := client.Resource(schema.GroupVersionResource{Group: "steward.k8s.io", Version: "v1", Resource: "poolpages"}).Namespace(namespace)
	list, err := pages.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, page := range list.Items {
		spec, _ := page.Object["spec"].(map[string]any)
		if entries, ok := spec["entries"].([]any); ok && spec["holds"] == holds {
			count += len(entries)
		}
	}
	return count
}

// Of two replicas the leader is cut off. The other serves within 15 seconds, with every lease that was granted and the queue
// as it was; what the first one tries to write when it is back is refused.
func TestFailover(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)
	first := startReplica(t, c, namespace, "pool-0")
	k := leading(t, first)
	second := startReplica(t, c, namespace, "pool-1")
	child.Within(t, "the follower knows who leads", func() bool {
		l, ok := second.election.Leader()
		return ok && l == leasekube.Leader{Name: "pool-0", Address: "pool-0.example:8080"}
	})

	held, err := k.Acquire(t.Context(), claim("holder", "", 4), 0)
	if err != nil {
		t.Fatal(err)
	}
	var queue []string
	for i := range 6 {
		request := fmt.Sprintf("request-%d", (i*5)%6)
		queue = append(queue, request)
		if _, err := k.Acquire(t.Context(), claim("waiter", request, 1), 0); err == nil {
			t.Fatal("there is a fifth of four")
		}
	}
	child.Within(t, "the queue is written", func() bool { return c.entries(t, namespace, "waiters") == len(queue) })

	// A commit is under way when the connection breaks: its fate is open, but it is not answered.
	first.cable.cut()
	cut := time.Now()
	answered := make(chan error, 1)
	go func() {
		answered <- k.Do(context.WithoutCancel(t.Context()), func(p *lease.Pool, now time.Time) {
			_ = p.Release(now, lease.Grip{Resource: held[0].Name, Lease: held[0].Lease.ID}, "free", "")
		})
	}()
	k = leading(t, second)
	took := time.Since(cut)
	t.Logf("the second serves %v after the first was cut off", took)
	if took > 15*time.Second {
		t.Errorf("the second serves after %v, want 15 s at most", took)
	}
	if err := <-answered; err == nil {
		t.Error("who was cut off has promised something")
	}
	do(t, k, func(p *lease.Pool, now time.Time) error {
		for _, r := range held {
			if got := p.Get(r.Name); got.Lease == nil || got.Lease.ID != r.Lease.ID {
				t.Errorf("a lease is lost: %+v", got)
			}
		}
		var order []string
		for _, place := range p.Queue(now, "project", "free") {
			order = append(order, place.Waiter.Request)
		}
		if !slices.Equal(order, queue) {
			t.Errorf("the queue is %v, was %v", order, queue)
		}
		return nil
	})

	first.cable.mend()
	select {
	case err := <-first.ended:
		t.Logf("the first ended with: %v", err)
	case <-time.After(child.Patience):
		t.Fatal("who was cut off believes to lead")
	}
	late := lease.Record{Kind: lease.KindResource, Key: "project-1", Resource: &lease.Resource{Name: "project-1", Type: "project", State: "stolen"}}
	if err := first.store.Commit(t.Context(), 1, []lease.Record{late}); err == nil || errors.Is(err, lease.ErrRefused) {
		t.Errorf("a write of the deposed leader: %v", err)
	}
	do(t, k, func(p *lease.Pool, now time.Time) error {
		return p.Release(now, lease.Grip{Resource: held[0].Name, Lease: held[0].Lease.ID}, "free", "")
	})
	select {
	case err := <-second.ended:
		t.Errorf("the second was disturbed: %v", err)
	default:
	}
}

func claim(owner, request string, count int) lease.Claim {
	return lease.Claim{Request: request, Owner: owner, From: "free", To: "busy", Wants: []lease.Want{{Type: "project", Count: count}}}
}

// A process that stops gives the lead back, so that the next need not wait for it to be forgotten.
func TestHandOver(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)
	pool := c.pool(t, namespace, time.Second, nil)
	lead := func(ctx context.Context, name string) (elected chan struct{}, over chan error) {
		elected, over = make(chan struct{}), make(chan error, 1)
		go func() {
			over <- pool.Election(leasekube.ElectionOptions{Name: name}).Run(ctx, func(ctx context.Context) error {
				close(elected)
				<-ctx.Done()
				return nil
			})
		}()
		return elected, over
	}
	ctx, stop := context.WithCancel(t.Context())
	elected, over := lead(ctx, "a")
	<-elected
	next, done := context.WithCancel(t.Context())
	elected, last := lead(next, "b")
	select {
	case <-elected:
		t.Fatal("two lead")
	case <-time.After(3 * time.Second):
	}
	stop()
	begun := time.Now()
	<-elected
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("handed over in %v", took)
	}
	done()
	if err := errors.Join(<-over, <-last); err != nil {
		t.Error(err)
	}
}
