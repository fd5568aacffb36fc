// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// maxControl bounds the body of a control.
const maxControl = 16 << 20

// command is one control: JSON in, JSON out, an error is a 400. Controls have no
// faults, no latency and no record.
type command func(r *http.Request, body []byte) (any, error)

func (s *Server) controls() map[string]command {
	return map[string]command{
		"GET /_fake/requests": func(*http.Request, []byte) (any, error) {
			return append([]fault.Request{}, s.Faults.Requests()...), nil
		},
		"GET /_fake/unknown":   func(*http.Request, []byte) (any, error) { return append([]string{}, s.Unknown()...), nil },
		"POST /_fake/faults":   s.addFaults,
		"DELETE /_fake/faults": func(*http.Request, []byte) (any, error) { s.Faults.Heal(); return struct{}{}, nil },
		"POST /_fake/latency":  s.changeLatency,
		"POST /_fake/scenario": s.replace,
	}
}

func (s *Server) control() http.Handler {
	mux := http.NewServeMux()
	for pattern, do := range s.controls() {
		mux.Handle(pattern, controlled(do))
	}
	for _, p := range s.parts() {
		for pattern, do := range p.controls() {
			method, rest, _ := strings.Cut(pattern, " ")
			mux.Handle(method+" /_fake/"+p.name()+"/"+rest, controlled(do))
		}
	}
	mux.HandleFunc("/", s.unrouted)
	return mux
}

func controlled(do command) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControl))
		var v any
		if err == nil {
			v, err = do(r, body)
		}
		code := http.StatusOK
		if err != nil {
			code, v = http.StatusBadRequest, map[string]string{"message": err.Error()}
		}
		writeJSON(w, code, v)
	}
}

// writeJSON answers with a value that can be marshalled.
func writeJSON(w http.ResponseWriter, code int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_, _ = w.Write(raw) // the client is gone
}

// strictJSON refuses unknown fields: a misspelt control would test nothing.
func strictJSON(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	return nil
}

// addFaults takes one fault.Rule or a list.
func (s *Server) addFaults(_ *http.Request, body []byte) (any, error) {
	rules := make([]fault.Rule, 1)
	var err error
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err = strictJSON(body, &rules)
	} else {
		err = strictJSON(body, &rules[0])
	}
	if err != nil {
		return nil, err
	}
	return map[string]int{"installed": len(rules)}, s.Faults.Inject(rules...)
}

// changeLatency takes {"latency": "100ms"}.
func (s *Server) changeLatency(_ *http.Request, body []byte) (any, error) {
	var in struct{ Latency string }
	if err := strictJSON(body, &in); err != nil {
		return nil, err
	}
	d, err := time.ParseDuration(in.Latency)
	if err != nil {
		return nil, fmt.Errorf("latency: %w", err)
	}
	s.SetLatency(d)
	return struct{}{}, nil
}

// replace takes a txtar scenario, which replaces the worlds of the parts it speaks of.
func (s *Server) replace(_ *http.Request, body []byte) (any, error) {
	sc, err := ParseScenario(body)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.Load(sc)
}
