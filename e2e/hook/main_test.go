// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hook tests steward-hook from the outside: the built program against a GitHub of its own process, with
// Prow's real hook in front where that matters.
//
// What is shown here is what only whole programs can show: that a kill loses nothing, that the order of delivery and
// a second process change nothing, that a gate closes when the server stops, and how fast all of it is. The rules that
// tests cite are those of docs/hook.md.
package hook

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
	_ "sigs.k8s.io/steward/internal/wire" // what the programs are made of: go test must not keep a result when it changes
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds the programs of this checkout and puts them in front of PATH.
func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "steward-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	os.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	return m.Run()
}

func build(dir string) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-p", "2", "-o", dir+string(filepath.Separator), "./cmd/steward-hook", "./cmd/ghfake")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
