// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
)

// startPool runs a steward-pool on the objects of a namespace, with the rights that config/kubernetes/pool gives.
func startPool(t *testing.T, c *cluster, namespace, name string, flags ...string) *server {
	t.Helper()
	return startPoolAt(t, c, namespace, name, child.Loopback(child.FreePorts(t, 1)[0]), config, flags...)
}

// startPoolAt is startPool with an address, at which it may start again, and a configuration.
func startPoolAt(t *testing.T, c *cluster, namespace, name, address, config string, flags ...string) *server {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "boskos-resources.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	c.WriteKubeconfig(t, kubeconfig, namespace, c.account(t, namespace, "steward-pool"))
	_, port, _ := strings.Cut(address, ":")
	return launch(t, dir, "http://"+address, "steward-pool", append(flags, "--store=kubernetes", "--kubeconfig="+kubeconfig, "--namespace="+namespace,
		"--name="+name, "--advertise="+address, "--bind-address=127.0.0.1", "--port="+port,
		"--health-port=0", "--metrics-port=0", "--pprof-port=0", "--log-level=warning")...)
}

// Two processes serve one pool: each answers, and when the one that leads is killed the other one leads within 15 seconds.
// What was lent stays lent.
func TestReplicas(t *testing.T) {
	c := startCluster(t)
	namespace := c.Namespace(t)
	leader := startPool(t, c, namespace, "pool-0")
	name := leader.acquire("project", "job-a")
	follower := startPool(t, c, namespace, "pool-1")
	child.Within(t, "the follower passes on", func() bool {
		status, _ := follower.ask(http.MethodGet, "/metric", "", "type", "project")
		return status == http.StatusOK
	})
	other := follower.acquire("project", "job-b")
	if name == other {
		t.Fatalf("both processes lend %s", name)
	}
	if got, want := follower.metric("project"), leader.metric("project"); got != want {
		t.Errorf("the follower says %s, the leader %s", got, want)
	}
	leader.stop()
	begun := time.Now()
	child.Within(t, "the follower leads", func() bool {
		status, _ := follower.ask(http.MethodPost, "/update", "", "name", name, "owner", "job-a", "state", "busy")
		return status == http.StatusOK
	})
	took := time.Since(begun)
	t.Logf("the follower leads %v after the leader was killed", took)
	if took > 15*time.Second {
		t.Errorf("the follower leads after %v, want 15 s at most", took)
	}
	if got, want := follower.metric("project"), `{"type":"project","current":{"busy":2,"free":2},"owner":{"":2,"job-a":1,"job-b":1}}`; got != want {
		t.Errorf("after it: %s, want %s", got, want)
	}
	follower.must(http.MethodPost, "/release", "", "name", other, "owner", "job-b", "dest", "dirty")
}
