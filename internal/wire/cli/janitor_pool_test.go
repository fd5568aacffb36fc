// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/wire/pool"
	"sigs.k8s.io/steward/jobs"
)

// TestLender: the janitor takes what is dirty in turn, and learns that a lease is somebody else's.
func TestLender(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "resources.yaml")
	err := os.WriteFile(config, []byte("resources:\n- {type: a, state: dirty, names: [a1, a2]}\n- {type: b, state: dirty, names: [b1]}\n"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	started, done := make(chan pool.Addresses, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		done <- pool.Run(ctx, pool.Options{
			Config: config, DataDir: dir, BindAddress: "127.0.0.1", Reload: time.Minute, Log: logrus.NewEntry(log),
			Started: func(a pool.Addresses) { started <- a },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	p, err := openPool(ctx, "http://"+(<-started).Pool)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var held []jobs.Lease
	for range 3 {
		l, err := p.Acquire(ctx, []string{"a", "b", "none"})
		if err != nil {
			t.Fatal(err)
		}
		names, held = append(names, l.Name), append(held, l)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"a1", "a2", "b1"}) {
		t.Errorf("took %v", names)
	}
	if _, err := p.Acquire(ctx, []string{"a", "b"}); !errors.Is(err, jobs.ErrNothing) {
		t.Errorf("with nothing dirty: %v", err)
	}
	if err := p.Renew(ctx, held[0]); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := p.Release(ctx, held[0], "dirty", "a router stays"); err != nil {
			t.Errorf("release, which may be repeated: %v", err)
		}
	}
	if err := p.Renew(ctx, held[0]); !errors.Is(err, jobs.ErrLost) {
		t.Errorf("renew what was given back: %v", err)
	}
	if _, err := openPool(ctx, "steward-pool"); err == nil {
		t.Error("a name is no address")
	}
}
