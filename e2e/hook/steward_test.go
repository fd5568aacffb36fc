// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/queue"
)

// settings are those of the small world. Passes come when the test asks for one.
const settings = `reconcile: 24h
repos:
  example-org/example-infra:
    plugins: [owners, freeze]
    scopes: {dns: [dns/]}
`

// allPlugins are the settings of every plugin that config/prow asks for. There is no report yet.
const allPlugins = `reconcile: 24h
pool: {config: [boskos/boskos-resources.yaml]}
promotion: {sources: []}
repos:
  example-org/example-infra:
    plugins: [owners, freeze, drift, promote, pool]
    scopes: {dns: [dns/]}
    drift: {report: "file:///nonexistent/latest.json"}
`

// steward is a steward-hook with a data directory that outlives its processes.
type steward struct {
	t     testing.TB
	dir   string
	flags []string
	proc  *child.Process

	Webhook, Debug, Metrics string // host:port, of the present process
}

// startSteward runs a steward-hook beside a GitHub until the test ends.
func startSteward(t testing.TB, g *github, settings string, flags ...string) *steward {
	t.Helper()
	s := &steward{t: t, dir: t.TempDir()}
	for name, content := range map[string]string{"steward.yaml": settings, "hmac": secret, "token": token} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.flags = append([]string{
		"--config=steward.yaml", "--hmac-secret-file=hmac", "--github-token-path=token", "--data-dir=data", "--dry-run=false",
		"--github-endpoint=" + g.URL, "--github-graphql-endpoint=" + g.URL + "/graphql", "--bind-address=127.0.0.1",
		"--port=0", "--health-port=0", "--metrics-port=0", "--pprof-port=0",
	}, flags...)
	s.start()
	return s
}

// debugLog makes the log say when a pass is over, so that start also waits for the one at the start.
const debugLog = "--log-level=debug"

// start runs the program on the same data as before and returns when it serves, on other ports.
func (s *steward) start(flags ...string) {
	s.t.Helper()
	serving := make(chan map[string]any, 2)
	messages := []string{"Serving"}
	if slices.Contains(s.flags, debugLog) {
		messages = append(messages, "Pass")
	}
	seen := 0
	s.proc = child.Start(s.t, filepath.Join(s.dir, "steward-hook.log"), func(line []byte) bool {
		var entry map[string]any
		if json.Unmarshal(line, &entry) == nil && entry["msg"] == messages[seen] {
			seen++
			serving <- entry
		}
		return seen < len(messages)
	}, "steward-hook", slices.Concat(s.flags, flags)...)
	for range messages {
		s.learn(serving)
	}
}

// learn takes the addresses from the first entry that start waits for; a later one has none.
func (s *steward) learn(serving <-chan map[string]any) {
	s.t.Helper()
	select {
	case entry := <-serving:
		if entry["msg"] == "Serving" {
			s.Webhook, _ = entry["address"].(string)
			s.Debug, _ = entry["debug"].(string)
			s.Metrics, _ = entry["metrics"].(string)
		}
	case <-s.proc.Exited:
		s.t.Fatalf("steward-hook ended:\n%s", s.proc.Tail())
	case <-time.After(child.Patience):
		s.t.Fatalf("steward-hook does not serve:\n%s", s.proc.Tail())
	}
}

func (s *steward) kill() {
	s.t.Helper()
	s.proc.End(s.t, syscall.SIGKILL)
}

// stop is what a roll-out does.
func (s *steward) stop() {
	s.t.Helper()
	s.proc.End(s.t, syscall.SIGTERM)
	if s.proc.Failed != nil {
		s.t.Errorf("after SIGTERM: %v\n%s", s.proc.Failed, s.proc.Tail())
	}
}

func (s *steward) ask(method, path string, out any) {
	s.t.Helper()
	if err := ask(method, "http://"+s.Debug+path, nil, out); err != nil {
		s.t.Fatalf("%v\n%s", err, s.proc.Tail())
	}
}

// idle waits until no thread has anything to do, and returns the counts since the start.
func (s *steward) idle() (stats queue.Stats) {
	s.t.Helper()
	s.ask(http.MethodGet, "/queue?idle", &stats)
	return stats
}

// reconcile makes one pass and waits until what it found is done.
func (s *steward) reconcile() {
	s.t.Helper()
	s.ask(http.MethodPost, "/reconcile", nil)
	s.idle()
}

func (s *steward) noDeadLetters() {
	s.t.Helper()
	var letters []queue.Letter
	s.ask(http.MethodGet, "/dead-letters", &letters)
	for _, l := range letters {
		s.t.Errorf("%s is a dead letter: %s", l.Key, l.Error)
	}
}

// settle waits until nobody has anything to do: a write makes a webhook, which makes a look, which may write again.
func settle(g *github, all ...*steward) {
	g.t.Helper()
	for before := -1; ; {
		g.delivered()
		for _, s := range all {
			s.idle()
		}
		var state struct{ Deliveries int }
		g.control(http.MethodGet, "state", nil, &state)
		if state.Deliveries == before {
			return
		}
		before = state.Deliveries
	}
}
