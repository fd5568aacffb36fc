// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/ghfake"
)

const prQuery = `{"query":"{repository(owner:\"acme\",name:\"infra\"){pullRequest(number:2){number title body state isDraft locked createdAt updatedAt author{login __typename} authorAssociation headRefOid headRefName baseRefName baseRefOid baseRef{target{oid}} changedFiles labels(first:100){nodes{name}} comments(first:100){totalCount pageInfo{hasNextPage endCursor} nodes{databaseId author{login __typename} authorAssociation body createdAt updatedAt lastEditedAt includesCreatedEdit editor{login}}} latestOpinionatedReviews(first:100){nodes{author{login} state submittedAt}} commits(last:1){nodes{commit{oid status{contexts{context state description targetUrl}}}}}}}}"}`

func BenchmarkRequests(b *testing.B) {
	for _, bench := range []struct{ name, method, path, body string }{
		{"GetIssue", "GET", "/repos/acme/infra/issues/1", ""},
		{"GetPull", "GET", "/repos/acme/infra/pulls/2", ""},
		{"ListFiles", "GET", "/repos/acme/infra/pulls/2/files", ""},
		{"ListComments", "GET", "/repos/acme/infra/issues/2/comments", ""},
		{"PostComment", "POST", "/repos/acme/infra/issues/1/comments", `{"body":"x"}`},
		{"PostLabel", "POST", "/repos/acme/infra/issues/1/labels", `["lgtm"]`},
		{"QueryPull", "POST", "/graphql", prQuery},
	} {
		b.Run(bench.name, func(b *testing.B) {
			h := loaded(b)
			for b.Loop() {
				r := httptest.NewRequest(bench.method, bench.path, strings.NewReader(bench.body))
				r.Header.Set("Authorization", "Bearer bot-token")
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code >= 300 || strings.Contains(w.Body.String(), `"errors"`) {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}

// loaded is acme with 2,000 more pull requests.
func loaded(b *testing.B) http.Handler {
	b.Helper()
	sc, err := ghfake.ParseScenario([]byte(acme))
	if err != nil {
		b.Fatal(err)
	}
	s := ghfake.New(ghfake.Options{RateLimit: 1 << 30})
	if err := s.Load(sc); err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 2000}); err != nil {
		b.Fatal(err)
	}
	return s.Handler()
}

// BenchmarkLoopback is the whole way, over TCP with keep-alive.
func BenchmarkLoopback(b *testing.B) {
	srv := httptest.NewServer(loaded(b))
	defer srv.Close()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			resp, err := http.Get(srv.URL + "/repos/acme/infra/issues/1")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = fmt.Fprint(discard{}, resp.Body)
			resp.Body.Close()
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkBulk(b *testing.B) {
	for b.Loop() {
		s := ghfake.New(ghfake.Options{})
		sc, err := ghfake.ParseScenario([]byte(acme))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Load(sc); err != nil {
			b.Fatal(err)
		}
		if _, _, err := s.Bulk(ghfake.Bulk{Repo: "acme/infra", Pulls: 2000}); err != nil {
			b.Fatal(err)
		}
	}
}
