// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"sigs.k8s.io/steward/e2e/crowd"
)

// enough leases for a fault to come in between.
const diskResources = 2000

// held is a lease that was acknowledged.
type held struct{ name, owner string }

// take acquires leases, each by another owner, until one is not acknowledged, and returns those that were. with is called
// before each.
func take(t *testing.T, s *steward, with func(n int)) []held {
	t.Helper()
	var all []held
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := range diskResources {
		with(n)
		owner := fmt.Sprint("owner-", n)
		got, err := s.ask(client, call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", owner))
		if err != nil || got.status >= http.StatusInternalServerError {
			t.Logf("after %d leases: %s %v", n, got, err)
			return all
		}
		var r struct{ Name string }
		if err := json.Unmarshal([]byte(got.body), &r); err != nil || got.status != http.StatusOK {
			t.Fatalf("lease %d: %s", n, got)
		}
		all = append(all, held{r.Name, owner})
	}
	t.Fatal("nothing failed: the test shows nothing")
	return nil
}

// refused asks a server that could not store something for more: it must not acknowledge what may be on top of it.
func refused(t *testing.T, s *steward) {
	t.Helper()
	for range 20 {
		got, err := s.ask(http.DefaultClient, call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "late"))
		if err == nil && got.status == http.StatusOK {
			t.Fatalf("acknowledged after a failure: %s", got)
		}
	}
}

// kept looks for leases after a restart.
func kept(t *testing.T, s *steward, all []held) {
	t.Helper()
	for _, h := range all {
		if got := s.must(t, call("/update", "name", h.name, "owner", h.owner, "state", "busy")); got.status != http.StatusOK {
			t.Errorf("%s of %s is lost: %s", h.name, h.owner, got)
		}
	}
	got := s.must(t, call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "later"))
	if got.status != http.StatusOK {
		t.Errorf("after the fault: %s", got)
	}
}

// One fsync fails, as a disk reports once what it could not write. Nothing is acknowledged after it, although every later
// one succeeds, and all that was before it is there after a restart.
func TestFailedSync(t *testing.T) {
	for _, when := range []int{8, 100} {
		t.Run(fmt.Sprint("number ", when), func(t *testing.T) {
			s := newSteward(t, crowd.Config(diskResources))
			// Without strace as its parent, a signal reaches the program itself.
			s.wrap = []string{
				"strace", "-D", "-f", "-qq", "-o", filepath.Join(s.dir, "strace.log"), "-e", "trace=fsync,fdatasync",
				"-e", fmt.Sprintf("inject=fsync,fdatasync:error=EIO:when=%d", when),
			}
			s.start()
			all := take(t, s, func(int) {})
			refused(t, s)
			s.kill()
			s.wrap = nil
			s.start()
			kept(t, s, all)
		})
	}
}

// The disk is full for a while.
func TestFullDisk(t *testing.T) {
	s := newSteward(t, crowd.Config(diskResources))
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	mountSmall(t, data, "4m")
	s.start()
	ballast := filepath.Join(data, "ballast")
	all := take(t, s, func(n int) {
		if n == 50 {
			fill(t, ballast)
		}
	})
	refused(t, s)
	s.kill()
	if s.launch() {
		refused(t, s) // it may start, but has no room for a lease
		s.kill()
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	s.start()
	kept(t, s, all)
}

// fill writes a file until nothing more fits.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
