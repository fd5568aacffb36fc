// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/leasehttp"
)

// step is a request that a client has to make next, and the answer.
type step struct {
	request string // METHOD PATH
	status  int    // 0: none, until the client gives up
	answer  string
}

// rehearsed is a pool that knows what it will be asked.
type rehearsed struct {
	mu     sync.Mutex
	steps  []step
	bodies []string
	faults []string
	held   chan struct{} // receives when a request is held
}

func rehearse(t *testing.T, steps ...step) (*rehearsed, *leasehttp.Client) {
	t.Helper()
	r := &rehearsed{steps: steps, held: make(chan struct{}, 1)}
	server := httptest.NewServer(r)
	t.Cleanup(func() {
		server.Close()
		for _, s := range r.steps {
			t.Errorf("%s was not asked", s.request)
		}
		for _, f := range r.faults {
			t.Error(f)
		}
	})
	return r, &leasehttp.Client{Server: server.URL}
}

func (r *rehearsed) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	got := req.Method + " " + req.URL.RequestURI()
	if len(r.steps) == 0 || r.steps[0].request != got {
		r.faults = append(r.faults, "unexpected "+got)
		r.mu.Unlock()
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	s := r.steps[0]
	r.steps, r.bodies = r.steps[1:], append(r.bodies, string(body))
	r.mu.Unlock()
	if s.status == 0 {
		r.held <- struct{}{}
		<-req.Context().Done()
		return
	}
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.answer)
}

const (
	granted = `{"leases":[{"id":"abc","resource":"gpu-1","type":"gpu"}]}`
	queued  = `{"request":"r","ahead":1,"message":"wait"}`
	missing = `{"error":{"code":"not_found","message":"no request waits"}}`
	busy    = `{"error":{"code":"unavailable","message":"restarting"}}`
	unknown = `{"error":{"code":"unknown_type","message":"resource type \"gpu\" does not exist"}}`
	none    = `{"error":{"code":"none_free","message":"nothing is free"}}`
	ask1    = "POST /v1/leases"
	leave   = "DELETE /v1/queue/r?owner=me"
)

// What a waiting client does when things go otherwise than it hopes, so that it leaves neither a place nor a lease behind.
func TestAcquireLeavesNothingBehind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wait  time.Duration
		keep  bool
		steps []step
		got   string
		code  int
		err   string
	}{
		{"at once", 0, false, []step{{ask1, 200, granted}}, "abc", 0, ""},
		{"after a restart", time.Minute, false, []step{{ask1, 503, busy}, {ask1, 200, granted}}, "abc", 0, ""},
		{"a restart while it does not wait", 0, false, []step{{ask1, 503, busy}}, "", job.Failed, "restarting"},
		{"none free", 0, false, []step{{ask1, 409, none}}, "", job.Incomplete, "nothing is free"},
		{"unknown", time.Minute, false, []step{{ask1, 404, unknown}}, "", job.Failed, "does not exist"},
		{"in vain", time.Nanosecond, false, []step{{ask1, 202, queued}, {leave, 200, "{}"}}, "", job.Incomplete, "nothing became free in time for gpu=1"},
		{"in vain, to come back", time.Nanosecond, true, []step{{ask1, 202, queued}}, "", job.Incomplete, "nothing became free in time"},
		{"granted at the last moment", time.Nanosecond, false, []step{{ask1, 202, queued}, {leave, 404, missing}, {ask1, 200, granted}}, "abc", 0, ""},
		{"forgotten at the last moment", time.Nanosecond, false, []step{{ask1, 202, queued}, {leave, 404, missing}, {ask1, 202, queued}, {leave, 200, "{}"}}, "", job.Incomplete, "in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, c := rehearse(t, tt.steps...)
			a := acquisition{
				client: c, keep: tt.keep, waits: tt.wait > 0, deadline: time.Now().Add(tt.wait), log: io.Discard,
				req: leasehttp.AcquireRequest{Owner: "me", Request: "r", From: "free", Wants: []lease.Want{{Type: "gpu", Count: 1}}},
			}
			got, err := a.run(t.Context())
			if (len(got) == 1 && got[0].ID == tt.got) != (tt.got != "") || job.Code(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, %d, %v", got, job.Code(err), err)
			}
			for _, body := range r.bodies {
				if body != "" && !strings.Contains(body, `"request":"r"`) {
					t.Errorf("another request: %s", body)
				}
			}
		})
	}
}

