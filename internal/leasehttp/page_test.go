// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
)

// broken is a history that cannot be read.
type broken struct{}

func (broken) Each(lease.Query, func(*lease.Ended) bool) error { return errors.New("the disk is gone") }

// showPages serves the pages of a small pool, of which p2 is held and p3 has left.
func showPages(t *testing.T, history History) (string, *lease.Keeper) {
	t.Helper()
	ids := 0
	keeper := lease.NewKeeper(lease.KeeperOptions{Store: memory{}, Pool: lease.Options{
		IDs: func() string { ids++; return "secret-lease-id" }, Names: func() string { return "none" },
	}})
	ctx, stop := context.WithCancel(context.Background())
	done, ready := make(chan error), make(chan struct{})
	go func() {
		done <- keeper.Run(ctx, lease.Config{Static: []lease.Group{
			{Type: "project", State: lease.Free, Names: []string{"p1", "p2"}, Lines: []int{1, 2}},
			{Type: "a/b", State: lease.Free, Names: []string{"p4"}, Lines: []int{3}},
		}}, func(error) { close(ready) })
	}()
	<-ready
	log := logrus.New()
	log.SetOutput(io.Discard)
	server := httptest.NewServer((&Pages{Pool: keeper, History: history, Log: logrus.NewEntry(log)}).Handler())
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server.URL, keeper
}

func page(t *testing.T, address string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// PG-1 to PG-5, from outside: which page there is, with which code, and what no page shows.
func TestPages(t *testing.T) {
	old := &past{}
	old.append([]*lease.Ended{
		{Lease: "secret-lease-id", Resource: "p3", Type: "project", Owner: "gone", Since: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(-time.Hour)},
	})
	address, keeper := showPages(t, old)
	_, err := keeper.Acquire(t.Context(), lease.Claim{
		Owner: "job-7", Wants: []lease.Want{{Type: "project", Count: 1}}, From: lease.Free, To: lease.Busy, Holder: lease.Holder{Pod: "secret-pod"},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = keeper.Do(t.Context(), func(p *lease.Pool, now time.Time) {
		if err := p.Update(now, lease.Grip{Resource: "p1", Owner: "job-7"}, lease.Busy, map[string]string{"key": "secret-data"}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, text string
		code       int
	}{
		{"/pool", "job-7", 200},
		{"/pool/", "job-7", 200},
		{"/pool/types/project", "job-7", 200},
		{"/pool/types/a%2Fb", "p4", 200},
		{"/pool/types/projct", "/pool/types/project", 404},
		{"/pool/types/", "There is no such page", 404},
		{"/pool/resources/p1", "job-7", 200},
		{"/pool/resources/p3", "The pool does not have it any more", 200},
		{"/pool/resources/p9", "/pool/resources/p1", 404},
		{"/pool/resources/%3Cscript%3E", "&lt;script&gt;", 404},
		{"/pool/elsewhere", "There is no such page", 404},
	} {
		resp, body := page(t, address+c.path)
		if resp.StatusCode != c.code || !strings.Contains(body, c.text) {
			t.Errorf("%s: %d, without %q", c.path, resp.StatusCode, c.text)
		}
		if strings.Contains(body, "secret-") || strings.Contains(body, "<script") {
			t.Errorf("%s shows what it must not", c.path)
		}
		h := resp.Header
		if h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", c.path, h)
		}
	}
}

// A page is whole or not there, and says to strangers nothing of why.
func TestPageFails(t *testing.T) {
	address, _ := showPages(t, broken{})
	for _, path := range []string{"/pool", "/pool/types/project", "/pool/resources/p1", "/pool/resources/p9"} {
		resp, body := page(t, address+path)
		if resp.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "disk") || strings.Contains(body, "<html") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// PG-7: what took long to read is read again after twenty times as long.
func TestCached(t *testing.T) {
	var c cached[int]
	reads := 0
	slow := func() (int, error) {
		reads++
		for begun := time.Now(); time.Since(begun) < 20*time.Millisecond; {
			continue
		}
		return reads, nil
	}
	for range 10 {
		if n, err := c.get(slow); n != 1 || err != nil {
			t.Fatalf("%d after %d reads: %v", n, reads, err)
		}
	}
	c.until = time.Now()
	if n, _ := c.get(slow); n != 2 {
		t.Errorf("it is never read again: %d", n)
	}
	c.until = time.Now()
	if _, err := c.get(func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("an error is passed over")
	}
	if n, _ := c.get(slow); n != 3 {
		t.Errorf("an error is kept: %d", n)
	}
}
