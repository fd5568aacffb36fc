// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/scripttest"
	"sigs.k8s.io/steward/internal/wire/cli"
	"sigs.k8s.io/steward/internal/wire/serve"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steward": func() { os.Exit(serve.Main(cli.Command())) }})
}

// The scripts are the manual of the command; $STEWARD is this repository.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: scripttest.CommandLine(),
		Setup: func(env *testscript.Env) error {
			root, err := filepath.Abs("../..")
			env.Setenv("STEWARD", root)
			return err
		},
	})
}
