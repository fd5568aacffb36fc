// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// talk sends a request and returns status and body as one string.
func talk(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Status[:3] + " " + strings.TrimSpace(string(raw))
}

func TestUnknownRoutesAreRemembered(t *testing.T) {
	s := New(Options{})
	at, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if got := talk(t, "GET", at.URL+"/compute/v1/projects/p", ""); got != "501 cloudfake has no route for GET /compute/v1/projects/p" {
		t.Error(got)
	}
	talk(t, "POST", at.URL+"/_fake/nonsense", "")
	if got := talk(t, "GET", at.URL+"/_fake/unknown", ""); got != `200 ["GET /compute/v1/projects/p","POST /_fake/nonsense"]` {
		t.Error(got)
	}
}

func TestControls(t *testing.T) {
	s := New(Options{})
	at, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, c := range []struct{ method, path, body, want string }{
		{"POST", "faults", `{"action":"status","status":503,"path":"^/x"}`, `200 {"installed":1}`},
		{"POST", "faults", `[{"action":"reset"},{"action":"hang"}]`, `200 {"installed":2}`},
		{"POST", "faults", `{"akshun":"reset"}`, `400 {"message":"request body: json: unknown field \"akshun\""}`},
		{"POST", "faults", `{"action":"explode"}`, `400 {"message":"fault: action \"explode\" is not one of status, rate-limit, secondary, eventual, reset, truncate, delay, hang"}`},
		{"DELETE", "faults", ``, `200 {}`},
		{"GET", "requests", ``, `200 []`},
		{"POST", "latency", `{"latency":"5ms"}`, `200 {}`},
		{"POST", "latency", `{"latency":"soon"}`, `400 {"message":"latency: time: invalid duration \"soon\""}`},
		{"POST", "scenario", "-- cloud.yaml --\nlatency: 7ms\n", `200 {}`},
		{"POST", "scenario", "-- lint --\n", `400 {"message":"lint: unknown section (want cloud.yaml or PART/FILE)"}`},
	} {
		if got := talk(t, c.method, at.URL+"/_fake/"+c.path, c.body); got != c.want {
			t.Errorf("%s %s %s: %s, want %s", c.method, c.path, c.body, got, c.want)
		}
	}
	if s.latency != 7*time.Millisecond {
		t.Errorf("latency is %v", s.latency)
	}
}

func TestScenarioProblemsAreReportedAtOnce(t *testing.T) {
	sc, err := ParseScenario([]byte("-- cloud.yaml --\nlatency: never\nazure: {}\n-- aws/x --\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = New(Options{}).Load(sc)
	for _, want := range []string{"no part is called azure", "aws/: no part is called so", `latency: time: invalid duration "never"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

func TestStartFailsOnUnknownRoutes(t *testing.T) {
	rec := &recorder{T: t}
	r := Start(rec, Options{}, "")
	talk(t, "GET", r.URL+"/nowhere", "")
	rec.end()
	if rec.said != "cloudfake has no route for GET /nowhere" {
		t.Errorf("said %q", rec.said)
	}
}

// recorder is a test whose failures are looked at.
type recorder struct {
	*testing.T
	end  func()
	said string
}

func (r *recorder) Cleanup(f func()) { r.end = f }

func (r *recorder) Errorf(format string, args ...any) {
	r.said += strings.TrimSpace(strings.ReplaceAll(format, "%s", args[0].(string)))
}
