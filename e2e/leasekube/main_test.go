// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasekube tests the Kubernetes store of the pool against the API server of custom resources and its etcd, both in
// this process, and beside the real Boskos on the same objects.
//
// Boskos listens on every interface. All of this therefore runs in a network of its own, in which there is nothing but
// loopback: the test binary builds what it needs and starts itself again in there.
package leasekube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
)

// patience bounds every wait for another process. It is no assertion: what takes longer hangs.
const patience = 2 * time.Minute

// inside names the variable that says that this process is the one within, and crds the file with Boskos's custom
// resource definitions.
const (
	inside = "STEWARD_LEASEKUBE_INSIDE"
	crds   = "STEWARD_LEASEKUBE_CRDS"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv(inside) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the network:", err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "steward-leasekube-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the programs under test:", err)
		return 1
	}
	return again()
}

// prepare puts the pool of this checkout and the real Boskos in front of PATH: within, nothing can be downloaded.
func prepare(dir string) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	boskos, _, err := toolbin.Build(ctx, root, "boskos")
	if err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-p", "2", "-o", dir+string(filepath.Separator), "./cmd/steward-pool")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build steward-pool: %w: %s", err, bytes.TrimSpace(out))
	}
	definitions, err := boskosCRDs(ctx, root)
	if err != nil {
		return err
	}
	path := dir + string(filepath.ListSeparator) + boskos + string(filepath.ListSeparator) + os.Getenv("PATH")
	return errors.Join(os.Setenv("PATH", path), os.Setenv(crds, definitions), os.Setenv(inside, "yes"))
}

// boskosCRDs is the file of the pinned Boskos that a cluster administrator applies.
func boskosCRDs(ctx context.Context, root string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "sigs.k8s.io/boskos")
	cmd.Dir, cmd.Stderr = filepath.Join(root, "tools", "boskos"), &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find Boskos's source: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("find Boskos's source: %w", err)
	}
	return filepath.Join(module.Dir, "deployments", "base", "crd.yaml"), nil
}
