// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hook

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/prow/pkg/config"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/ghfake"
)

// The stanzas of config/prow close the gate: while steward-hook is stopped a new pull request lacks the contexts that
// Tide wants of it, and it has them as soon as steward-hook has looked, be it because of the event or of a pass.
// e2e/policy tries the stanzas themselves.
func TestGate(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	prow, err := config.Load(filepath.Join(root, "config", "prow", "config.yaml"), "", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	g := startGitHub(t, small)
	missing := func(number int) []string {
		t.Helper()
		head := func() (string, error) { return "0123456789012345678901234567890123456789", nil }
		policy, err := prow.GetTideContextPolicy(nil, "example-org", "example-infra", "main", head, "89abcdef0123456789abcdef0123456789abcdef")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Sorted(slices.Values(policy.MissingRequiredContexts(slices.Collect(maps.Keys(g.contexts(repo, number))))))
	}
	// Each has content of its own: equal ones would be one commit, and statuses belong to commits.
	open := func(content string) int {
		return g.act(ghfake.Act{As: "alice", Do: "open-pull", Title: "new", Files: map[string]string{"apps/new.yaml": content}}).Number
	}
	want := []string{"steward/drift", "steward/freeze", "steward/owners", "steward/promote"}

	before := open("before")
	if got := missing(before); !slices.Equal(got, want) {
		t.Errorf("without steward-hook Tide misses %q, want %q", got, want)
	}
	s := startSteward(t, g, allPlugins)
	g.hook("http://"+s.Webhook+"/", repo)
	s.reconcile()
	live := open("live")
	settle(g, s)
	for _, number := range []int{before, live} {
		if got := missing(number); len(got) > 0 {
			t.Errorf("with steward-hook Tide misses %q on #%d", got, number)
		}
	}
	s.stop()
	after := open("after")
	g.delivered()
	if got := missing(after); !slices.Equal(got, want) {
		t.Errorf("after steward-hook was stopped Tide misses %q, want %q", got, want)
	}
	// A push is a new head, which has no contexts of its own.
	g.act(ghfake.Act{As: "alice", Do: "push", Number: live, Files: map[string]string{"apps/new.yaml": "pushed"}})
	if got := missing(live); !slices.Equal(got, want) {
		t.Errorf("after a push nobody saw Tide misses %q, want %q", got, want)
	}
	s.start()
	s.reconcile()
	for _, number := range []int{after, live} {
		if got := missing(number); len(got) > 0 {
			t.Errorf("after the restart Tide misses %q on #%d", got, number)
		}
	}
}
