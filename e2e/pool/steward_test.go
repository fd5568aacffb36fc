// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/apiserver"
	"sigs.k8s.io/steward/e2e/child"
)

// steward is a steward-pool with a data directory that outlives its processes.
type steward struct {
	t     testing.TB
	dir   string
	flags []string
	wrap  []string // a program that runs the pool, with its arguments
	proc  *child.Process

	address         // of the present process
	metrics, health address
}

// startSteward runs a steward-pool on a configuration until the test ends.
func startSteward(t testing.TB, config string, flags ...string) *steward {
	t.Helper()
	s := newSteward(t, config, flags...)
	s.start()
	return s
}

// stewardCRDs is the file with the definitions of the objects that steward-pool has beside Boskos's.
const stewardCRDs = "../../config/kubernetes/pool/crds.yaml"

// startStewardOn keeps the pool in a namespace of its own.
func startStewardOn(t testing.TB, c *apiserver.Cluster, config string, flags ...string) *steward {
	t.Helper()
	return startSteward(t, config, append(flags, "--store=kubernetes", "--kubeconfig="+c.Kubeconfig, "--namespace="+c.Namespace(t), "--name=pool-0", "--advertise=127.0.0.1:1")...)
}

// compat makes it answer as Boskos does where it would else be better.
const compat = "--compat"

// newSteward is one that has yet to start.
func newSteward(t testing.TB, config string, flags ...string) *steward {
	t.Helper()
	s := &steward{t: t, dir: t.TempDir()}
	s.configure(config)
	s.flags = append([]string{
		"--config=boskos-resources.yaml", "--data-dir=data", "--bind-address=127.0.0.1",
		"--port=0", "--health-port=0", "--metrics-port=0", "--pprof-port=0",
	}, flags...)
	return s
}

func (s *steward) configure(config string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "boskos-resources.yaml"), []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the program on the same data as before and returns when it serves, on other ports.
func (s *steward) start() {
	s.t.Helper()
	if !s.launch() {
		s.t.Fatalf("steward-pool ended: %v\n%s", s.proc.Failed, s.proc.Tail())
	}
}

// launch is start for a program that may end instead; it says whether it serves.
func (s *steward) launch() bool {
	s.t.Helper()
	serving := make(chan map[string]any, 1)
	command := slices.Concat(s.wrap, []string{"steward-pool"}, s.flags)
	s.proc = child.Start(s.t, filepath.Join(s.dir, "steward-pool.log"), func(line []byte) bool {
		var entry map[string]any
		if json.Unmarshal(line, &entry) != nil || entry["msg"] != "Serving" {
			return true
		}
		serving <- entry
		return false
	}, command[0], command[1:]...)
	select {
	case entry := <-serving:
		text := func(key string) address { return address(fmt.Sprint(entry[key])) }
		s.address, s.metrics, s.health = text("address"), text("metrics"), text("health")
		return true
	case <-s.proc.Exited:
		return false
	case <-time.After(child.Patience):
		s.t.Fatalf("steward-pool does not serve:\n%s", s.proc.Tail())
	}
	return false
}

func (s *steward) kill() {
	s.t.Helper()
	s.proc.End(s.t, syscall.SIGKILL)
}

// stop is what a roll-out does.
func (s *steward) stop() {
	s.t.Helper()
	s.proc.End(s.t, syscall.SIGTERM)
	if s.proc.Failed != nil {
		s.t.Errorf("after SIGTERM: %v\n%s", s.proc.Failed, s.proc.Tail())
	}
}
