// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/jobs"
)

// perMinute is what Artifact Registry lets one user ask of all regions together.
const perMinute = 5000

// BenchmarkNoOp plans the whole tree of k8s.io where all of it is in production, in the pace that is the default, against registries
// that count a credential over all hosts and answer 429 beyond the quota. floor-s is what the quota alone allows.
func BenchmarkNoOp(b *testing.B) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		b.Skip("the real k8s.io tree is not here: ", err)
	}
	set, _, err := manifest.Load(os.DirFS(dir), "registry.k8s.io")
	if err != nil {
		b.Fatal(err)
	}
	repositories := 0
	for _, i := range set.Images {
		repositories += len(i.On())
	}
	fake := cloudfake.New(cloudfake.Options{})
	fake.OCI.Declare(set)
	fake.OCI.Quota(perMinute, time.Minute)
	at, stop, err := fake.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			b.Error(err)
		}
	}()
	reg, err := registry.New(registry.Options{Quota: registry.GoogleQuota, Endpoints: map[string]string{"*": strings.TrimPrefix(at.URL, "http://")}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		fake.OCI.Clear()
		started := time.Now()
		var out bytes.Buffer
		deps := jobs.Deps{Promote: jobs.PromoteAdapters{Registry: func(jobs.PromoteReach) (jobs.PromoteRegistry, error) { return reg, nil }}}
		for _, cmd := range jobs.All(deps) {
			if cmd.Name() != "promote" {
				continue
			}
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			cmd.SetArgs([]string{"plan", "--dir", dir})
			// The tree has one digest that is none, so the plan says that not all of it can be promoted.
			if err := cmd.ExecuteContext(b.Context()); err != nil && !strings.Contains(err.Error(), "cannot be promoted") {
				b.Fatalf("%v\n%.2000s", err, &out)
			}
		}
		if !strings.Contains(out.String(), "nothing is to be copied") {
			b.Fatalf("%.2000s", &out)
		}
		counts, asked := fake.OCI.Counts(), len(fake.OCI.Asked())
		b.ReportMetric(float64(asked)/float64(repositories), "requests/repository")
		b.ReportMetric(float64(counts.Refused), "429s")
		b.ReportMetric(float64(counts.Peak), "peak/min")
		b.ReportMetric(time.Since(started).Seconds(), "wall-s")
		b.ReportMetric(float64(asked)/perMinute*60, "floor-s")
	}
}
