// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command steward-pool lends resources to tests.
package main

import (
	"os"

	"sigs.k8s.io/steward/internal/wire/pool"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func main() { os.Exit(serve.Main(pool.Command())) }
