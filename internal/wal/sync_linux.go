// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wal

import (
	"errors"
	"os"
	"syscall"
)

// datasync repeats only what a signal interrupted; that is no failed write-back.
func datasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
