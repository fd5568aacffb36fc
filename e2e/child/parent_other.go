// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package child

import "os/exec"

// DieWithParent can be had on Linux only.
func DieWithParent(*exec.Cmd) {}
