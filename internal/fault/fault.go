// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fault makes fake servers fail in the ways real ones do.
//
// A Rule chooses requests and says what happens to them. It knows a request as a
// method and a path, which every protocol has in some form; HTTP servers let this
// package act, others do what the action says in their own words. The requests of a
// clean run are recorded, so that a sweep can run again once for each of them, with a
// fault there.
package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Rule is which requests meet a fault and what happens to them. The first rule that
// applies wins.
type Rule struct {
	// Method and Path choose requests: Method "" is any, Path is an unanchored
	// regular expression on the URL's path ("" is any).
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Nth is the first of the chosen requests to meet the fault, counting from 1
	// (default 1). Times is how many do: default 1 if Nth is set, else all.
	Nth   int `json:"nth,omitempty"`
	Times int `json:"times,omitempty"`
	// Probability in (0,1) lets each chosen request meet the fault by chance,
	// from a generator seeded with Seed.
	Probability float64 `json:"probability,omitempty"`
	Seed        uint64  `json:"seed,omitempty"`
	// Action is one of:
	//   status      answer Status (with Body if set)
	//   rate-limit  403, nothing left, X-RateLimit-Reset in Seconds (GitHub's primary limit)
	//   secondary   403 (or Status 429) with Retry-After: Seconds
	//   eventual    each object made from now on answers 404 to its first Reads reads (ghfake only)
	//   reset       reset the connection
	//   truncate    send half of the body, then cut the connection
	//   delay       wait Millis, then answer as usual
	//   hang        never answer
	Action  string `json:"action"`
	Status  int    `json:"status,omitempty"`
	Body    string `json:"body,omitempty"`
	Seconds int    `json:"seconds,omitempty"`
	Reads   int    `json:"reads,omitempty"`
	Lists   bool   `json:"lists,omitempty"` // eventual: leave new comments out of lists too
	Millis  int    `json:"millis,omitempty"`
	// After lets the request take effect before status, rate-limit, secondary
	// or reset hide the answer.
	After bool `json:"after,omitempty"`
}

var actions = []string{"status", "rate-limit", "secondary", "eventual", "reset", "truncate", "delay", "hang"}

// Armed is a rule at work: it counts what it chose. It is not safe for concurrent use;
// the server's lock guards it.
type Armed struct {
	Rule
	path *regexp.Regexp
	seen int
	dice *rand.Rand
}

// Arm checks a rule.
func (r Rule) Arm() (*Armed, error) {
	if !slices.Contains(actions, r.Action) {
		return nil, fmt.Errorf("fault: action %q is not one of %s", r.Action, strings.Join(actions, ", "))
	}
	if r.Action == "status" && (r.Status < 200 || r.Status > 599) {
		return nil, fmt.Errorf("fault: action status needs a status of 200 to 599, not %d", r.Status)
	}
	path, err := regexp.Compile(r.Path)
	if err != nil {
		return nil, fmt.Errorf("fault: path: %w", err)
	}
	return &Armed{Rule: r, path: path, dice: rand.New(rand.NewPCG(r.Seed, 0))}, nil //nolint:gosec // no secret
}

// Chooses tells whether the rule is about a path, whoever asks and how often.
func (a *Armed) Chooses(path string) bool { return a.path.MatchString(path) }

// Meets counts a request that the rule chooses and tells whether the fault hits it.
func (a *Armed) Meets(method, path string) bool {
	if a.Method != "" && !strings.EqualFold(a.Method, method) || !a.path.MatchString(path) {
		return false
	}
	a.seen++
	if a.seen < max(a.Nth, 1) {
		return false
	}
	times := a.Times
	if times == 0 && a.Nth > 0 {
		times = 1
	}
	if times > 0 && a.seen >= max(a.Nth, 1)+times {
		return false
	}
	return a.Probability <= 0 || a.dice.Float64() < a.Probability
}

// Name is how logs call the fault; "" where there is none.
func (a *Armed) Name() string {
	switch {
	case a == nil:
		return ""
	case a.After:
		return a.Action + " after"
	}
	return a.Action
}

// Request is one request that a server was asked, in order of arrival.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Fault  string `json:"fault,omitempty"`
}

// Engine keeps the rules and the record of servers that have no state of their own to
// guard. It is safe for concurrent use; several servers may share one.
type Engine struct {
	mu       sync.Mutex
	rules    []*Armed
	requests []Request
	asked    chan struct{} // closed at the next request, if anybody waits
}

// Until waits for the nth request since the start or the last Heal, and returns the
// error of ctx if that ends before.
func (e *Engine) Until(ctx context.Context, n int) error {
	for {
		e.mu.Lock()
		done := len(e.requests) >= n
		if e.asked == nil {
			e.asked = make(chan struct{})
		}
		asked := e.asked
		e.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-asked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Inject installs rules after those that are there.
func (e *Engine) Inject(rules ...Rule) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, rule := range rules {
		armed, err := rule.Arm()
		if err != nil {
			return err
		}
		e.rules = append(e.rules, armed)
	}
	return nil
}

// Heal removes all rules and forgets the requests.
func (e *Engine) Heal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rules, e.requests = nil, nil
}

// Requests returns what was asked since the start or the last Heal.
func (e *Engine) Requests() []Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.requests)
}

// Meet records a request and returns the rule that hits it, or nil.
func (e *Engine) Meet(method, path string) *Rule {
	e.mu.Lock()
	defer e.mu.Unlock()
	var hit *Armed
	for _, a := range e.rules {
		if a.Meets(method, path) {
			hit = a
			break
		}
	}
	e.requests = append(e.requests, Request{method, path, hit.Name()})
	if e.asked != nil {
		close(e.asked)
		e.asked = nil
	}
	if hit == nil {
		return nil
	}
	return &hit.Rule
}

// Handler lets requests to next meet the faults. wrong shapes the body of an error as
// the API that is faked would.
func (e *Engine) Handler(next http.Handler, wrong ErrorBody) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule := e.Meet(r.Method, r.URL.Path)
		if rule == nil {
			next.ServeHTTP(w, r)
			return
		}
		if rule.Before(w, r, wrong) {
			return
		}
		kept := &kept{header: http.Header{}, code: http.StatusOK}
		next.ServeHTTP(kept, r)
		if !rule.Instead(w, Answer{kept.code, kept.header.Get("Content-Type"), kept.body.Bytes()}, wrong) {
			kept.send(w)
		}
	})
}
