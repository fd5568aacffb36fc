// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Command steward runs the jobs and checks, and talks to the servers.
package main

import (
	"os"

	"sigs.k8s.io/steward/internal/demo"
	"sigs.k8s.io/steward/internal/wire/cli"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func main() {
	cmd := cli.Command()
	cmd.AddCommand(demo.Command())
	os.Exit(serve.Main(cmd))
}
