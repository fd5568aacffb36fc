// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/e2e/child"
)

// traffic gives every metric of Boskos a value.
func traffic(t *testing.T, a address) {
	t.Helper()
	for _, r := range []request{
		call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "me"),
		call("/acquire", "type", "t", "state", "free", "dest", "busy", "owner", "me"),
		call("/acquire", "type", "none", "state", "free", "dest", "busy", "owner", "me"),
		call("/acquire", "type", "u", "state", "free", "dest", "odd", "owner", "me", "request_id", "one"),
		call("/update", "name", "r1", "owner", "you", "state", "busy"),
		call("/release", "name", "r1", "owner", "me", "dest", "free"),
		{method: http.MethodGet, target: "/metric?type=t"},
		{method: http.MethodGet, target: "/metric"},
		{method: http.MethodGet, target: "/elsewhere/a"},
		{method: http.MethodPost, target: "/acquire/b"},
	} {
		a.must(t, r)
	}
}

// series returns what a server measures under Boskos's names, without the values of sums and buckets, which are times.
func series(t *testing.T, metrics address) []string {
	t.Helper()
	got := metrics.must(t, request{method: http.MethodGet, target: "/metrics"})
	var all []string
	for line := range strings.Lines(got.body) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "boskos_") && !strings.HasPrefix(line, "# TYPE boskos_") {
			continue
		}
		if m := regexp.MustCompile(`^(\w+_(?:bucket|sum)\{.*\}) `).FindStringSubmatch(line); m != nil {
			line = m[1]
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// Dashboards and alerts on Boskos's metrics go on: names, labels, buckets and counts are the same.
func TestSameMetrics(t *testing.T) {
	const config = `resources:
- {type: t, state: free, names: [r1, r2]}
- {type: u, state: free, names: [u1]}
`
	b, s := startBoskos(t, config), startSteward(t, config, compat)
	traffic(t, b.address)
	s.must(t, request{method: http.MethodGet, target: "/"}) // as Boskos was asked whether it serves
	traffic(t, s.address)
	want, got := series(t, b.metrics), series(t, s.metrics)
	if len(want) < 50 {
		t.Errorf("Boskos measures little: %q", want)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("not measured: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("not in Boskos: %s", line)
		}
	}
}

// Probes of a deployment of Boskos find what they expect.
func TestSameHealth(t *testing.T) {
	b, s := startBoskos(t, clientConfig), startSteward(t, clientConfig, compat)
	for _, path := range []string{"/healthz", "/healthz/ready"} {
		r := request{method: http.MethodGet, target: path}
		child.Within(t, path, func() bool { return b.health.must(t, r).status == http.StatusOK })
		want, got := b.health.must(t, r), s.health.must(t, r)
		if got.status != want.status || got.body != want.body {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
