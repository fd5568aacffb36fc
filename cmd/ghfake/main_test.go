// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const asProgram = "GHFAKE_TEST_MAIN"

// TestMain lets the test binary be the program.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func scenario(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "world.txtar")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0], "--scenario", scenario(t, "-- repo/acme/infra/README.md --\nhello\n"))
	cmd.Env = append(os.Environ(), asProgram+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(strings.TrimSpace(url) + "/repos/acme/infra")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status: %s", resp.Status)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--scenario", "/no/such/file"}, "no such file"},
		{[]string{"--scenario", scenario(t, "-- github.yaml --\nuser: {}\n")}, "field user not found"},
		{[]string{"--scenario", scenario(t, "-- issue/a/b/1/issue.yaml --\ntitle: x\n")}, "a/b#1: no such repository"},
		{[]string{"--addr", "nowhere:x"}, "unknown port"},
		{[]string{"--nonsense"}, "not defined"},
	} {
		var out bytes.Buffer
		err := run(context.Background(), test.args, &out)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.args, err, test.want)
		}
	}
}
