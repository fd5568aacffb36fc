// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command steward-hook is the plugin server.
package main

import (
	"os"

	"sigs.k8s.io/steward/internal/wire"
)

func main() { os.Exit(wire.Main(wire.HookCommand())) }
