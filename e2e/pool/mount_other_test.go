// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package pool

import "testing"

func mountSmall(t *testing.T, _, _ string) { t.Fatal("needs Linux") }
