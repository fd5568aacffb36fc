// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const output = `goos: linux
pkg: sigs.k8s.io/steward/e2e/owners
cpu: Example 1000
BenchmarkLoad/prow-2      	     1	2616220211 ns/op	24685080 B/op	  315708 allocs/op
BenchmarkLoad/steward-2   	     1	     300 ns/op	      80 B/op	       2 allocs/op
BenchmarkLoad/prow-2      	     1	1616220211 ns/op	24685080 B/op	  315708 allocs/op
BenchmarkLoad/steward-2   	     1	     100 ns/op	      80 B/op	       2 allocs/op
BenchmarkLoad/prow-2      	     1	9616220211 ns/op	24685080 B/op	  315708 allocs/op
BenchmarkLoad/steward-2   	     1	     200 ns/op	      80 B/op	       2 allocs/op
PASS
pkg: sigs.k8s.io/steward/internal/wal
BenchmarkAppend-2         	  1000	   1234567 ns/op	  3100 events/s	 12 p99-ms	    1500 B/op	       7 allocs/op
`

func TestRender(t *testing.T) {
	all, err := parse(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	got := render(all, 3)
	for _, want := range []string{
		"(Example 1000)",
		"## e2e/owners\n",
		"| Load/prow | 2.62s |  | 24.7 MB | 315708 |  |\n",
		"| Load/steward | 200ns | 7.6e-08 | 80 B | 2 |  |\n",
		"## internal/wal\n",
		"| Append | 1.23ms |  | 1.5 kB | 7 | 12 p99-ms, 3100 events/s |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestParseRefusesNonsense(t *testing.T) {
	if _, err := parse(strings.NewReader("BenchmarkLoad-2 1 fast ns/op\n")); err == nil {
		t.Error("a value that is no number is taken")
	}
}

// What is written by hand stays, and a page without the marker is not overwritten.
func TestWritePage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, c := range []struct {
		page, want string
		ok         bool
	}{
		{"# Prose\n" + marker + "old\n", "# Prose\n" + marker + "new\n", true},
		{"# Prose\n", "# Prose\n", false},
	} {
		if err := os.WriteFile(file, []byte(c.page), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := writePage(file, func(string) (string, error) { return "new\n", nil }); (err == nil) != c.ok {
			t.Errorf("write over %q: %v", c.page, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != c.want {
			t.Errorf("page is %q, %v", got, err)
		}
	}
}

// The tables of some packages are written anew, where they stood or at the end.
func TestMerge(t *testing.T) {
	const old = "\nhere\n\n## a\n\n| 1 |\n\n## b\n\n| 2 |\n\n## b/c\n\n| 3 |\n"
	got, err := merge(old, "\nhere\n\n## b\n\n| 20 |\n\n## d\n\n| 4 |\n")
	if want := "\nhere\n\n## a\n\n| 1 |\n\n## b\n\n| 20 |\n\n## b/c\n\n| 3 |\n\n## d\n\n| 4 |\n"; err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := merge(old, "\nelsewhere\n\n## b\n\n| 20 |\n"); err == nil {
		t.Error("tables of two machines stand on one page")
	}
}
