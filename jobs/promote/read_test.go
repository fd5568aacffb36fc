// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
)

// shelf is a registry that holds nothing, of which one host is down.
type shelf struct {
	Registry
	down   string
	reason finding.Reason // why; Unavailable if empty

	mu    sync.Mutex
	asked map[string]int // by host
}

func (s *shelf) Glance(_ context.Context, repository string) (manifest.Listing, []string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, _ := strings.Cut(repository, "/")
	s.asked[host]++
	if host == s.down {
		return manifest.Listing{}, nil, audit.Fail(cmp.Or(s.reason, finding.Unavailable), "down")
	}
	return manifest.Listing{}, nil, manifest.ErrNoRepository
}

func (s *shelf) List(ctx context.Context, repository string) (manifest.Listing, error) {
	l, _, err := s.Glance(ctx, repository)
	return l, err
}

func (s *shelf) Resolve(_ context.Context, repository, reference string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _, _ := strings.Cut(repository, "/")
	s.asked[host]++
	return reference, nil
}

const readImages = 40

func comparison(t *testing.T) *promotion.Comparison {
	t.Helper()
	var images strings.Builder
	for i := range readImages {
		fmt.Fprintf(&images, "- {name: x%d, dmap: {\"sha256:%064d\": [v1]}}\n", i, i)
	}
	set, problems, err := manifest.Load(fstest.MapFS{
		"r/manifests/p/promoter-manifest.yaml": {Data: []byte("registries:\n- {name: src.io/p, src: true}\n- name: a.pkg.dev/k/i\n- name: b.pkg.dev/k/i\n")},
		"r/images/p/images.yaml":               {Data: []byte(images.String())},
	}, "r")
	if err != nil {
		t.Fatal(err)
	}
	return promotion.Compare(set, problems, nil)
}

// TestGiveUp (PR-10): a host that is down is not asked for ever, all that was not read of
// it is a gap, and the others are read.
func TestGiveUp(t *testing.T) {
	for _, reason := range []finding.Reason{finding.Unavailable, finding.TimedOut, finding.Throttled} {
		t.Run(string(reason), func(t *testing.T) { giveUpOne(t, reason) })
	}
}

func giveUpOne(t *testing.T, reason finding.Reason) {
	c := comparison(t)
	s := &shelf{down: "b.pkg.dev", reason: reason, asked: map[string]int{}}
	told := 0
	r := newReader(s, 1, func(string, int, int) { told++ })
	cover, err := r.compare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if s.asked["b.pkg.dev"] != giveUp || s.asked["a.pkg.dev"] != readImages || s.asked["src.io"] != readImages {
		t.Errorf("asked %v", s.asked)
	}
	if cover.Units != 3*readImages || cover.Read != 2*readImages || len(cover.Gaps) != giveUp+1 || told != 3*readImages {
		t.Errorf("coverage %+v, told %d times", cover, told)
	}
	if i := slices.IndexFunc(cover.Gaps, func(g finding.Gap) bool { return g.Scope == "b.pkg.dev" }); i < 0 || !strings.Contains(cover.Gaps[i].Detail, "35 repositories were not asked") {
		t.Errorf("gaps %v", cover.Gaps)
	}
	projects, err := c.Projects("")
	if err != nil || len(projects) != 1 || projects[0].Count() != (promotion.Count{Images: readImages, Tags: readImages, Targets: readImages, Mirrors: 1}) {
		t.Errorf("projects %+v, %v", projects, err)
	}
}

// TestAddGivesUp: of a host that is down, the staging registries that were not asked any more are gaps as well.
func TestAddGivesUp(t *testing.T) {
	files := fstest.MapFS{}
	for i := range giveUp + 2 {
		files[fmt.Sprintf("r/manifests/p%d/promoter-manifest.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "registries:\n- {name: src.io/p%d, src: true}\n- name: a.pkg.dev/k/i\n", i)}
		files[fmt.Sprintf("r/images/p%d/images.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "- {name: x, dmap: {\"sha256:%064d\": [v1]}}\n", i)}
	}
	set, _, err := manifest.Load(files, "r")
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{down: "src.io", asked: map[string]int{}}
	a := &adding{reader: newReader(s, 1, func(string, int, int) {}), declared: declared{set: set}, choose: func(string) (*choice, error) {
		return &choice{named: []string{"x"}, tag: func(string) bool { return true }}, nil
	}}
	proposals, err := a.all(t.Context())
	if err != nil || len(proposals) != 0 || s.asked["src.io"] != giveUp || len(a.cover.Gaps) != giveUp+2 {
		t.Errorf("%d proposals, asked %v, gaps %v, %v", len(proposals), s.asked, a.cover.Gaps, err)
	}
}

// TestEnds: a context that ended is an error, not an empty registry.
func TestEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r := newReader(&shelf{asked: map[string]int{}}, 4, func(string, int, int) {})
	if _, err := r.compare(ctx, comparison(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
