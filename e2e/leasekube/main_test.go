// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leasekube tests the Kubernetes store of the pool against the API server of custom resources and its etcd, both in
// this process, and beside the real Boskos on the same objects.
package leasekube

import (
	"os"
	"testing"

	"sigs.k8s.io/steward/e2e/enclave"
)

func TestMain(m *testing.M) { os.Exit(enclave.Main(m)) }
