// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
)

// realTree is the k8s.io repository; a test that wants it is skipped where it is not.
func realTree(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join("..", "..", "..", "shared", "data", "k8s.io")
	if _, err := os.Stat(dir); err != nil {
		tb.Skip("the real k8s.io tree is not here: ", err)
	}
	return dir
}

// TestRealTree counts what the promoter makes of the tree: 20,019 lines with digests
// and 20,086 tags, of which one digest has 63 digits (with one tag) and two are repeated.
func TestRealTree(t *testing.T) {
	set, problems, err := Load(os.DirFS(realTree(t)), "registry.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, p := range problems {
		said = append(said, p.Position()+" "+p.Rule)
	}
	const images = "registry.k8s.io/images/"
	if want := []string{
		images + "k8s-staging-ingress-nginx/images.yaml:152 MANIFEST-6",
		images + "k8s-staging-sig-storage/images.yaml:258 MANIFEST-2",
		images + "k8s-staging-sig-storage/images.yaml:260 MANIFEST-2",
	}; !slices.Equal(said, want) {
		t.Errorf("problems: %v", said)
	}
	got := map[string]int{"manifests": len(set.Manifests), "mirrors": len(set.Mirrors), "images": len(set.Images)}
	for _, m := range set.Manifests {
		if !m.Whole {
			t.Errorf("%s is not whole", m.File)
		}
		got["most destinations"] = max(got["most destinations"], len(m.Destinations))
		for _, e := range m.Entries {
			got["digests"] += len(e.Digests)
			for _, d := range e.Digests {
				got["tags"] += len(d.Tags)
			}
		}
	}
	for _, i := range set.Images {
		got["repositories"] += len(i.On())
		got["tags of a mirror"] += len(i.At(0).Tags)
	}
	if want := map[string]int{
		"manifests": 75, "mirrors": 22, "images": 447, "repositories": 9834, "digests": 20016, "tags": 20085,
		"tags of a mirror": 32748, "most destinations": 66,
	}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// BenchmarkLoadRealTree reports what the set keeps besides what loading takes.
func BenchmarkLoadRealTree(b *testing.B) {
	files := os.DirFS(realTree(b))
	b.ReportAllocs()
	before := heap()
	var set *Set
	for b.Loop() {
		var err error
		if set, _, err = Load(files, "registry.k8s.io"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/(1<<20), "MiB-kept")
	runtime.KeepAlive(set)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
