// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package serve is what the servers have in common: they listen on several ports, as Prow's components do, and drain.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"sync"
	"time"
)

// Port is one listener.
type Port struct {
	// Flag names it in errors; Port 0 picks one.
	Flag    string
	Bind    string
	Port    int
	Handler http.Handler
	// Address learns host:port.
	Address *string
}

// Servers are listeners that belong together.
type Servers struct {
	all       []*http.Server
	listeners []net.Listener
	once      sync.Once
}

// Listen binds every port before anything is served, so that a port in use is a clear error at start.
func Listen(ports []Port) (*Servers, error) {
	out := &Servers{}
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(p.Bind, strconv.Itoa(p.Port)))
		if err != nil {
			out.Close()
			return nil, fmt.Errorf("--%s: %w", p.Flag, err)
		}
		*p.Address = l.Addr().String()
		out.listeners = append(out.listeners, l)
		out.all = append(out.all, newServer(p.Handler))
	}
	return out, nil
}

// newServer bounds how long a request may take to come, and no answer: net/http takes the deadline back where the body ends.
func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
}

// Start serves; failed hears of a listener that broke.
func (s *Servers) Start(failed func(error)) {
	for i, server := range s.all {
		go func() {
			if err := server.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed(err)
			}
		}()
	}
}

// Drain ends the listeners and waits for running requests, once.
func (s *Servers) Drain(grace time.Duration) {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		var group sync.WaitGroup
		for _, server := range s.all {
			group.Go(func() { _ = server.Shutdown(ctx) }) // late requests are cut: nobody was told 200
		}
		group.Wait()
	})
}

// Close cuts everything.
func (s *Servers) Close() {
	for _, server := range s.all {
		_ = server.Close()
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// Profiles serves /debug/pprof.
func Profiles(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// Health serves /healthz, and /healthz/ready with what ready says.
func Health(mux *http.ServeMux, ready func() error) {
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("/healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "OK")
	})
}
