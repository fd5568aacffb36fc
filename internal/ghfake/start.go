// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"errors"
	"net"
	"net/http"
	"sync"
)

// T is what Start needs of a *testing.T.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Running is a server on loopback.
type Running struct {
	*Server
	URL string // http://127.0.0.1:PORT
}

// Start serves a scenario (a txtar text, not a file name) on loopback until the
// test ends. A request that no route answers fails the test.
func Start(t T, scenario string) *Running {
	t.Helper()
	return StartWith(t, Options{}, scenario)
}

// StartWith is Start with options.
func StartWith(t T, opts Options, scenario string) *Running {
	t.Helper()
	sc, err := ParseScenario([]byte(scenario))
	if err != nil {
		t.Fatalf("ghfake: %v", err)
	}
	s := New(opts)
	if err := s.Load(sc); err != nil {
		t.Fatalf("ghfake: %v", err)
	}
	url, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("ghfake: %v", err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("ghfake: %v", err)
		}
		for _, name := range s.Unknown() {
			t.Errorf("ghfake has no route for %s", name)
		}
	})
	return &Running{s, url}
}

// Listen serves on addr and returns the base URL and a function that ends the
// server; it may be called more than once.
func (s *Server) Listen(addr string) (url string, stop func() error, err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: s.Handler()} //nolint:gosec // loopback, and faults need slow answers
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	stop = sync.OnceValue(func() error {
		err := errors.Join(srv.Close(), s.Close())
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	})
	return "http://" + l.Addr().String(), stop, nil
}
