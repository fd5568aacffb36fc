// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"testing"
)

// The tests of this file hold the repository itself to the rules; rules_test.go shows that each rule can fail.

const root = "../.."

func report(t *testing.T, problems []Problem) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

func load(t *testing.T, dir, module string) *Tree {
	t.Helper()
	tree, err := Load(os.DirFS(filepath.Join(root, dir)), module)
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Packages) == 0 {
		t.Fatalf("module %s has no packages", module)
	}
	return tree
}

func TestRepositoryImports(t *testing.T) {
	report(t, Steward().Imports(load(t, ".", "sigs.k8s.io/steward")))
}

func TestRepositorySource(t *testing.T) {
	for _, rule := range []struct {
		name  string
		check func(*Tree) []Problem
	}{
		{"Licence", Licence}, {"Documented", Documented}, {"Named", Named}, {"Short", Short},
		{"NoInit", NoInit}, {"NoExit", NoExit}, {"NoSleep", NoSleep}, {"Constant", Constant},
	} {
		t.Run(rule.name, func(t *testing.T) {
			report(t, rule.check(load(t, ".", "sigs.k8s.io/steward")))
			report(t, rule.check(load(t, "e2e", "sigs.k8s.io/steward/e2e")))
		})
	}
}

func TestRepositoryModules(t *testing.T) {
	var modules []Module
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return hidden(name, err)
		}
		if path.Base(name) != "go.mod" {
			return nil
		}
		m, err := ReadModule(root, name)
		modules = append(modules, m)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) < 4 {
		t.Errorf("found %d modules, want root, e2e, tools/lint and tools/prow at least", len(modules))
	}
	report(t, Pins(modules))
	report(t, Replacements(modules))
}

func hidden(name string, err error) error {
	if base := path.Base(name); err == nil && (base == "testdata" || len(base) > 1 && base[0] == '.') {
		return fs.SkipDir
	}
	return err
}

func TestRepositoryIsLight(t *testing.T) {
	g, err := ReadGraph(root, true, "./...")
	if err != nil {
		t.Fatal(err)
	}
	report(t, Links(g, Heavy(), "too heavy for the root module, its place is e2e or tools"))
}

func TestHookHoldsNoCloudRights(t *testing.T) {
	g, err := ReadGraph(root, false, "./cmd/steward-hook")
	if err != nil {
		t.Fatal(err)
	}
	report(t, Links(g, CloudRights(), "the plugin server holds no cloud credential"))
}

func TestRepositoryMentionsNoMachine(t *testing.T) {
	files, err := Tracked(root)
	if err != nil {
		t.Fatal(err)
	}
	// Written apart, or this file would be the first to mention them.
	texts := []string{"/ro" + "ot/", "/wo" + "rk/", "/tmp/" + "brief", "proxy.golang" + ".org", "GOPROXY" + "="}
	problems, err := Mentions(os.DirFS(root), files, texts)
	if err != nil {
		t.Fatal(err)
	}
	report(t, problems)
}
