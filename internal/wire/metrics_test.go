// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"os"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/wal"
)

// An alert on a metric that does not exist never fires.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newHookMetrics(registry)
	log, err := wal.Open(t.TempDir(), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(log, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	m.watch(registry, q)
	m.delivery("no such event", 200) // vectors without values are not gathered
	m.writes.WithLabelValues("postcomment", "done")
	m.reportFetched.WithLabelValues("acme/infra")
	m.reportMade.WithLabelValues("acme/infra")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]bool{}
	for _, f := range families {
		exported[f.GetName()] = true
	}

	alerts, err := os.ReadFile("../../config/prow/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bsteward_[a-z_]+`).FindAllString(string(alerts), -1)
	if len(names) < 6 {
		t.Fatalf("only %d metrics in the alerts", len(names))
	}
	for _, name := range names {
		if !exported[name] {
			t.Errorf("alerts.yaml names %s, which is not exported", name)
		}
	}
}
