// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
	"sigs.k8s.io/steward/internal/leaselog"
)

// BenchmarkCycle is acquire and release over HTTP by 64 clients, stored on disk before each answer, in pools of two sizes.
func BenchmarkCycle(b *testing.B) {
	for _, size := range []int{240, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			address := servePool(b, size)
			var mu sync.Mutex
			var took []time.Duration
			var group sync.WaitGroup
			b.ResetTimer()
			for c := range 64 {
				group.Go(func() {
					mine := cycles(b, address, c, b.N/64+1)
					mu.Lock()
					defer mu.Unlock()
					took = append(took, mine...)
				})
			}
			group.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "cycles/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// servePool serves a pool of free resources from a directory on disk.
func servePool(tb testing.TB, size int) string {
	tb.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	store, err := leaselog.Open(filepath.Join(tb.TempDir(), "pool"), leaselog.Options{Say: logrus.NewEntry(log)})
	if err != nil {
		tb.Fatal(err)
	}
	ids := 0
	keeper := lease.NewKeeper(lease.KeeperOptions{Store: store, Pool: lease.Options{
		IDs: func() string { ids++; return fmt.Sprint("lease-", ids) }, Names: func() string { return "none" },
	}})
	group := lease.Group{Type: "project", State: lease.Free}
	for i := range size {
		group.Names = append(group.Names, fmt.Sprintf("project-%06d", i))
	}
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error), make(chan struct{})
	go func() {
		done <- keeper.Run(ctx, lease.Config{Static: []lease.Group{group}}, func(error) { close(ready) })
	}()
	<-ready
	boskos := &leasehttp.Boskos{Pool: keeper}
	server := httptest.NewServer(boskos.Handler())
	tb.Cleanup(func() {
		server.Close()
		stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return strings.TrimPrefix(server.URL, "http://")
}

// cycles takes and gives back over one connection, and returns how long each acquire took.
func cycles(tb testing.TB, address string, client, n int) []time.Duration {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Error(err)
		return nil
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func(path string) (int, []byte) {
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: pool\r\nContent-Length: 0\r\n\r\n", path); err != nil {
			tb.Error(err)
			return 0, nil
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			tb.Error(err)
			return 0, nil
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, body
	}
	took := make([]time.Duration, 0, n)
	for range n {
		begun := time.Now()
		code, body := ask(fmt.Sprintf("/acquire?type=project&state=free&dest=busy&owner=c%d", client))
		took = append(took, time.Since(begun))
		var r struct{ Name string }
		if err := json.Unmarshal(body, &r); code != http.StatusOK || err != nil {
			tb.Errorf("acquire: %d %s", code, body)
			return took
		}
		if code, body := ask(fmt.Sprintf("/release?name=%s&dest=free&owner=c%d", r.Name, client)); code != http.StatusOK {
			tb.Errorf("release: %d %s", code, body)
			return took
		}
	}
	return took
}
