// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/child"
	"sigs.k8s.io/steward/internal/ghfake"
)

// calls counts what was asked of GitHub since the last reset.
func (g *github) calls() (reads, writes int) {
	g.t.Helper()
	var counters map[string]ghfake.Counter
	g.control(http.MethodGet, "counters", nil, &counters)
	for route, c := range counters {
		if strings.HasPrefix(route, "GET ") || strings.HasSuffix(route, "/graphql") {
			reads += c.Total
		} else {
			writes += c.Total
		}
	}
	return reads, writes
}

// BenchmarkAnswer is the time from a comment on a pull request with 30 files to the edit of the sticky that answers
// it, one after the other: GitHub's webhook, journal, look, decision and write. GitHub takes no time of its own and
// shares the cores. reads and writes are requests to GitHub for one command.
func BenchmarkAnswer(b *testing.B) {
	const onOne = 50 // comments on a pull request
	g := startGitHub(b, small)
	first, _ := g.bulk(ghfake.Bulk{Repo: repo, Pulls: b.N/onOne + 1, Author: "alice", Files: 30, Prefix: "dns/"})
	s := startSteward(b, g, settings)
	g.hook("http://"+s.Webhook+"/", repo, "issue_comment", "pull_request")
	s.reconcile()
	settle(g, s)
	s.awaitAnswer(g, repo, first, "owners", g.comment("alice", first, "/infra why"))
	settle(g, s)
	g.control(http.MethodPost, "reset", nil, nil)
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range b.N {
		start := time.Now()
		id := g.comment("alice", first+i/onOne, "/infra why @dora")
		s.awaitWrite(g, i/100*100, id)
		took[i] = time.Since(start)
	}
	b.StopTimer()
	settle(g, s)
	reads, writes := g.calls()
	slices.Sort(took)
	report(b, took)
	b.ReportMetric(float64(reads)/float64(b.N), "reads/op")
	b.ReportMetric(float64(writes)/float64(b.N), "writes/op")
}

// awaitWrite waits for the answer to a comment, looking at the end of the log only.
func (s *steward) awaitWrite(g *github, after int, id int64) {
	s.t.Helper()
	var found []ghfake.Audit
	g.control(http.MethodGet, fmt.Sprintf("audit?login=steward%%5Bbot%%5D&after=%d&body=steward:answer+%d&wait=%s", after, id, child.Patience), nil, &found)
	if len(found) == 0 {
		s.t.Fatalf("no answer to comment %d:\n%s", id, s.proc.Tail())
	}
}

// BenchmarkReconcile is a pass over 2,000 open pull requests of which nothing changed. first-pass-s is the pass at the
// start, which looks at every one of them and sets its contexts.
func BenchmarkReconcile(b *testing.B) {
	const open = 2000
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	g := startGitHub(b, strings.Replace(small, "users: {", "now: "+past+"\nusers: {", 1))
	g.bulk(ghfake.Bulk{Repo: repo, Pulls: open, Author: "alice"})
	start := time.Now()
	s := startSteward(b, g, settings)
	s.reconcile()
	first := time.Since(start)
	s.reconcile() // nothing is new any more
	before := s.idle().Handled
	g.control(http.MethodPost, "reset", nil, nil)
	b.ResetTimer()
	for range b.N {
		s.reconcile()
	}
	b.StopTimer()
	if looks := s.idle().Handled - before; looks != 0 {
		b.Errorf("%d looks in idle passes", looks)
	}
	reads, writes := g.calls()
	b.ReportMetric(float64(reads+writes)/float64(b.N), "calls/op")
	b.ReportMetric(first.Seconds(), "first-pass-s")
}
