// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"net/http"
	"strings"
	"testing"
)

// TestLeaseMetrics: what a lease came to is counted once it has ended.
func TestLeaseMetrics(t *testing.T) {
	at := start(t, nil)
	for _, path := range []string{"/acquire?type=project&state=free&dest=busy&owner=team", "/release?name=p1&dest=dirty&owner=team"} {
		resp, err := http.Post("http://"+at.Pool+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
	}
	metrics := get(t, "http://"+at.Metrics+"/metrics")
	for _, line := range []string{
		`steward_pool_leases_ended_total{account="team",type="project",why="released"} 1`,
		`steward_pool_lease_seconds_total{account="team",type="project"} `,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("missing %s in\n%s", line, metrics)
		}
	}
}
