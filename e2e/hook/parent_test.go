// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package hook

import "os/exec"

// dieWithParent can be had on Linux only.
func dieWithParent(*exec.Cmd) {}
