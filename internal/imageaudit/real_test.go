// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package imageaudit

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/manifest"
)

// realSet is what k8s.io declares; a test that wants it is skipped where it is not.
func realSet(tb testing.TB) *manifest.Set {
	tb.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("the real k8s.io tree is not here: ", err)
	}
	set, _, err := manifest.Load(os.DirFS(dir), "registry.k8s.io")
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// seed is one change, on the mirrors on, and what has to be said of it.
type seed struct {
	want   string
	on     []int
	change func(root string) cloudfake.Change
}

// seeds are ten changes of each kind, spread over the tree, each on another image: on
// all mirrors, on one, on some.
func seeds(set *manifest.Set) []seed {
	var images []*manifest.Image // with two digests that have a tag
	for _, i := range set.Images {
		tagged := 0
		for _, e := range i.Parts[0].Entry.Digests {
			if len(e.Tags) > 0 {
				tagged++
			}
		}
		if tagged >= 2 && len(i.Parts) == 1 {
			images = append(images, i)
		}
	}
	var all []seed
	// add takes a change without its repository.
	add := func(want, repo string, c cloudfake.Change) {
		n := len(all)
		on := [][]int{set.Images[0].On(), {[]int{0, 1, 7, 21}[n%4]}, {1, 7, 21}}[n%3]
		all = append(all, seed{want, on, func(root string) cloudfake.Change {
			at, here := root+"/"+repo, c
			for _, verb := range []*string{&here.Remove, &here.Untag, &here.Tag, &here.Put} {
				if *verb != "" {
					*verb = at + strings.TrimSuffix(*verb, "/")
				}
			}
			return here
		}})
	}
	for n := range 10 {
		next := func(kind int) (string, manifest.Digest, manifest.Digest) {
			i := images[(kind*10+n)*len(images)/60]
			list := slices.DeleteFunc(slices.Clone(i.Parts[0].Entry.Digests), func(d manifest.Digest) bool { return len(d.Tags) == 0 })
			return i.Path, list[0], list[1]
		}
		repo, one, _ := next(0)
		add("IMG-1 "+repo+"@"+one.Digest, repo, cloudfake.Change{Remove: "@" + one.Digest})
		repo, one, _ = next(1)
		add("IMG-2 "+repo+":"+one.Tags[0].Name, repo, cloudfake.Change{Untag: ":" + one.Tags[0].Name})
		repo, one, other := next(2)
		to := []string{other.Digest, d(n + 100)}[n%2]
		add("IMG-3 "+repo+":"+one.Tags[0].Name, repo, cloudfake.Change{Tag: ":" + one.Tags[0].Name, Digest: to})
		repo, one, _ = next(3)
		to = []string{one.Digest, d(n + 200)}[n%2]
		add("IMG-4 "+repo+":undeclared", repo, cloudfake.Change{Tag: ":undeclared", Digest: to})
		repo, _, _ = next(4)
		body := fmt.Sprintf(`{"schemaVersion":2,"n":%d}`, n)
		add("IMG-5 "+repo+"@"+manifest.DigestOf([]byte(body)), repo, cloudfake.Change{Put: "/", MediaType: imageType, Body: body})
		repo, _, _ = next(5)
		repo = path.Join([]string{repo, path.Dir(repo)}[n%2], fmt.Sprintf("undeclared%d", n)) // below an image, and beside it
		add("IMG-6 "+repo, repo, cloudfake.Change{Tag: ":1", Digest: d(n + 300)})
	}
	return all
}

// fewer reads five of the mirrors. The others get the readings of the one on which only
// happened what happened everywhere, so that all are compared.
type fewer struct{ *Collector }

const like = 2

func fewMirrors() []int { return []int{0, 1, like, 7, 21} }

func (f fewer) Units(context.Context) ([]string, error) {
	var names []string
	for _, u := range f.units {
		if slices.Contains(fewMirrors(), u.mirror) {
			names = append(names, u.name)
		}
	}
	return names, nil
}

func (f fewer) Compare(readings map[string]audit.Reading) (audit.Comparison, error) {
	all := maps.Clone(readings)
	for _, u := range f.units {
		if _, read := all[u.name]; !read {
			all[u.name] = readings[strings.Replace(u.name, f.set.Mirrors[u.mirror], f.set.Mirrors[like], 1)]
		}
	}
	return f.Collector.Compare(all)
}

// TestRealImages loads the registries of k8s.io as declared, lets sixty changes happen
// and finds each, and nothing else. Five mirrors are read over HTTP from one server, and
// 22 are compared; BenchmarkReadRealImages reads all.
func TestRealImages(t *testing.T) {
	set := realSet(t)
	w := imageWorld(t, set)
	var want []string
	for _, s := range seeds(set) {
		for _, m := range s.on {
			if err := w.OCI.Change(s.change(set.Mirrors[m])); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, s.want)
	}
	out, err := audit.Run(t.Context(), fewer{New(set, w.reg, nil)}, audit.Options{Parallel: 32})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range out.Findings {
		got = append(got, f.Rule+" "+f.Object)
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("not found: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("made up: %s", line)
		}
	}
	if len(got) != 60 || out.Held != nil || !out.Coverage.Complete() || out.Coverage.Units != 5*(447+1) {
		t.Errorf("%d findings, %+v, %d units, gaps %v", len(got), out.Held, out.Coverage.Units, out.Coverage.Gaps)
	}
	t.Logf("%d requests for %d units, %d objects", len(w.Faults.Requests()), out.Coverage.Units, out.Coverage.Objects)
}

// BenchmarkReadRealImages reads and compares all 9,834 repositories of 22 mirrors.
func BenchmarkReadRealImages(b *testing.B) {
	set := realSet(b)
	w := imageWorld(b, set)
	for b.Loop() {
		w.Faults.Heal()
		out, err := audit.Run(b.Context(), New(set, w.reg, nil), audit.Options{Parallel: 32})
		if err != nil || len(out.Findings) > 0 || !out.Coverage.Complete() {
			b.Fatal(err, said(out.Findings), out.Coverage.Gaps)
		}
		b.ReportMetric(float64(len(w.Faults.Requests())), "requests")
		b.ReportMetric(float64(out.Coverage.Units), "units")
	}
}

// BenchmarkCompareRealImages compares readings of all mirrors, a sixtieth of which
// differ: what is left to do when everything is read.
func BenchmarkCompareRealImages(b *testing.B) {
	set := realSet(b)
	c := New(set, nil, nil)
	readings := map[string]audit.Reading{}
	size := 0
	for n, u := range c.units {
		if u.image == nil {
			continue
		}
		diff := difference{Of: stateOf(u.image.At(u.mirror))}
		if n%60 == 0 {
			diff.Tags = map[string]string{"undeclared": d(n)}
		}
		raw, err := json.Marshal(diff)
		if err != nil {
			b.Fatal(err)
		}
		readings[u.name], size = audit.Reading{Data: raw}, size+len(raw)
	}
	var once sync.Once
	b.ReportAllocs()
	for b.Loop() {
		found, err := c.Compare(readings)
		if err != nil {
			b.Fatal(err)
		}
		once.Do(func() { b.Logf("%d readings of %d KiB, %d findings", len(readings), size>>10, len(found.Found)) })
	}
}
