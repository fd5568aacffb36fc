// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package toolbin builds the foreign programs that tests and checks run.
//
// Each folder of tools/ is a module that pins the programs as tool directives. They are built once for one
// content of the folder and one Go release into .cache/tools, which git ignores.
package toolbin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Root returns the repository's root: the nearest folder above the working directory whose go.mod is Steward's.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module sigs.k8s.io/steward\n")) {
			return dir, nil
		}
	}
	return "", errors.New("find the repository: no go.mod of sigs.k8s.io/steward above the working directory")
}

// Build returns the folder that holds the programs of tools/name and whether they were there already. Callers
// of one name in several processes may race: the first to finish wins and the others use its result.
func Build(ctx context.Context, root, name string) (dir string, cached bool, err error) {
	module := filepath.Join(root, "tools", name)
	key, err := keyOf(module)
	if err != nil {
		return "", false, fmt.Errorf("build tools/%s: %w", name, err)
	}
	dir = filepath.Join(root, ".cache", "tools", name+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, true, nil
	}
	if err := build(ctx, module, dir); err != nil {
		return "", false, fmt.Errorf("build tools/%s: %w", name, err)
	}
	return dir, false, nil
}

// keyOf names everything that the programs depend on and this repository can change.
func keyOf(module string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := fs.WalkDir(os.DirFS(module), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(module, path))
		fmt.Fprintln(h, path, len(content))
		h.Write(content)
		return err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// build fills a folder beside dir and renames it, so that dir is whole wherever it exists.
func build(ctx context.Context, module, dir string) error {
	parent, base := filepath.Split(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(parent, ".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	// MkdirTemp makes the folder private, but a tool may be run by another user.
	if err := os.Chmod(partial, 0o755); err != nil {
		return err
	}
	// The same flags as every other build of the repository, or nothing compiled before could be used again.
	cmd := exec.CommandContext(ctx, "go", "build", "-p", "2", "-o", partial+string(filepath.Separator), "tool")
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	dropOlder(parent, base)
	err = os.Rename(partial, dir)
	if _, statErr := os.Stat(dir); err != nil && statErr == nil {
		return nil
	}
	return err
}

// dropOlder removes what an earlier content had built; failing to is a waste of disk and nothing else.
func dropOlder(parent, base string) {
	name := base[:strings.LastIndexByte(base, '-')+1]
	older, _ := filepath.Glob(filepath.Join(parent, name+"*"))
	for _, dir := range older {
		if filepath.Base(dir) != base {
			os.RemoveAll(dir)
		}
	}
}
