// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command steward-hook is the plugin server.
package main

import (
	"os"
	"runtime"

	"sigs.k8s.io/steward/internal/wire"
	"sigs.k8s.io/steward/internal/wire/serve"
)

// heapFloor is memory that is never touched, so it takes none. The garbage collector counts it, and lets some 130 MB
// gather before it runs. A heap of 10 MB would be collected three times a second under load, and while that lasts, 20 ms
// on two busy cores, deliveries wait: without the floor the 99th percentile of BenchmarkReceivePaced doubles. A higher
// GOGC would let a large heap grow without need as well.
const heapFloor = 64 << 20

func main() {
	floor := make([]byte, heapFloor)
	code := serve.Main(wire.HookCommand())
	runtime.KeepAlive(floor)
	os.Exit(code)
}
