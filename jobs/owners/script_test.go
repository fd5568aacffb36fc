// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners_test

import (
	"fmt"
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

// The scripts are the manual of the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: scripttest.CommandLine(),
		Condition: func(name string) (bool, error) {
			if name != "k8s.io" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			_, err := os.Stat(realTree())
			return err == nil, nil
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("K8S_IO", realTree())
			return nil
		},
	})
}

func realTree() string {
	path, _ := filepath.Abs("../../../shared/data/k8s.io")
	return path
}
