// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package child

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// Within waits for something that goes on elsewhere.
func Within(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(Patience); !done(); {
		select {
		case <-late:
			t.Fatalf("not after %v: %s", Patience, what)
		case <-tick.C:
		}
	}
}

// Loopback is the address of a port.
func Loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// FreePorts returns ports that nothing listened on a moment ago.
func FreePorts(t testing.TB, n int) []int {
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
