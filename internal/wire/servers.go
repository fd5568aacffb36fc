// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/webhook"
)

// servers are the four listeners of a server, as Prow's components have them.
type servers struct {
	addresses HookAddresses
	all       []*http.Server
	listeners []net.Listener
	once      sync.Once
}

// listen binds every port before anything is served, so that a port in use is a
// clear error at start.
func (s *hookServer) listen() (*servers, error) {
	out := &servers{}
	for _, row := range []struct {
		flag     string
		port     int
		loopback bool
		handler  http.Handler
		address  *string
	}{
		{"port", s.opts.Port, false, s.webhooks(), &out.addresses.Webhook},
		{"health-port", s.opts.HealthPort, false, s.health(), &out.addresses.Health},
		{"metrics-port", s.opts.MetricsPort, false, promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}), &out.addresses.Metrics},
		{"pprof-port", s.opts.PprofPort, true, s.debug(), &out.addresses.Debug},
	} {
		l, err := s.listener(row.port, row.loopback)
		if err != nil {
			out.close()
			return nil, fmt.Errorf("--%s: %w", row.flag, err)
		}
		*row.address = l.Addr().String()
		out.listeners = append(out.listeners, l)
		out.all = append(out.all, &http.Server{
			Handler: row.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute,
			IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		})
	}
	return out, nil
}

func (s *servers) start(failed func(error)) {
	for i, server := range s.all {
		go func() {
			if err := server.Serve(s.listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				failed(err)
			}
		}()
	}
}

// drain ends the listeners and waits for running requests, once.
func (s *servers) drain(grace time.Duration) {
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

func (s *servers) close() {
	for _, server := range s.all {
		_ = server.Close()
	}
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// webhooks has a path for every plugin, because Prow enables, configures and
// documents external plugins one by one, and / for all of them.
func (s *hookServer) webhooks() http.Handler {
	mux := http.NewServeMux()
	secrets := s.secrets()
	receiver := func(name string) *webhook.Receiver {
		return &webhook.Receiver{
			Secrets: secrets, Sink: s, Plugin: name, Self: s.login, RefuseSHA1: s.opts.RefuseSHA1,
			Observe: s.metrics.delivery, Log: s.log.WithField("part", "webhook"),
		}
	}
	mux.Handle("/{$}", receiver(""))
	for _, p := range s.all {
		if !s.here(p.Name) {
			continue
		}
		mux.Handle("/"+p.Name, receiver(p.Name))
		mux.Handle("/"+p.Name+"/help", webhook.Help(p, s.describe(p.Name)))
	}
	return mux
}

func (s *hookServer) login() string {
	if login := s.self.Load(); login != nil {
		return *login
	}
	return ""
}

// health is ready as long as a delivery can be journaled: a GitHub that is down
// must not take the journal away from hook.
func (s *hookServer) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") })
	mux.HandleFunc("/healthz/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "OK")
	})
	return mux
}

// debug has pprof, the queue with its dead letters, and the reconcile pass.
func (s *hookServer) debug() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /dead-letters", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.queue.Dead()) })
	mux.HandleFunc("POST /dead-letters/replay", s.replay)
	mux.HandleFunc("GET /queue", s.showQueue)
	mux.HandleFunc("POST /reconcile", func(w http.ResponseWriter, r *http.Request) {
		if err := s.passes.pass(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		writeJSON(w, map[string]bool{"done": true})
	})
	return mux
}

// showQueue answers with the queue's counts; with ?idle it first waits until
// nothing is left to do.
func (s *hookServer) showQueue(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("idle") {
		if err := s.queue.Idle(r.Context()); err != nil {
			return // the asker went away
		}
	}
	writeJSON(w, s.queue.Stats())
}

// replay journals the named dead letters again, all of them without a name.
func (s *hookServer) replay(w http.ResponseWriter, r *http.Request) {
	wanted := map[string]bool{}
	for _, key := range r.URL.Query()["key"] {
		wanted[strings.ToLower(key)] = true
	}
	replayed := []string{}
	for _, letter := range s.queue.Dead() {
		if len(wanted) > 0 && !wanted[letter.Key] {
			continue
		}
		if _, err := s.queue.Put(r.Context(), queue.Item{Key: letter.Key}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		replayed = append(replayed, letter.Key)
	}
	writeJSON(w, replayed)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the asker went away
}
