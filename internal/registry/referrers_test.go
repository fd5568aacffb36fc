// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// What a registry may say to a question for referrers.
const (
	listed    = "a list"
	bare      = "404 page not found"
	noDigest  = `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`
	noRepo    = `{"errors":[{"code":"NAME_UNKNOWN"}]}`
	foreign   = `{"errors":[{"code":"PROXY_SAYS_NO"}]}`
	unoffered = `{"errors":[{"code":"UNSUPPORTED"}]}`
)

func indexOf(digest string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"digest":%q}]}`, digest)
}

// TestReferrers asks repositories of one host one after the other. Each has one referrer in a list, and another one under
// a tag.
func TestReferrers(t *testing.T) {
	type ask struct {
		repo  string
		says  []string // to questions for the list, the last one for ever
		want  string   // "list", "tag" or what is wrong
		asked int      // how often for the list
	}
	const gone, unavailable = "gone", "unavailable"
	for name, asks := range map[string][]ask{
		"a registry that has lists": {
			{"a", []string{listed}, "list", 1}, {"b", []string{listed}, "list", 1},
		},
		"a registry that has none": {
			{"a", []string{bare}, "tag", 2}, {"a", []string{bare}, "tag", 0}, {"b", []string{bare}, "tag", 2}, {"a", []string{bare}, "tag", 0},
		},
		"a registry that says so": {
			{"a", []string{unoffered}, "tag", 2}, {"a", []string{unoffered}, "tag", 0}, {"b", []string{unoffered}, "tag", 2},
		},
		"a slip": {{"a", []string{bare, listed}, "list", 2}},
		"a manifest that is not there": {
			{"a", []string{noDigest}, "tag", 2}, {"b", []string{listed}, "list", 1}, {"a", []string{listed}, "list", 1},
		},
		"one repository hides nothing of another": {
			{"a", []string{bare}, "tag", 2}, {"b", []string{listed}, "list", 1},
		},
		"one repository is hidden": {
			{"a", []string{listed}, "list", 1}, {"b", []string{bare}, unavailable, 2}, {"b", []string{foreign}, unavailable, 2}, {"b", []string{listed}, "list", 1},
		},
		"one repository is hidden by now": {
			{"a", []string{listed}, "list", 1}, {"a", []string{bare}, unavailable, 2},
		},
		"one repository was hidden first": {
			{"b", []string{bare}, "tag", 2}, {"a", []string{listed}, "list", 1}, {"b", []string{bare}, unavailable, 2}, {"b", []string{listed}, "list", 1},
		},
		"a registry that has lists, and not that manifest": {
			{"a", []string{listed}, "list", 1}, {"b", []string{noDigest}, "tag", 2}, {"b", []string{listed}, "list", 1},
		},
		"no such repository": {
			{"a", []string{noRepo}, gone, 1}, {"a", []string{noRepo}, gone, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var now ask
			asked := 0
			_, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
				switch {
				case strings.Contains(req.URL.Path, "/referrers/"):
					says := now.says[min(asked, len(now.says)-1)]
					if asked++; says == listed {
						_, _ = io.WriteString(w, indexOf(digest(2)))
						return
					}
					w.WriteHeader(http.StatusNotFound)
					_, _ = io.WriteString(w, says)
				case strings.HasSuffix(req.URL.Path, "/manifests/"+manifest.DigestTag(digest(1))):
					_, _ = io.WriteString(w, indexOf(digest(3)))
				}
			})
			for i := range asks {
				now, asked = asks[i], 0
				got, err := r.Referrers(t.Context(), plain+"/"+now.repo, digest(1))
				said := ""
				switch {
				case errors.Is(err, manifest.ErrNoRepository):
					said = gone
				case err != nil && reason(err) == finding.Unavailable:
					said = unavailable
				case err != nil:
					said = err.Error()
				case slices.Equal(got, []string{digest(2)}):
					said = "list"
				case slices.Equal(got, []string{digest(3)}):
					said = "tag"
				}
				if said != now.want || asked != now.asked {
					t.Errorf("question %d, %s: %s after %d questions for the list, want %s after %d: %v", i, now.repo, said, asked, now.want, now.asked, err)
				}
			}
		})
	}
}
