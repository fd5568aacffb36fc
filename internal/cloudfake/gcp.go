// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

// GCP is Google's REST APIs over exported audit trees: Cloud Storage's buckets and their
// policies. Its rules are CF-G1 … in docs/cloudfake.md.
type GCP struct {
	server *Server

	mu       sync.Mutex // guards everything below
	settings gcpSettings
	states   []fs.FS // to come
	now      *gcpState
	expired  time.Time // page tokens that are older are
	served   int
	recent   []time.Time // of the requests within the last quota.Per
	peak     int         // most of them at once
	refused  int         // for the quota
}

// gcpSettings are the value of gcp in cloud.yaml.
type gcpSettings struct {
	// Dir is a checkout with an export tree; Dirs are several, one state after another.
	// Without either the files of the scenario are the state, or, where each is below a
	// folder that has its own audit, the states in the order of those folders' names.
	Dir  string
	Dirs []string
	// Token is the only bearer token that is taken; "" takes all and none.
	Token string
	// Page is the most buckets a page has, whatever is asked for; 1000.
	Page int
	// PageLife is how long a page token is taken; 1h.
	PageLife time.Duration `yaml:"page_life"`
	Quota    struct {
		Requests int           // 0 is no quota
		Per      time.Duration // 1m
	}
	// Deny lists what answers 403: projects/P (its list), gs://B, "gs://B iam".
	Deny []string
	// StepEvery moves to the next state after each so many requests; 0 is never.
	StepEvery int `yaml:"step_every"`
}

func newGCP(s *Server) *GCP {
	return &GCP{server: s, settings: gcpSettings{}.withDefaults(), now: &gcpState{projects: map[string]*gcpProject{}}}
}

func (o gcpSettings) withDefaults() gcpSettings {
	if o.Page <= 0 || o.Page > 1000 {
		o.Page = 1000
	}
	if o.PageLife <= 0 {
		o.PageLife = time.Hour
	}
	if o.Quota.Per <= 0 {
		o.Quota.Per = time.Minute
	}
	return o
}

func (g *GCP) name() string { return "gcp" }

func (g *GCP) load(node yaml.Node, files fs.FS) error {
	var settings gcpSettings
	if err := decode(node, &settings); err != nil {
		return err
	}
	states, err := settings.states(files)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.settings = settings.withDefaults()
	g.mu.Unlock()
	return g.States(states...)
}

// states are the trees that the settings or the scenario have.
func (o gcpSettings) states(files fs.FS) ([]fs.FS, error) {
	dirs := o.Dirs
	if o.Dir != "" {
		dirs = append([]string{o.Dir}, dirs...)
	}
	var states []fs.FS
	for _, dir := range dirs {
		states = append(states, os.DirFS(dir))
	}
	if len(states) > 0 || files == nil {
		return states, nil
	}
	if _, err := fs.Stat(files, "audit"); !errors.Is(err, fs.ErrNotExist) {
		return []fs.FS{files}, err
	}
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		state, err := fs.Sub(files, entry.Name())
		if err != nil {
			return nil, err
		}
		states = append(states, state)
	}
	return states, nil
}

// States replaces what is served by the export trees of some checkouts: the first one
// now, each other one after a Step.
func (g *GCP) States(states ...fs.FS) error {
	if len(states) == 0 {
		states = []fs.FS{emptyFS{}}
	}
	first, err := readGCPState(states[0])
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now, g.states = first, slices.Clone(states[1:])
	return nil
}

// emptyFS has no file.
type emptyFS struct{}

func (emptyFS) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Step moves to the next state, while requests are served, and tells whether there was
// one.
func (g *GCP) Step() (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.step()
}

func (g *GCP) step() (bool, error) {
	if len(g.states) == 0 {
		return false, nil
	}
	next, err := readGCPState(g.states[0])
	if err != nil {
		return false, err
	}
	g.now, g.states = next, g.states[1:]
	return true, nil
}

// GCPAsked is how much was asked within one period of the quota.
type GCPAsked struct {
	Peak    int `json:"peak"`    // most requests in one period
	Refused int `json:"refused"` // requests beyond the quota
}

// Asked tells how much was asked since the start.
func (g *GCP) Asked() GCPAsked {
	g.mu.Lock()
	defer g.mu.Unlock()
	return GCPAsked{g.peak, g.refused}
}

func (g *GCP) controls() map[string]command {
	return map[string]command{
		"POST step": func(*http.Request, []byte) (any, error) {
			stepped, err := g.Step()
			return map[string]bool{"stepped": stepped}, err
		},
		"POST expire": func(*http.Request, []byte) (any, error) { g.Expire(); return struct{}{}, nil },
		"GET asked":   func(*http.Request, []byte) (any, error) { return g.Asked(), nil },
		"POST mutate": func(_ *http.Request, body []byte) (any, error) {
			var m Mutation
			if err := strictJSON(body, &m); err != nil {
				return nil, err
			}
			return struct{}{}, g.Mutate(m)
		},
		"POST deny": func(_ *http.Request, body []byte) (any, error) {
			var denied []string
			if err := strictJSON(body, &denied); err != nil {
				return nil, err
			}
			g.Deny(denied...)
			return struct{}{}, nil
		},
	}
}

// Expire ends the life of all page tokens that were given out.
func (g *GCP) Expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.expired = g.server.clock()
}

// Deny replaces what answers 403.
func (g *GCP) Deny(what ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.settings.Deny = what
}

// Mutation changes one bucket.
type Mutation struct {
	Bucket string `json:"bucket"`
	// Project makes a new bucket in it.
	Project string `json:"project,omitempty"`
	Delete  bool   `json:"delete,omitempty"`
	// Patch is merged into the resource (RFC 7396), Policy replaces the policy.
	Patch  json.RawMessage `json:"patch,omitempty"`
	Policy json.RawMessage `json:"policy,omitempty"`
}

// Mutate changes a bucket as somebody would beside us: its metageneration, etag and time
// of update move.
func (g *GCP) Mutate(m Mutation) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.Project != "" {
		p := g.now.project(m.Project)
		p.buckets[m.Bucket] = newBucket(p, m.Bucket, g.server.clock())
	}
	b := g.now.find(m.Bucket)
	if b == nil {
		return fmt.Errorf("mutate: there is no bucket %s", m.Bucket)
	}
	if m.Delete {
		delete(b.project.buckets, m.Bucket)
		return nil
	}
	return b.change(m, g.server.clock())
}

// wrong is the error body of Google's JSON APIs.
func (g *GCP) wrong(code int, message string) (string, []byte) {
	reason := map[int]string{
		http.StatusBadRequest: "invalid", http.StatusUnauthorized: "authError", http.StatusForbidden: "forbidden",
		http.StatusNotFound: "notFound", http.StatusTooManyRequests: "rateLimitExceeded", http.StatusServiceUnavailable: "backendError",
	}[code]
	if reason == "" {
		reason = "internalError"
	}
	raw, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": code, "message": message,
		"errors": []any{map[string]string{"message": message, "domain": "global", "reason": reason}},
	}})
	if err != nil {
		return "text/plain", []byte(err.Error())
	}
	return "application/json; charset=UTF-8", raw
}
