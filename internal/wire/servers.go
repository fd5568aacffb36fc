// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/webhook"
	"sigs.k8s.io/steward/internal/wire/serve"
)

// listen binds the four ports. The debug port is bound to loopback, whatever the bind address, because replaying dead letters
// needs no password.
func (s *hookServer) listen() (*serve.Servers, error) {
	bind := s.opts.BindAddress
	return serve.Listen([]serve.Port{
		{Flag: "port", Bind: bind, Port: s.opts.Port, Handler: s.webhooks(), Address: &s.addresses.Webhook},
		{Flag: "health-port", Bind: bind, Port: s.opts.HealthPort, Handler: s.health(), Address: &s.addresses.Health},
		{
			Flag: "metrics-port", Bind: bind, Port: s.opts.MetricsPort, Address: &s.addresses.Metrics,
			Handler: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}),
		},
		{Flag: "pprof-port", Bind: "127.0.0.1", Port: s.opts.PprofPort, Handler: s.debug(), Address: &s.addresses.Debug},
	})
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
	serve.Health(mux, func() error {
		if !s.ready.Load() {
			return errors.New("not ready")
		}
		return nil
	})
	return mux
}

// debug has pprof, the queue with its dead letters, and the reconcile pass.
func (s *hookServer) debug() http.Handler {
	mux := http.NewServeMux()
	serve.Profiles(mux)
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
