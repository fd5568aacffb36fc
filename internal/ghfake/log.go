// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/fault"
)

// log is what the fake remembers of its own use: requests, writes, webhook
// deliveries. Growth is bounded by maxRequests; writes are kept for ever.
type log struct {
	requests   []Request
	dropped    int // requests forgotten
	counters   map[string]*Counter
	audit      []Audit
	deliveries []*Delivery
	unknown    []string
	changed    chan struct{} // closed and replaced on every new entry
}

// maxRequests is how many requests are remembered; the older half is dropped.
const maxRequests = 1 << 19

func newLog() log { return log{counters: map[string]*Counter{}, changed: make(chan struct{})} }

// Request is one recorded request, in order of arrival. Seq starts at 1, so a
// test can replay a run with a fault at request Seq.
type Request struct {
	Seq       int       `json:"seq"`
	Time      time.Time `json:"time"`
	Method    string    `json:"method"`
	Path      string    `json:"path"`
	Query     string    `json:"query,omitempty"`
	Route     string    `json:"route"`
	Operation string    `json:"operation,omitempty"` // start of a GraphQL query
	Login     string    `json:"login,omitempty"`
	Status    int       `json:"status"` // 0 while running or when a fault came first
	Fault     string    `json:"fault,omitempty"`
}

// Counter counts the requests of one route.
type Counter struct {
	Total       int `json:"total"`
	NotModified int `json:"not_modified"` // of Total, answered 304
	Failed      int `json:"failed"`       // of Total, answered 4xx or 5xx or cut off by a fault
}

// Audit is one write: by API, by git push or by /_fake/act.
type Audit struct {
	Seq    int       `json:"seq"`
	Time   time.Time `json:"time"`
	Login  string    `json:"login"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	Kind   string    `json:"kind"` // comment.create, label.add, status.create, ...
	Repo   string    `json:"repo"`
	Number int       `json:"number,omitempty"`
	ID     int64     `json:"id,omitempty"`
	Digest string    `json:"digest"` // sha256 of Body, hex
	Body   string    `json:"body"`
	Noop   bool      `json:"noop,omitempty"` // nothing was different afterwards
}

func (l *log) request(now time.Time, c *call, f *fault.Armed) int {
	if len(l.requests) >= maxRequests {
		l.requests = append([]Request(nil), l.requests[maxRequests/2:]...)
		l.dropped += maxRequests / 2
	}
	seq := l.dropped + len(l.requests) + 1
	r := Request{Seq: seq, Time: now, Method: c.req.Method, Path: c.req.URL.Path, Query: c.req.URL.RawQuery, Route: c.route, Fault: f.Name()}
	if c.req.URL.Path == "/graphql" {
		r.Operation = operation(c.body)
	}
	l.requests = append(l.requests, r)
	l.wake()
	return seq
}

func (l *log) answer(seq int, c *call, code int) {
	n := l.counters[c.route]
	if n == nil {
		n = &Counter{}
		l.counters[c.route] = n
	}
	n.Total++
	switch {
	case code == http.StatusNotModified:
		n.NotModified++
	case code == 0 || code >= 400:
		n.Failed++
	}
	if at := seq - 1 - l.dropped; at >= 0 {
		l.requests[at].Status, l.requests[at].Login = code, c.login
	}
}

// wake lets waiters look again.
func (l *log) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// operation is the start of a GraphQL query, enough to tell queries apart.
func operation(body []byte) string {
	text := spacePattern.ReplaceAllString(string(body[:min(len(body), 300)]), " ")
	return text[:min(len(text), 160)]
}

// spacePattern covers JSON's escaped newlines too; compiled once, never changed.
var spacePattern = regexp.MustCompile(`(\s|\\n|\\t)+`)

// actor is on whose behalf a write happens.
type actor struct {
	login, method, path string
}

func (c *call) actor() actor { return actor{c.login, c.req.Method, c.req.URL.Path} }

// wrote adds an audit entry.
func (s *Server) wrote(by actor, kind string, r *repo, number int, id int64, body string) *Audit {
	sum := sha256.Sum256([]byte(body))
	a := Audit{
		Seq: len(s.log.audit) + 1, Time: s.clock.now(), Login: by.login, Method: by.method, Path: by.path,
		Kind: kind, Number: number, ID: id, Digest: hex.EncodeToString(sum[:]), Body: body,
	}
	if r != nil {
		a.Repo = r.full()
	}
	s.log.audit = append(s.log.audit, a)
	s.log.wake()
	return &s.log.audit[len(s.log.audit)-1]
}

// match tells whether an audit entry has what the filter asks for; zero values
// ask for nothing.
func (a Audit) match(f Audit) bool {
	return a.Seq > f.Seq &&
		(f.Login == "" || strings.EqualFold(a.Login, f.Login)) &&
		(f.Kind == "" || a.Kind == f.Kind) &&
		(f.Repo == "" || strings.EqualFold(a.Repo, f.Repo)) &&
		(f.Number == 0 || a.Number == f.Number) &&
		(f.Body == "" || strings.Contains(a.Body, f.Body))
}

// Audit lists the writes that match the filter: Seq means later than, Body means
// contains, other zero fields mean any.
func (s *Server) Audit(filter Audit) []Audit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.audit(filter)
}

func (s *Server) audit(filter Audit) []Audit {
	out := []Audit{}
	for _, a := range s.log.audit {
		if a.match(filter) {
			out = append(out, a)
		}
	}
	return out
}
