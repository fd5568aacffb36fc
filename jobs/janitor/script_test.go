// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package janitor_test

import (
	"maps"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/scripttest"
	"sigs.k8s.io/steward/internal/wire/cli"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steward": func() { os.Exit(serve.Main(cli.Command())) }})
}

// The scripts are the manual of the command.
func TestScripts(t *testing.T) {
	commands := scripttest.CommandLine()
	maps.Copy(commands, scripttest.Cloud())
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Cmds: commands})
}
