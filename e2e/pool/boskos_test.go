// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// boskos is a running Boskos.
type boskos struct {
	address
	metrics, health address
	proc            *process
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
func startBoskosOn(t testing.TB, c *cluster, config string, flags ...string) *boskos {
	t.Helper()
	return launchBoskos(t, config, append(flags, "--kubeconfig="+c.kubeconfig, "--namespace="+c.namespace())...)
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
		ports := freePorts(t, 4)
		all := flags
		for i, name := range []string{"port", "metrics-port", "health-port", "pprof-port"} {
			all = append(all[:len(all):len(all)], fmt.Sprintf("--%s=%d", name, ports[i]))
		}
		b = &boskos{address: loopback(ports[0]), metrics: loopback(ports[1]), health: loopback(ports[2])}
		b.proc = start(t, filepath.Join(dir, "boskos.log"), func([]byte) bool { return false }, "boskos", all...)
		if b.ready(t) {
			return b
		}
		b.proc.end(t, syscall.SIGKILL)
	}
	t.Fatalf("boskos does not serve:\n%s", b.proc.tail())
	return nil
}

func loopback(port int) address { return address(fmt.Sprintf("127.0.0.1:%d", port)) }

// freePorts returns ports that nothing listened on a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// ready waits until it answers, which it does when the configuration is loaded. One that has ended never will.
func (b *boskos) ready(t testing.TB) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if resp, err := http.Get(b.url()); err == nil {
			resp.Body.Close()
			return true
		}
		select {
		case <-b.proc.exited:
			return false
		case <-late:
			return false
		case <-tick.C:
		}
	}
}
