// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// Controls, below /_fake/, are never GitHub's: no token, no fault, not recorded.

// command is one control: JSON in, JSON out, an error is a 400.
type command func(s *Server, r *http.Request, body []byte) (any, error)

func controls() map[string]command {
	return map[string]command{
		"GET /_fake/requests":    showRequests,
		"GET /_fake/counters":    showCounters,
		"GET /_fake/audit":       showAudit,
		"GET /_fake/deliveries":  showDeliveries,
		"POST /_fake/deliveries": redeliver,
		"GET /_fake/idle":        waitIdle,
		"GET /_fake/unknown":     showUnknown,
		"GET /_fake/state":       showState,
		"GET /_fake/faults":      showFaults,
		"POST /_fake/faults":     addFaults,
		"DELETE /_fake/faults":   dropFaults,
		"POST /_fake/act":        act,
		"POST /_fake/clock":      setClock,
		"POST /_fake/hooks":      addHooks,
		"POST /_fake/bulk":       addBulk,
		"POST /_fake/reset":      forget,
	}
}

func (s *Server) control() http.HandlerFunc {
	mux := http.NewServeMux()
	for pattern, do := range controls() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			var v any
			if err == nil {
				v, err = do(s, r, body)
			}
			out := encode(v, nil)
			if err != nil {
				out = answer{http.StatusBadRequest, "application/json", marshal(map[string]string{"message": err.Error()})}
			}
			out.send(w, nil)
		})
	}
	return mux.ServeHTTP
}

// strict refuses unknown fields: a misspelt control would test nothing.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	return nil
}

// oneOrMany reads a JSON object or a list of them.
func oneOrMany[T any](body []byte) ([]T, error) {
	var many []T
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		return many, strict(body, &many)
	}
	var one T
	return []T{one}, strict(body, &one)
}

func (s *Server) locked(show func() any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return show(), nil
}

// Requests lists the recorded requests, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request{}, s.log.requests...)
}

func showRequests(s *Server, _ *http.Request, _ []byte) (any, error) { return s.Requests(), nil }

func showUnknown(s *Server, _ *http.Request, _ []byte) (any, error) {
	return append([]string{}, s.Unknown()...), nil
}

func showDeliveries(s *Server, _ *http.Request, _ []byte) (any, error) { return s.Deliveries(), nil }

// Counters counts requests by method and route pattern.
func (s *Server) Counters() map[string]Counter {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Counter{}
	for k, v := range s.log.counters {
		out[k] = *v
	}
	return out
}

func showCounters(s *Server, _ *http.Request, _ []byte) (any, error) { return s.Counters(), nil }

func showState(s *Server, _ *http.Request, _ []byte) (any, error) {
	return s.locked(func() any {
		failure := ""
		if s.failure != nil {
			failure = s.failure.Error()
		}
		return map[string]any{
			"now": s.clock.now(), "repos": len(s.st.repos), "users": len(s.st.users), "objects": len(s.odb.byID),
			"audit": len(s.log.audit), "deliveries": len(s.log.deliveries), "unknown": len(s.log.unknown), "failure": failure,
		}
	})
}

// showAudit filters by login, kind, repo, number, after (a seq) and body (a part
// of it); wait=5s holds the answer until something matches or the time is over.
func showAudit(s *Server, r *http.Request, _ []byte) (any, error) {
	q := r.URL.Query()
	number, _ := strconv.Atoi(q.Get("number"))
	after, _ := strconv.Atoi(q.Get("after"))
	filter := Audit{Seq: after, Login: q.Get("login"), Kind: q.Get("kind"), Repo: q.Get("repo"), Number: number, Body: q.Get("body")}
	if err := s.hold(r, func() bool { return len(s.audit(filter)) > 0 }); err != nil {
		return nil, err
	}
	return s.Audit(filter), nil
}

// hold waits for done as long as ?wait= says; running out of time is no error.
func (s *Server) hold(r *http.Request, done func() bool) error {
	wait := r.URL.Query().Get("wait")
	if wait == "" {
		return nil
	}
	d, err := time.ParseDuration(wait)
	if err != nil {
		return fmt.Errorf("wait: %w", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	defer cancel()
	if err := s.until(ctx, done); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func waitIdle(s *Server, r *http.Request, _ []byte) (any, error) {
	if err := s.hold(r, s.idle); err != nil {
		return nil, err
	}
	return s.locked(func() any { return map[string]bool{"idle": s.idle()} })
}

// redeliver takes {"guid": "..."} or {"id": 1} or {"failed": true} or {}: all.
func redeliver(s *Server, _ *http.Request, body []byte) (any, error) {
	var in struct {
		GUID   string
		ID     int64
		Failed bool
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	n := s.Redeliver(func(d Delivery) bool {
		return !d.Redelivery && (in.GUID == "" || d.GUID == in.GUID) && (in.ID == 0 || d.ID == in.ID) &&
			(!in.Failed || d.Done && (d.Status < 200 || d.Status > 299))
	})
	return map[string]int{"redelivered": n}, nil
}

func showFaults(s *Server, _ *http.Request, _ []byte) (any, error) {
	return s.locked(func() any { return each(s.faults, func(f *fault.Armed) Fault { return f.Rule }) })
}

func addFaults(s *Server, _ *http.Request, body []byte) (any, error) {
	rules, err := oneOrMany[Fault](body)
	if err != nil {
		return nil, err
	}
	return map[string]int{"installed": len(rules)}, s.Inject(rules...)
}

func dropFaults(s *Server, _ *http.Request, _ []byte) (any, error) {
	s.Heal()
	return noContent(), nil
}

// act takes one act or a list and answers one result or a list.
func act(s *Server, _ *http.Request, body []byte) (any, error) {
	acts, err := oneOrMany[Act](body)
	if err != nil {
		return nil, err
	}
	var out []Result
	for _, a := range acts {
		res, err := s.Act(a)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	if len(out) == 1 && bytes.TrimSpace(body)[0] == '{' {
		return out[0], nil
	}
	return out, nil
}

// Advance moves the clock forward.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.set(s.clock.now().Add(d))
}

// setClock takes {"advance": "72h"} or {"now": "2024-06-06T00:00:00Z"}.
func setClock(s *Server, _ *http.Request, body []byte) (any, error) {
	var in struct {
		Advance string
		Now     time.Time
	}
	if err := strict(body, &in); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil && in.Advance != "" {
		return nil, fmt.Errorf("advance: %w", err)
	}
	s.Advance(d)
	return s.locked(func() any {
		s.clock.set(in.Now)
		return map[string]time.Time{"now": s.clock.now()}
	})
}

// forget empties requests, counters, audit log, deliveries and unknown routes,
// so that a test counts from here; the world stays.
func forget(s *Server, _ *http.Request, _ []byte) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.log.changed
	s.log = newLog()
	s.log.changed = changed
	return noContent(), nil
}

// addHooks takes one or many {owner, repo, url, secret, events}: the address of
// a plugin is often known only after the fake has started.
func addHooks(s *Server, _ *http.Request, body []byte) (any, error) {
	type input struct {
		Owner, Repo, URL, Secret string
		Events                   []string
	}
	in, err := oneOrMany[input](body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range in {
		s.addHook(hook{Owner: h.Owner, Repo: h.Repo, URL: h.URL, Secret: h.Secret, Events: h.Events})
	}
	return map[string]int{"added": len(in)}, nil
}
