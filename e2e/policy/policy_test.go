// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy asks Prow's own code what keeps a pull request from being merged under the stanzas that we
// ship in config/prow.
package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/prow/pkg/config"

	"sigs.k8s.io/steward/e2e/toolbin"
)

const org, repo, branch = "example-org", "example-infra", "main"

// load reads a config.yaml as Prow does.
func load(t *testing.T, content string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, "", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func shipped(t *testing.T) string {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "config", "prow", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// edit replaces the one occurrence of old, so that a case cannot silently test the shipped file.
func edit(t *testing.T, content, old, replacement string) string {
	t.Helper()
	if strings.Count(content, old) != 1 {
		t.Fatalf("%q occurs %d times", old, strings.Count(content, old))
	}
	return strings.Replace(content, old, replacement, 1)
}

func tidePolicy(t *testing.T, c *config.Config, repo string) *config.TideContextPolicy {
	t.Helper()
	sha := func() (string, error) { return "0123456789012345678901234567890123456789", nil }
	policy, err := c.GetTideContextPolicy(nil, org, repo, branch, sha, "89abcdef0123456789abcdef0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// shippedContexts are those of all plugins, sorted.
func shippedContexts() []string {
	return []string{"steward/drift", "steward/freeze", "steward/owners", "steward/promote"}
}

// With steward-hook stopped a pull request lacks its contexts, and Tide waits for them.
func TestTideWaitsForContexts(t *testing.T) {
	for _, c := range []struct {
		name           string
		repo           string
		old, new       string
		present, wants []string
	}{
		{"hook stopped", repo, "", "", []string{"pull-example-test"}, shippedContexts()},
		{"one missing", repo, "", "", []string{"steward/owners", "steward/drift", "steward/promote"}, []string{"steward/freeze"}},
		{"all there", repo, "", "", shippedContexts(), nil},
		{"unprotected branch", repo, "protect: true", "protect: false", nil, shippedContexts()},
		{"branch protection not consulted", repo, "from-branch-protection: true", "from-branch-protection: false", nil, shippedContexts()},
		{"Tide's own list gone", repo, "            required-contexts:\n              - steward/owners\n              - steward/freeze\n              - steward/drift\n              - steward/promote\n", "", nil, shippedContexts()},
		{"a repository without stanzas", "other", "", "", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			content := shipped(t)
			if c.old != "" {
				content = edit(t, content, c.old, c.new)
			}
			missing := tidePolicy(t, load(t, content), c.repo).MissingRequiredContexts(c.present)
			slices.Sort(missing)
			if !slices.Equal(missing, c.wants) {
				t.Errorf("missing %q, want %q", missing, c.wants)
			}
		})
	}
}

// A context that Prow does not know counts: red stays red.
func TestTideSkipsNoContext(t *testing.T) {
	p := tidePolicy(t, load(t, shipped(t)), repo)
	for _, context := range append(shippedContexts(), "some/other") {
		if p.IsOptional(context) {
			t.Errorf("%s is optional", context)
		}
	}
}

// Branch protection stops the button as the Tide stanza stops Tide.
func TestBranchProtection(t *testing.T) {
	p, err := load(t, shipped(t)).GetBranchProtection(org, repo, branch, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil || p.Protect == nil || !*p.Protect {
		t.Fatal("the branch is not protected")
	}
	if p.Admins == nil || !*p.Admins {
		t.Error("administrators may merge past it")
	}
	for _, context := range shippedContexts() {
		if p.RequiredStatusChecks == nil || !slices.Contains(p.RequiredStatusChecks.Contexts, context) {
			t.Errorf("%s is not required", context)
		}
	}
}
