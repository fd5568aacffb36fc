// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/git"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/jobs/verify"
	"sigs.k8s.io/steward/plugins"
)

// steward stands for the program: one noun, and exit codes as cmd/steward has them.
func steward() {
	root := &cobra.Command{Use: "steward", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(verify.Command(verify.Deps{
		OpenCommit: git.At,
		Plugins:    func() (*plugin.Set, error) { return plugin.NewSet(plugins.All(plugins.Deps{})) },
	}))
	err := root.Execute()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(job.Code(err))
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steward": steward})
}

// The scripts are the manual of the command. `exits N command…` wants exactly that exit code; `commit` records the
// directory repo in git.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "commit": commit},
		Setup: func(env *testscript.Env) error {
			root, err := os.Getwd()
			env.Setenv("STEWARD", root+"/../..")
			return err
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits code command [args]")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

func commit(ts *testscript.TestScript, _ bool, _ []string) {
	for _, line := range []string{"init -q -b main", "add -A", "-c user.name=t -c user.email=t@example.com commit -q --allow-empty -m change"} {
		cmd := exec.Command("git", append([]string{"-C", ts.MkAbs("repo")}, strings.Fields(line)...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
		out, err := cmd.CombinedOutput()
		ts.Logf("%s", out)
		ts.Check(err)
	}
}
