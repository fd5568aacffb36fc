// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package scripttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// CommandLine is what scripts about jobs need: `exits N COMMAND…` wants exactly
// that exit code, and `commit` records the directory repo in git.
func CommandLine() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "commit": commit}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG...]")
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
