// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"strconv"
	"time"
)

// ErrorBody shapes an error as the API that is faked does.
type ErrorBody func(code int, message string) (contentType string, body []byte)

// Answer is what a server would have said.
type Answer struct {
	Code        int
	ContentType string
	Body        []byte
}

// Before acts on a request ahead of its handler; true means it is answered. It may be
// called on nil.
func (r *Rule) Before(w http.ResponseWriter, req *http.Request, wrong ErrorBody) bool {
	if r == nil {
		return false
	}
	switch {
	case r.Action == "delay":
		r.wait(req)
		return false
	case r.Action == "hang":
		<-req.Context().Done()
		return true
	case r.After || r.Action == "truncate":
		return false
	}
	r.act(w, wrong)
	return true
}

// wait delays by the wall clock, or until the client gives up.
func (r *Rule) wait(req *http.Request) {
	t := time.NewTimer(time.Duration(r.Millis) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-req.Context().Done():
	}
}

// Instead acts once the effect is there; true means the answer is replaced. It may be
// called on nil.
func (r *Rule) Instead(w http.ResponseWriter, a Answer, wrong ErrorBody) bool {
	switch {
	case r == nil || r.Action == "delay":
		return false
	case r.Action == "truncate":
		w.Header().Set("Content-Type", a.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)+1))
		w.WriteHeader(a.Code)
		_, _ = w.Write(a.Body[:len(a.Body)/2]) // the client is meant to see an error
		_ = http.NewResponseController(w).Flush()
		reset(w)
		return true
	}
	r.act(w, wrong)
	return true
}

func (r *Rule) act(w http.ResponseWriter, wrong ErrorBody) {
	switch r.Action {
	case "reset":
		reset(w)
	case "status":
		if r.Seconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(r.Seconds))
		}
		r.write(w, r.Status, http.StatusText(r.Status), wrong)
	case "rate-limit":
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(time.Now().Unix()+int64(max(r.Seconds, 1)), 10))
		r.write(w, http.StatusForbidden, "API rate limit exceeded", wrong)
	case "secondary":
		w.Header().Set("Retry-After", strconv.Itoa(max(r.Seconds, 1)))
		code := r.Status
		if code == 0 {
			code = http.StatusForbidden
		}
		r.write(w, code, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", wrong)
	}
}

func (r *Rule) write(w http.ResponseWriter, code int, message string, wrong ErrorBody) {
	kind, body := wrong(code, message)
	if r.Body != "" {
		body = []byte(r.Body)
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_, _ = w.Write(body) // the client is gone
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

// kept holds an answer back until a fault has decided about it.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(code int)        { k.code = code }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

func (k *kept) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.code)
	_, _ = w.Write(k.body.Bytes()) // the client is gone
}
