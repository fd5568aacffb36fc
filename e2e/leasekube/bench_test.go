// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leaselog"
)

// BenchmarkCycle is a lease taken and given back, by way of a keeper, by one client and by 64. The API server and its etcd
// are in this process and share its processors.
func BenchmarkCycle(b *testing.B) {
	for _, resources := range []int{240, 2400} {
		for _, clients := range []int{1, 64} {
			b.Run(fmt.Sprintf("kubernetes/%d/%d", resources, clients), func(b *testing.B) {
				c := startCluster(b)
				cycles(b, c.pool(b, c.Namespace(b), child.Patience, nil).Store("steward"), resources, clients)
			})
			b.Run(fmt.Sprintf("log/%d/%d", resources, clients), func(b *testing.B) {
				s, err := leaselog.Open(filepath.Join(b.TempDir(), "pool"), leaselog.Options{Say: silent()})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				cycles(b, s, resources, clients)
			})
		}
	}
}

func cycles(b *testing.B, store lease.Store, resources, clients int) {
	var names []string
	for i := range resources {
		names = append(names, fmt.Sprintf("r-%d", i))
	}
	var ids atomic.Int64
	k := lease.NewKeeper(lease.KeeperOptions{Store: store, Pool: lease.Options{
		IDs: func() string { return fmt.Sprint("id-", ids.Add(1)) }, Policy: lease.Policy{Idle: lease.Never},
	}})
	ctx, cancel := context.WithCancel(b.Context())
	ready, over := make(chan struct{}), make(chan error, 1)
	go func() {
		over <- k.Run(ctx, lease.Config{Static: []lease.Group{{Type: "t", State: "free", Names: names}}}, func(error) { close(ready) })
	}()
	select {
	case <-ready:
	case err := <-over:
		b.Fatal(err)
	}
	var next atomic.Int64
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			owner := fmt.Sprint("client-", c)
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				begun := time.Now()
				cycle(b, k, owner)
				took[i-1] = time.Since(begun)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	cancel()
	if err := <-over; err != nil {
		b.Error(err)
	}
}

func cycle(b *testing.B, k *lease.Keeper, owner string) {
	got, err := k.Acquire(b.Context(), lease.Claim{
		Request: owner, Owner: owner, From: "free", To: "busy", Wants: []lease.Want{{Type: "t", Count: 1}},
	}, time.Minute)
	if err != nil {
		b.Error(err)
		return
	}
	var failed error
	err = k.Do(b.Context(), func(p *lease.Pool, now time.Time) {
		failed = p.Release(now, lease.Grip{Resource: got[0].Name, Lease: got[0].Lease.ID}, "free", "")
	})
	if err != nil || failed != nil {
		b.Error(err, failed)
	}
}

// BenchmarkBoskos is the same by way of the real Boskos, which asks Kubernetes at most 100 times a second. What it answers
// with an error is counted, and asked again.
func BenchmarkBoskos(b *testing.B) {
	for _, resources := range []int{240, 2400} {
		b.Run(fmt.Sprintf("%d/64", resources), func(b *testing.B) {
			c := startCluster(b)
			var config strings.Builder
			config.WriteString("resources:\n- type: t\n  state: free\n  names:\n")
			for i := range resources {
				fmt.Fprintf(&config, "  - r-%d\n", i)
			}
			rival(b, startBoskos(b, c, c.Namespace(b), config.String()), 64)
		})
	}
}

func rival(b *testing.B, boskos *server, clients int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	var next, failed atomic.Int64
	post := func(path string, pairs ...string) (int, string) {
		query := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			query.Set(pairs[i], pairs[i+1])
		}
		resp, err := client.Post(boskos.url+path+"?"+query.Encode(), "", nil)
		if err != nil {
			b.Error(err)
			return 0, ""
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			b.Error(err)
		}
		if resp.StatusCode != http.StatusOK {
			failed.Add(1)
		}
		return resp.StatusCode, string(answer)
	}
	b.ResetTimer()
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			owner := fmt.Sprint("client-", c)
			for next.Add(1) <= int64(b.N) {
				var got struct{ Name string }
				for got.Name == "" && !b.Failed() {
					if status, answer := post("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", owner); status == http.StatusOK {
						_ = json.Unmarshal([]byte(answer), &got) // no name: asked again
					}
				}
				for status := 0; status != http.StatusOK && status != http.StatusUnauthorized && !b.Failed(); {
					status, _ = post("/release", "name", got.Name, "dest", "free", "owner", owner)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
	b.ReportMetric(float64(failed.Load())/float64(b.N), "errors/op")
}
