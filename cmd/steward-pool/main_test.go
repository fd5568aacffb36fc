// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/scripttest"
	"sigs.k8s.io/steward/internal/wire/cli"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"steward-pool": main,
		"steward":      func() { os.Exit(serve.Main(cli.Command())) },
	})
}

func TestScripts(t *testing.T) { scripttest.Run(t, "testdata/script") }
