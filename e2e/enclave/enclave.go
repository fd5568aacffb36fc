// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package enclave is the place for tests beside the real Boskos, as pinned in tools/boskos: a network of their own.
package enclave

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

// inside names the variable that says that this process is the one within, and crds the file with Boskos's custom
// resource definitions.
const (
	inside = "STEWARD_ENCLAVE_INSIDE"
	crds   = "STEWARD_ENCLAVE_CRDS"
)

// CRDs is the file with Boskos's custom resource definitions, which an administrator applies. Main has found it.
func CRDs() string { return os.Getenv(crds) }

// Main runs the tests of a package in a network of their own, in which there is nothing but loopback, because Boskos listens on
// every interface: the test binary builds what it needs and starts itself again in there. On PATH are the real boskos and
// boskosctl, kube-apiserver and this checkout's steward-pool.
func Main(m *testing.M) int {
	if os.Getenv(inside) != "" {
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "set up the network:", err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "steward-enclave-")
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

// prepare puts the pool of this checkout, the real Boskos and the API server of Kubernetes in front of PATH: within, nothing can
// be downloaded.
func prepare(dir string) error {
	root, err := toolbin.Root()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	path := dir
	for _, name := range []string{"boskos", "kube-apiserver"} {
		programs, _, err := toolbin.Build(ctx, root, name)
		if err != nil {
			return err
		}
		path += string(filepath.ListSeparator) + programs
	}
	if err := build(ctx, root, dir); err != nil {
		return err
	}
	definitions, err := download(ctx, root)
	if err != nil {
		return err
	}
	return errors.Join(os.Setenv("PATH", path+string(filepath.ListSeparator)+os.Getenv("PATH")), os.Setenv(crds, definitions), os.Setenv(inside, "yes"))
}

func build(ctx context.Context, root, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-p", "2", "-o", dir+string(filepath.Separator), "./cmd/steward-pool")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build steward-pool: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// download finds the file of the pinned Boskos that a cluster administrator applies.
func download(ctx context.Context, root string) (string, error) {
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
