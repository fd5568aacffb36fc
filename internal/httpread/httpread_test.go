// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package httpread

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
)

func plain(code int, message string) (string, []byte) { return "text/plain", []byte(message) }

// serve answers {"ok":true} with the faults, and returns a client that is quick to try again.
func serve(t *testing.T, rules ...fault.Rule) (*http.Client, string, *fault.Engine) {
	t.Helper()
	e := &fault.Engine{}
	if err := e.Inject(rules...); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(e.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = io.WriteString(w, `{"ok":true}`)
		case "/big":
			_, _ = io.WriteString(w, `"`+strings.Repeat("x", 2000)+`"`)
		case "/html":
			_, _ = io.WriteString(w, "<html>")
		default:
			http.NotFound(w, r)
		}
	}), plain))
	t.Cleanup(srv.Close)
	transport := NewTransport(Options{
		Pace: pace.New(pace.Options{Rate: 1e6}), Attempts: 3, MaxBody: 1000, Timeout: time.Minute, Backoff: time.Microsecond,
	})
	return &http.Client{Transport: transport}, srv.URL, e
}

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	for name, rule := range map[string]fault.Rule{
		"500":      {Action: "status", Status: 500, Times: 2},
		"503":      {Action: "status", Status: 503, Times: 2},
		"429":      {Action: "status", Status: 429, Times: 2},
		"408":      {Action: "status", Status: 408, Times: 2},
		"truncate": {Action: "truncate", Times: 2},
	} {
		client, url, e := serve(t, rule)
		raw, err := JSON(t.Context(), client, url+"/ok", nil)
		if err != nil || string(raw) != `{"ok":true}` || len(e.Requests()) != 3 {
			t.Errorf("%s: %s, %v after %d requests", name, raw, err, len(e.Requests()))
		}
	}
}

func TestWhatStaysBadSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		path     string
		rule     fault.Rule
		reason   finding.Reason
		requests int
	}{
		"500":       {"/ok", fault.Rule{Action: "status", Status: 500}, finding.Unavailable, 3},
		"429":       {"/ok", fault.Rule{Action: "status", Status: 429}, finding.Throttled, 3},
		"truncate":  {"/ok", fault.Rule{Action: "truncate"}, finding.Unavailable, 3},
		"401":       {"/ok", fault.Rule{Action: "status", Status: 401}, finding.Denied, 1},
		"403":       {"/ok", fault.Rule{Action: "status", Status: 403}, finding.Denied, 1},
		"404":       {"/none", fault.Rule{Action: "delay"}, finding.NotFound, 1},
		"418":       {"/ok", fault.Rule{Action: "status", Status: 418}, finding.Malformed, 1},
		"no JSON":   {"/html", fault.Rule{Action: "delay"}, finding.Malformed, 1},
		"too large": {"/big", fault.Rule{Action: "delay"}, finding.TooLarge, 1},
	} {
		client, url, e := serve(t, c.rule)
		_, err := JSON(t.Context(), client, url+c.path+"?token=hunter22", nil)
		gap := audit.GapOf("x", err)
		if err == nil || gap.Reason != c.reason || len(e.Requests()) != c.requests {
			t.Errorf("%s: %v (%s) after %d requests", name, err, gap.Reason, len(e.Requests()))
		}
		if err != nil && strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: the error shows the query: %v", name, err)
		}
	}
}

func TestNetworkErrors(t *testing.T) {
	client, url, _ := serve(t, fault.Rule{Action: "reset"})
	if _, err := JSON(t.Context(), client, url+"/ok?token=hunter22", nil); audit.GapOf("", err).Reason != finding.Unavailable || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("reset: %v", err)
	}
	client, url, _ = serve(t, fault.Rule{Action: "hang"})
	client.Transport.(*Transport).opts.Timeout = time.Millisecond
	if _, err := JSON(t.Context(), client, url+"/ok", nil); audit.GapOf("", err).Reason != finding.TimedOut {
		t.Errorf("hang: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := JSON(ctx, client, url+"/ok", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestBodiesAreSentOnce(t *testing.T) {
	client, url, e := serve(t, fault.Rule{Action: "status", Status: 500})
	resp, err := client.Post(url+"/ok", "text/plain", strings.NewReader("x"))
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || len(e.Requests()) != 1 {
		t.Errorf("%v after %d requests", err, len(e.Requests()))
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "999999": time.Hour,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {value}}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
