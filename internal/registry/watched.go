// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"io"
	"sync"
)

// failure is the first error of a reader. The transport reads in a goroutine of its own and
// may end before it.
type failure struct {
	mu  sync.Mutex
	err error
}

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// watched remembers why a reader failed: the transport would say that the connection did.
type watched struct {
	io.ReadCloser
	own *failure
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's own word
		w.own.set(err)
	}
	return n, err
}
