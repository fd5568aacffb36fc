// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// program is something a test runs that comes from the distribution and not from tools/.
type program struct{ name, debian string }

func programs() []program {
	return []program{
		{"git", "git"}, // clones, and the http-backend of the GitHub fake
		{"gcc", "gcc"}, // the race detector links with it
		{"chromium", "chromium"},
		{"curl", "curl"},     // a client of the pool
		{"strace", "strace"}, // makes an fsync fail
		{"skopeo", "skopeo"}, // copies images beside promote
		{"rclone", "rclone"}, // and files
	}
}

// installPackages installs what is missing where it may, and says what to install where it may not.
func installPackages(ctx context.Context, _ string) (bool, error) {
	var missing []string
	for _, p := range programs() {
		if _, err := exec.LookPath(p.name); err != nil {
			missing = append(missing, p.debian)
		}
	}
	if len(missing) == 0 {
		return true, nil
	}
	if os.Geteuid() != 0 {
		return false, fmt.Errorf("install packages: not root: run apt-get install %s", strings.Join(missing, " "))
	}
	if err := show(ctx, "/", "apt-get", "update", "-q"); err != nil {
		return false, err
	}
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, missing...)
	return false, show(ctx, "/", "apt-get", args...)
}

func buildTools(name string) func(context.Context, string) (bool, error) {
	return func(ctx context.Context, root string) (bool, error) {
		_, cached, err := toolbin.Build(ctx, root, name)
		return cached, err
	}
}

// checkTidy fails where "go mod tidy" would change a module.
func checkTidy(ctx context.Context, root string) (bool, error) {
	modules, err := modules(root)
	if err != nil {
		return false, err
	}
	var failed []error
	for _, dir := range modules {
		if err := show(ctx, dir, "go", "mod", "tidy", "-diff"); err != nil {
			failed = append(failed, fmt.Errorf("tidy %s: %w", dir, err))
		}
	}
	return false, errors.Join(failed...)
}

// modules lists the folders of the repository that hold a go.mod.
func modules(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (d.Name()[0] == '.' || d.Name() == "testdata"):
			return fs.SkipDir
		case d.Name() == "go.mod":
			dirs = append(dirs, filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list modules: %w", err)
	}
	return dirs, nil
}

// check is one linter: what it runs in which folder, and whether lines on its output are faults even where it
// exits with 0.
type check struct {
	dir    string
	silent bool
	args   []string
}

func checks(bin string, files []string) []check {
	tool := func(name string) string { return filepath.Join(bin, name) }
	all := []check{
		{".", true, []string{"gofmt", "-l", "."}},
		{".", false, append([]string{tool("misspell"), "-error"}, files...)},
	}
	for _, module := range []string{".", "e2e"} {
		all = append(all,
			check{module, false, []string{"go", "vet", "./..."}},
			check{module, false, []string{tool("staticcheck"), "./..."}},
			check{module, false, []string{tool("go-errorlint"), "./..."}},
		)
	}
	return all
}

// lint runs every linter and fails after the last.
func lint(ctx context.Context, root string) (bool, error) {
	bin, _, err := toolbin.Build(ctx, root, "lint")
	if err != nil {
		return false, err
	}
	files, err := texts(ctx, root)
	if err != nil {
		return false, err
	}
	var failed []error
	for _, c := range checks(bin, files) {
		if err := runCheck(ctx, root, c); err != nil {
			failed = append(failed, err)
		}
	}
	return false, errors.Join(failed...)
}

func runCheck(ctx context.Context, root string, c check) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = filepath.Join(root, c.dir)
	out, err := cmd.CombinedOutput()
	os.Stdout.Write(out)
	if err == nil && c.silent && len(out) > 0 {
		err = errors.New("see above")
	}
	if err != nil {
		return fmt.Errorf("%s in %s: %w", filepath.Base(c.args[0]), c.dir, err)
	}
	return nil
}

// texts lists the files that people wrote: all of the checkout without checksums.
func texts(ctx context.Context, root string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(filepath.Join(root, name)); err == nil && filepath.Base(name) != "go.sum" {
			files = append(files, name)
		}
	}
	return files, nil
}

// playDemo fails where an answer of the demo is not as its script expects.
func playDemo(ctx context.Context, root string) (bool, error) {
	return false, show(ctx, root, "go", "run", "./cmd/steward", "demo", "--once")
}

// testModule runs the tests of the e2e module. The race detector stays off: it would compile the thousand
// packages of Prow a second time, about five minutes cold on two cores, to watch code that is not ours; our own
// has been through "go test -race" in make test. No result is taken from the test cache, which knows nothing of
// the programs that the tests start.
func testModule(ctx context.Context, root string) (bool, error) {
	return false, show(ctx, filepath.Join(root, "e2e"), "go", "test", "-p", "2", "-count=1", "-timeout=20m", "./...")
}

// show runs a command with its output on ours.
func show(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}
