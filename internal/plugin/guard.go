// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"runtime/debug"

	"sigs.k8s.io/steward/internal/thread"
)

// PanicError is a panic of a plugin. The stack is for the log: the text may end
// up where strangers read it.
type PanicError struct {
	Plugin string
	Thread thread.Key
	Value  string
	Stack  []byte
}

// Error names plugin, thread and the value, cut to 200 bytes.
func (e *PanicError) Error() string {
	return fmt.Sprintf("plugin %s on %s: panic: %.200s", e.Plugin, e.Thread, e.Value)
}

// guard turns a panic into an error, so that one plugin on one thread fails and
// not the server.
func guard[T any](plugin string, key thread.Key, f func() (T, error)) (result T, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Plugin: plugin, Thread: key, Value: fmt.Sprint(v), Stack: debug.Stack()}
		}
	}()
	return f()
}
