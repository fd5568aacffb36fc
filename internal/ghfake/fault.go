// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Fault is a rule: which requests it meets and what happens to them. The first
// rule that applies wins. Requests to /_fake/ meet no faults.
type Fault struct {
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
	//   rate-limit  403, nothing left, X-RateLimit-Reset in Seconds
	//   secondary   403 (or Status 429) with Retry-After: Seconds
	//   eventual    each object made from now on answers 404 to its first Reads reads
	//   reset       reset the connection
	//   truncate    send half of the body, then cut the connection
	//   delay       wait Millis, then answer as usual
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

// fault is an installed rule.
type fault struct {
	Fault
	path *regexp.Regexp
	seen int
	dice *rand.Rand
}

// compile checks a rule.
func (f Fault) compile() (*fault, error) {
	switch f.Action {
	case "status", "rate-limit", "secondary", "eventual", "reset", "truncate", "delay":
	default:
		return nil, fmt.Errorf("fault: unknown action %q", f.Action)
	}
	if f.Action == "status" && (f.Status < 200 || f.Status > 599) {
		return nil, fmt.Errorf("fault: action status needs a status of 200 to 599, not %d", f.Status)
	}
	path, err := regexp.Compile(f.Path)
	if err != nil {
		return nil, fmt.Errorf("fault: path: %w", err)
	}
	return &fault{Fault: f, path: path, dice: rand.New(rand.NewPCG(f.Seed, 0))}, nil //nolint:gosec // no secret
}

// Inject installs rules after those that are there.
func (s *Server) Inject(rules ...Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range rules {
		f, err := rule.compile()
		if err != nil {
			return err
		}
		s.faults = append(s.faults, f)
	}
	return nil
}

// Heal removes all rules.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.lag.clear()
}

// fault is the first rule that a request meets, or nil.
func (s *Server) fault(r *http.Request) *fault {
	for _, f := range s.faults {
		if f.Action != "eventual" && f.meets(r) {
			return f
		}
	}
	return nil
}

func (f *fault) meets(r *http.Request) bool {
	if f.Method != "" && !strings.EqualFold(f.Method, r.Method) || !f.path.MatchString(r.URL.Path) {
		return false
	}
	f.seen++
	if f.seen < max(f.Nth, 1) {
		return false
	}
	times := f.Times
	if times == 0 && f.Nth > 0 {
		times = 1
	}
	if times > 0 && f.seen >= max(f.Nth, 1)+times {
		return false
	}
	return f.Probability <= 0 || f.dice.Float64() < f.Probability
}

func (f *fault) name() string {
	switch {
	case f == nil:
		return ""
	case f.After:
		return f.Action + " after"
	}
	return f.Action
}

// before acts on a request ahead of its handler; true means it is answered.
func (f *fault) before(w http.ResponseWriter, r *http.Request) bool {
	if f == nil {
		return false
	}
	if f.Action == "delay" {
		f.wait(r)
		return false
	}
	if f.After || f.Action == "truncate" {
		return false
	}
	f.act(w)
	return true
}

// wait delays by the wall clock, or until the client gives up.
func (f *fault) wait(r *http.Request) {
	t := time.NewTimer(time.Duration(f.Millis) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// after acts once the effect is there; true means the answer is replaced.
func (f *fault) after(w http.ResponseWriter, _ *http.Request, a answer) bool {
	switch {
	case f == nil || f.Action == "delay":
		return false
	case f.Action == "truncate":
		w.Header().Set("Content-Type", a.kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)+1))
		w.WriteHeader(a.code)
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		reset(w)
		return true
	}
	f.act(w)
	return true
}

func (f *fault) act(w http.ResponseWriter) {
	seconds := strconv.Itoa(max(f.Seconds, 1))
	switch f.Action {
	case "reset":
		reset(w)
	case "status":
		f.write(w, f.Status, http.StatusText(f.Status))
	case "rate-limit":
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", digits(time.Now().Unix()+int64(max(f.Seconds, 1))))
		f.write(w, http.StatusForbidden, "API rate limit exceeded")
	case "secondary":
		w.Header().Set("Retry-After", seconds)
		f.write(w, or(f.Status, http.StatusForbidden), "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	}
}

func (f *fault) write(w http.ResponseWriter, code int, message string) {
	body := []byte(f.Body)
	if f.Body == "" {
		body = marshal(fail(code, message))
	}
	answer{code, "application/json; charset=utf-8", body}.send(w, nil)
}

// reset closes the connection so that the client sees a reset, not an end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 or a recorder: the closest there is
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
