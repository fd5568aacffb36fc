// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

// start serves a pool of one project, and returns where.
func start(t *testing.T, change func(*Options)) Addresses {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "resources.yaml")
	if err := os.WriteFile(file, []byte("resources:\n- type: project\n  names: [p1]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	opts := Options{Config: file, DataDir: dir, BindAddress: "127.0.0.1", Reload: reloadEvery, Log: logrus.NewEntry(log)}
	started := make(chan Addresses, 1)
	opts.Started = func(a Addresses) { started <- a }
	if change != nil {
		change(&opts)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, opts) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-started:
		return a
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return Addresses{}
	}
}

func get(t *testing.T, address string) string {
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
	return string(body)
}

// An alert on a metric that does not exist never fires.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	at := start(t, nil)
	resp, err := http.Post("http://"+at.Pool+"/acquire?type=project&state=dirty&dest=busy&owner=x&request_id=1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	metrics := get(t, "http://"+at.Metrics+"/metrics")
	alerts, err := os.ReadFile("../../../config/prow/alerts-pool.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(steward_pool|boskos)_[a-z_]+`).FindAllString(string(alerts), -1)
	if len(names) < 6 {
		t.Fatalf("only %d metrics in the alerts", len(names))
	}
	for _, name := range names {
		if name == "steward_pool_pods_age_seconds" {
			continue // where pods are followed: pods_test.go
		}
		if !strings.Contains(metrics, "\n"+name+"{") {
			t.Errorf("alerts-pool.yaml names %s, which is not exported", name)
		}
	}
}