func TestInterruptedAcquireGivesBack(t *testing.T) {
	r, c := rehearse(t, step{ask1, 0, ""}, step{leave, 404, missing}, step{ask1, 200, granted}, step{"POST /v1/leases/abc/release", 200, "{}"})
	a := acquisition{
		client: c, waits: true, deadline: time.Now().Add(time.Minute), log: io.Discard,
		req: leasehttp.AcquireRequest{Owner: "me", Request: "r", From: "free", Wants: []lease.Want{{Type: "gpu", Count: 1}}},
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-r.held; stop() }()
	got, err := a.run(ctx)
	if len(got) != 0 || err == nil || !strings.Contains(err.Error(), "interrupted") || !strings.Contains(r.bodies[3], `"to":"free"`) {
		t.Errorf("%v, %v, %v", got, err, r.bodies)
	}
}

// A watch goes on where the server ended it, until it is interrupted.
func TestWatchGoesOn(t *testing.T) {
	const at = "GET /v1/watch?type=web"
	r, c := rehearse(t, step{at, 200, `{"resource":{"name":"web-1","type":"web","state":"busy","owner":"job/7"}}
{"synced":true}
{"gone":"web-1"}
`}, step{at, 0, ""})
	ctx, stop := context.WithCancel(t.Context())
	go func() { <-r.held; stop() }()
	var b bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(ctx)
	cmd.SetOut(&b)
	if err := runWatch(cmd, c, "web", poolOutput{format: "text"}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(b.String(), "  web  web-1  busy  job/7") || !strings.Contains(b.String(), "web-1 is gone") {
		t.Errorf("%s", b.String())
	}
}

func TestRenewEndsWithTheLease(t *testing.T) {
	_, c := rehearse(t, step{"POST /v1/leases/abc/renew", 200, `{}`}, step{"POST /v1/leases/def/renew", 410, `{"error":{"code":"lease_ended","message":"it has ended"}}`})
	r := renewal{client: c, ids: []string{"abc", "def"}, release: "dirty", log: io.Discard}
	if err := r.keep(t.Context(), time.Hour); err == nil || !strings.Contains(err.Error(), "def… is lost: it has ended") {
		t.Error(err)
	}
}

func TestExportsAreOneWordEach(t *testing.T) {
	got := exports([]leasehttp.Lease{{ID: "a", Resource: "x'; rm -rf $HOME", Type: "gce-project"}, {ID: "b", Resource: "y", Type: "gce-project"}})
	want := `export STEWARD_LEASE='a b'
export STEWARD_RESOURCE='x'\''; rm -rf $HOME y'
export STEWARD_RESOURCE_GCE_PROJECT='x'\''; rm -rf $HOME y'
`
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestTablesDoNotSteerTheTerminal(t *testing.T) {
	var b bytes.Buffer
	out := poolOutput{format: "text"}
	err := out.show(&b, nil, func(tab *table) {
		resourceTable(tab, []leasehttp.Resource{{Name: "a\x1b[2J\tb\nc", Owner: "\u202eevil", State: "x\x9b"}})
	})
	if err != nil || strings.ContainsAny(b.String(), "\x1b\u202e\u009b") || strings.Count(b.String(), "\n") != 2 {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// Every verb has an example, whose verb exists.
func TestPoolExamples(t *testing.T) {
	for _, cmd := range poolClient().Commands() {
		if cmd.Short == "" || !strings.Contains(cmd.Example, "steward pool ") && cmd.Name() != "reservations" && cmd.Name() != "completion" {
			t.Errorf("%s: %q", cmd.Name(), cmd.Example)
		}
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(line)
			if len(words) < 3 || words[0] != "steward" {
				continue
			}
			if found, _, err := poolClient().Find(words[2:]); err != nil || found.Name() == "pool" {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
}
