// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Module is what a rule needs of one go.mod. File is relative to the repository.
type Module struct {
	File    string
	Require map[string]string
	Replace map[string]string
}

// ReadModule reads a go.mod by way of the go command, which owns the format.
func ReadModule(root, file string) (Module, error) {
	out, err := output(root, "go", "mod", "edit", "-json", filepath.FromSlash(file))
	if err != nil {
		return Module{}, fmt.Errorf("read %s: %w", file, err)
	}
	var raw struct {
		Require []struct{ Path, Version string }
		Replace []struct{ Old, New struct{ Path string } }
	}
	if err := json.Unmarshal(out, &raw); err != nil {
		return Module{}, fmt.Errorf("read %s: %w", file, err)
	}
	m := Module{File: file, Require: map[string]string{}, Replace: map[string]string{}}
	for _, r := range raw.Require {
		m.Require[r.Path] = r.Version
	}
	for _, r := range raw.Replace {
		m.Replace[r.Old.Path] = r.New.Path
	}
	return m, nil
}

// Pins finds modules that two go.mod files require at different versions. It looks at the modules that build
// Prow or Kubernetes code: where all of them agree, a cold build compiles what they share once.
func Pins(modules []Module) []Problem {
	var problems []Problem
	first := map[string]Module{}
	for _, m := range modules {
		if !heavy(m) || apart(m) {
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(m.Require)) {
			before, seen := first[path]
			if !seen {
				first[path] = m
				continue
			}
			if want, got := before.Require[path], m.Require[path]; want != got {
				problems = append(problems, Problem{m.File, fmt.Sprintf("%s %s, but %s has %s: go mod edit -require=%s@%s && go mod tidy",
					path, got, before.File, want, path, want)})
			}
		}
	}
	return problems
}

func heavy(m Module) bool {
	for path := range m.Require {
		if path == "sigs.k8s.io/prow" || path == "k8s.io/client-go" || path == "k8s.io/kubernetes" {
			return true
		}
	}
	return false
}

// apart says that a module's programs do not build at the versions of the others, or share little with them. Boskos has stayed
// with Kubernetes 1.28; cosign takes a corner of it, and kpromo one of years ago.
func apart(m Module) bool {
	return slices.Contains([]string{"tools/boskos/go.mod", "tools/cosign/go.mod", "tools/kpromo/go.mod"}, m.File)
}

// Replacements finds replace directives other than e2e's view of this repository. A program of Kubernetes names
// its staging repositories by replace; its module under tools/ may.
func Replacements(modules []Module) []Problem {
	var problems []Problem
	for _, m := range modules {
		for _, old := range slices.Sorted(maps.Keys(m.Replace)) {
			to := m.Replace[old]
			ours := m.File == "e2e/go.mod" && old == "sigs.k8s.io/steward" && to == "../"
			staging := strings.HasPrefix(m.File, "tools/") && strings.HasPrefix(old, "k8s.io/") && old == to
			if !ours && !staging {
				problems = append(problems, Problem{m.File, "replaces " + old + ": importers of this module would build something else"})
			}
		}
	}
	return problems
}

// Graph is the import graph of a build: import path to the paths it imports, tests included where asked for.
type Graph map[string][]string

// ReadGraph lists all packages that go into the builds of the patterns; test adds their tests.
func ReadGraph(root string, test bool, patterns ...string) (Graph, error) {
	args := []string{"list", "-deps", "-json=ImportPath,Imports"}
	if test {
		args = append(args, "-test")
	}
	out, err := output(root, "go", append(args, patterns...)...)
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	g := Graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("list packages: %w", err)
		}
		g[p.ImportPath] = p.Imports
	}
	return g, nil
}

// output runs a program in a folder and returns what it prints; its complaints become the error.
func output(dir, program string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stderr = dir, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Links finds forbidden packages in a build and names an importer of each. A forbidden path that ends in "/..."
// stands for all below it as well.
func Links(g Graph, forbidden []string, why string) []Problem {
	var problems []Problem
	for _, from := range slices.Sorted(maps.Keys(g)) {
		for _, to := range g[from] {
			banned := func(pattern string) bool { return covers(pattern, to) && !covers(pattern, from) }
			if slices.ContainsFunc(forbidden, banned) {
				problems = append(problems, Problem{from, "imports " + to + ": " + why})
			}
		}
	}
	return problems
}

func covers(pattern, importPath string) bool {
	parent, all := strings.CutSuffix(pattern, "/...")
	return importPath == parent || all && under(importPath, parent)
}

// Heavy lists the packages that cost minutes of cold build each; they belong into e2e or tools.
func Heavy() []string {
	prow := []string{
		"cmd/...", "pkg/config", "pkg/flagutil", "pkg/githubeventserver", "pkg/hook", "pkg/metrics",
		"pkg/pluginhelp/externalplugins", "pkg/plugins", "pkg/repoowners",
	}
	return append(in("sigs.k8s.io/prow", prow...),
		"k8s.io/test-infra/testgrid/...", "k8s.io/apiextensions-apiserver/...", "k8s.io/kubernetes/...",
		"go.etcd.io/etcd/...", "github.com/chromedp/chromedp/...", "sigs.k8s.io/boskos/...")
}

// CloudRights lists what a plugin server must not link: the SDKs, the adapters that change a cloud, the fakes.
func CloudRights() []string {
	return append(in("sigs.k8s.io/steward/internal", "clouddns", "route53", "rfc2136", "powerdns", "gcp", "aws",
		"gcs", "s3", "registry", "signing", "cloudfake", "ghfake", "kubefake", "scripttest"),
		"cloud.google.com/go/...", "google.golang.org/api/...", "github.com/aws/...", "github.com/google/go-containerregistry/...",
		"github.com/sigstore/...")
}
