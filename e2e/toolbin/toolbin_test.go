// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package toolbin

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes a root with one tools module whose one program is its own.
func repository(t *testing.T, source string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":            "module example.com/demo\n\ngo 1.26.0\n\ntool example.com/demo/cmd/hello\n",
		"go.sum":            "",
		"cmd/hello/main.go": source,
	} {
		put(t, filepath.Join(root, "tools", "demo", name), content)
	}
	return root
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// built lists what stands in the cache.
func built(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, ".cache", "tools"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The programs are built once, and again when the pins change; what the old pins gave is dropped.
func TestBuildOncePerPin(t *testing.T) {
	root := repository(t, "package main\n\nfunc main() {}\n")
	first, cached, err := Build(t.Context(), root, "demo")
	if err != nil || cached {
		t.Fatalf("first build: cached %t, %v", cached, err)
	}
	if _, err := os.Stat(filepath.Join(first, "hello")); err != nil {
		t.Error(err)
	}
	if again, cached, err := Build(t.Context(), root, "demo"); again != first || !cached || err != nil {
		t.Errorf("second build: %s, cached %t, %v", again, cached, err)
	}
	put(t, filepath.Join(root, "tools", "demo", "go.sum"), "\n")
	second, cached, err := Build(t.Context(), root, "demo")
	if err != nil || cached || second == first {
		t.Errorf("build of other pins: %s, cached %t, %v", second, cached, err)
	}
	if got := built(t, root); len(got) != 1 || got[0] != filepath.Base(second) {
		t.Errorf("the cache holds %q", got)
	}
}

// A build that fails says why and leaves nothing that a later run would take for a result.
func TestFailedBuildLeavesNothing(t *testing.T) {
	root := repository(t, "package main\n\nfunc main() { undefined() }\n")
	_, _, err := Build(t.Context(), root, "demo")
	if err == nil || !strings.Contains(err.Error(), "build tools/demo: ") || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("error: %v", err)
	}
	if got := built(t, root); len(got) != 0 {
		t.Errorf("the cache holds %q", got)
	}
}

func TestRoot(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "tools", "prow", "go.mod")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if root, err := Root(); err == nil {
		t.Errorf("outside the repository: %s", root)
	}
}
