// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pool tests steward-pool from the outside, beside the real Boskos that it stands in for.
//
// Boskos is the oracle: scripts hold what it answered, a fuzzer asks both the same and names every difference, its own
// clients run unchanged, and the benchmarks measure both in one run. What only whole programs can show is here as well:
// that a kill, a full disk or a failed fsync neither loses a lease nor grants one twice.
package pool

import (
	"os"
	"testing"

	"sigs.k8s.io/steward/e2e/enclave"
)

func TestMain(m *testing.M) { os.Exit(enclave.Main(m)) }
