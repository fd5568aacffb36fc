// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/manifest"
)

const tree = "registry.k8s.io"

// realTree is the k8s.io repository; a test that wants it is skipped where it is not.
func realTree(tb testing.TB) fs.FS {
	tb.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("the real k8s.io tree is not here: ", err)
	}
	return os.DirFS(dir)
}

// snapshot writes the inventory of mirrors that hold what a set declares, and nothing else.
func snapshot(w io.Writer, set *manifest.Set, mirrors []string) error {
	out := bufio.NewWriter(w)
	comma := "{"
	for m, root := range set.Mirrors {
		if !slices.Contains(mirrors, root) {
			continue
		}
		for _, i := range set.Images {
			c := i.At(m)
			if len(c.Digests) == 0 {
				continue
			}
			tags := map[string][]string{}
			for d := range c.Digests {
				tags[d] = []string{}
			}
			for t, claim := range c.Tags {
				tags[claim.Digests[0]] = append(tags[claim.Digests[0]], t)
			}
			raw, err := json.Marshal(tags)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s\n%q: %s", comma, root+"/"+i.Path, raw)
			comma = ","
		}
	}
	if comma == "{" {
		fmt.Fprint(out, comma)
	}
	fmt.Fprintln(out, "}")
	return out.Flush()
}

// planned plans a tree with an inventory.
func planned(tb testing.TB, files fs.FS, inventory io.Reader) (targets, tags, faults int) {
	tb.Helper()
	set, problems, err := manifest.Load(files, tree)
	if err != nil {
		tb.Fatal(err)
	}
	c := Compare(set, problems, nil)
	if err := c.ReadInventory(inventory); err != nil {
		tb.Fatal(err)
	}
	projects, err := c.Projects("")
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range projects {
		faults += len(p.Faults)
		for _, s := range p.Plan.Steps {
			targets += len(s.Change.Mirrors)
			tags += len(s.Change.Mirrors) * max(1, len(s.Change.Tags))
		}
	}
	return targets, tags, faults
}

// TestRealTree (PR-8): without anything in production all 720,456 tags are to be put,
// which is what the tree declares but for the 22 of the digest that is none; with all of
// it, nothing is.
func TestRealTree(t *testing.T) {
	files := realTree(t)
	if _, tags, faults := planned(t, files, strings.NewReader("{}")); tags != 720_456 || faults != 0 {
		t.Errorf("with nothing in production: %d tags, %d faults", tags, faults)
	}
	if targets, _, faults := planned(t, files, full(t, files)); targets != 0 || faults != 0 {
		t.Errorf("with everything in production: %d targets, %d faults", targets, faults)
	}
}

// full is a file with the inventory of everything.
func full(tb testing.TB, files fs.FS) *os.File {
	tb.Helper()
	set, _, err := manifest.Load(files, tree)
	if err != nil {
		tb.Fatal(err)
	}
	f, err := os.Create(filepath.Join(tb.TempDir(), "inventory.json"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	if err := snapshot(f, set, set.Mirrors); err != nil {
		tb.Fatal(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		tb.Fatal(err)
	}
	return f
}

func BenchmarkPlan(b *testing.B) {
	files := realTree(b)
	inventory := full(b, files)
	for name, open := range map[string]func() io.Reader{
		"nothing":    func() io.Reader { return strings.NewReader("{}") },
		"everything": func() io.Reader { _, _ = inventory.Seek(0, io.SeekStart); return inventory },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				planned(b, files, open())
			}
		})
	}
}
