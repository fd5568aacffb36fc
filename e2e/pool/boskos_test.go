// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
)

// boskos is a running Boskos.
type boskos struct {
	address
	metrics, health address
	proc            *child.Process
}

// address is where a server of the pool API listens, as host:port.
type address string

func (a address) url() string { return "http://" + string(a) }

// startBoskos runs the real Boskos on a configuration until the test ends. Without a cluster it keeps everything in
// memory, in the fake client of the Kubernetes test library, as its users do who have no cluster.
func startBoskos(t testing.TB, config string, flags ...string) *boskos {
	t.Helper()
	return launchBoskos(t, config, append(flags, "--in_memory")...)
}

// startBoskosOn runs the real Boskos on custom resources, in a namespace of its own.
func startBoskosOn(t testing.TB, c *apiserver.Cluster, config string, flags ...string) *boskos {
	t.Helper()
	return launchBoskos(t, config, append(flags, "--kubeconfig="+c.Kubeconfig, "--namespace="+c.Namespace(t))...)
}

// launchBoskos starts it on free ports and tries others where one was taken in between.
func launchBoskos(t testing.TB, config string, flags ...string) *boskos {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "boskos-resources.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "--config="+file, "--log-level=error")
	var b *boskos
	for range 3 {
		ports := child.FreePorts(t, 4)
		all := flags
		for i, name := range []string{"port", "metrics-port", "health-port", "pprof-port"} {
			all = append(all[:len(all):len(all)], fmt.Sprintf("--%s=%d", name, ports[i]))
		}
		b = &boskos{address: loopback(ports[0]), metrics: loopback(ports[1]), health: loopback(ports[2])}
		b.proc = child.Start(t, filepath.Join(dir, "boskos.log"), func([]byte) bool { return false }, "boskos", all...)
		if b.ready(t) {
			return b
		}
		b.proc.End(t, syscall.SIGKILL)
	}
	t.Fatalf("boskos does not serve:\n%s", b.proc.Tail())
	return nil
}

func loopback(port int) address { return address(child.Loopback(port)) }

// ready waits until it answers, which it does when the configuration is loaded. One that has ended never will.
func (b *boskos) ready(t testing.TB) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(child.Patience)
	for {
		if resp, err := http.Get(b.url()); err == nil {
			resp.Body.Close()
			return true
		}
		select {
		case <-b.proc.Exited:
			return false
		case <-late:
			return false
		case <-tick.C:
		}
	}
}
