// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/steward/internal/manifest"
)

// fat puts an index of images into a repository, whose manifests have so many bytes each.
func (s *stock) fat(repository string, children, bytes int) (digest string) {
	var parts []string
	for n := range children {
		config := s.keep(repository, fmt.Sprint(repository, n))
		child := padded(anImage(part(config.Digest, int(config.Size), "")), bytes)
		parts = append(parts, part(s.put(repository, fmt.Sprint("c", n), child), len(child), ociManifest))
	}
	return s.put(repository, "built", anIndex(parts...))
}

// gate holds up requests.
type gate struct {
	mu      sync.Mutex
	waiting map[string]bool // repositories
	open    chan struct{}
}

func newGate() *gate { return &gate{waiting: map[string]bool{}, open: make(chan struct{})} }

func (g *gate) pass(ctx context.Context, request string) error {
	g.mu.Lock()
	_, name, _ := strings.Cut(request, " ")
	g.waiting[name[:strings.IndexAny(name, "@:")]] = true
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// next lets all through that wait, and returns of which repositories they are.
func (g *gate) next() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	waited := slices.Sorted(maps.Keys(g.waiting))
	clear(g.waiting)
	close(g.open)
	g.open = make(chan struct{})
	return waited
}

// CP-21: of images with large manifests one is in memory at a time, what is attached included. Those that wait for it have
// read little.
func TestLargeImagesComeOneByOne(t *testing.T) {
	const images = 6
	for name, c := range map[string]struct {
		build     func(s *stock, source string) string
		manifests int
	}{
		"many children":        {func(s *stock, source string) string { return s.fat(source, 20, 100<<10) }, 21},
		"one manifest":         {func(s *stock, source string) string { return s.build(source, 300<<10) }, 1},
		"the repository's own": {func(s *stock, source string) string { return s.build("one.test/"+source, 300<<10) }, 1},
		"a signature": {func(s *stock, source string) string {
			digest := s.build(source, 0)
			config := s.keep(source, "{}")
			s.put(source, manifest.DigestTag(digest)+".sig", padded(anImage(part(config.Digest, 2, "")), 300<<10))
			return digest
		}, 3}, // the image by its digest, because the signature needs it, and by its tag
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, puts, done := newStock(), newGate(), make(chan []Outcome)
				var jobs []Job
				for n := range images {
					source := fmt.Sprintf("x.test/p/i%d", n)
					jobs = append(jobs, Job{source, c.build(s, source), []Target{{Repository: "one.test/" + source, Tags: []string{"v1"}}}})
				}
				s.before = func(ctx context.Context, request string) error {
					if strings.HasPrefix(request, "put ") {
						return puts.pass(ctx, request)
					}
					return nil
				}
				go func() { done <- New(s, s, Options{Dir: t.TempDir(), Attached: true}).Copy(t.Context(), jobs, nil) }()
				synctest.Wait()
				if n := s.reads("x.test"); n > c.manifests+images*(3+readsAtOnce) {
					t.Errorf("%d manifests were read", n)
				}
				for _, o := range oneByOne(t, puts, done) {
					if o.Err != nil || o.Manifests != c.manifests {
						t.Errorf("%+v", o)
					}
				}
			})
		})
	}
}

// oneByOne lets through what waits, and fails if it is of two images.
func oneByOne(t *testing.T, puts *gate, done chan []Outcome) []Outcome {
	t.Helper()
	for {
		synctest.Wait()
		select {
		case outcomes := <-done:
			return outcomes
		default:
		}
		if at := puts.next(); len(at) > 1 {
			t.Errorf("in memory at once: %v", at)
		}
	}
}

// reads counts the manifests that a host was asked for.
func (s *stock) reads(host string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for request, times := range s.asked {
		if strings.HasPrefix(request, "manifest "+host) {
			n += times
		}
	}
	return n
}

// CP-21: a host that lags behind finds what was read last, and reads the rest again.
func TestManifestsThatAreKept(t *testing.T) {
	for name, c := range map[string]struct{ images, kept, size, layers int }{
		"small": {20, 20, 100, 3},
		"large": {72, 62, 200 << 10, 150}, // by its bytes alone all were kept, and by its parts as well
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, lag := newStock(), make(chan struct{})
				var jobs []Job
				for n := range c.images {
					source := fmt.Sprintf("x.test/p/i%d", n)
					jobs = append(jobs, Job{
						Source: source, Digest: s.build(source, c.size, many("", c.layers)...),
						Targets: []Target{{Repository: "one.test/" + source}, {Repository: "two.test/" + source}},
					})
				}
				s.before = func(_ context.Context, request string) error {
					if strings.HasPrefix(request, "resolve two.test") {
						<-lag
					}
					return nil
				}
				left := c.images
				for _, o := range New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), jobs, func(Event) {
					if left--; left == 0 {
						close(lag)
					}
				}) {
					if o.Err != nil {
						t.Error(o.Err)
					}
				}
				if again, want := s.reads("x.test")-c.images, c.images-c.kept; again < want-5 || again > want+5 {
					t.Errorf("%d manifests were read again, not %d", again, want)
				}
			})
		})
	}
}

// CP-21: large images to hosts of which each has its own pace: none waits for another for ever.
func TestLargeImagesEverywhere(t *testing.T) {
	s := newStock()
	var jobs []Job
	for n := range 12 {
		source := fmt.Sprintf("x.test/p%d/i%d", n%3, n)
		job := Job{Source: source, Digest: s.fat(source, 4, 100<<10*(n%2))}
		if n%4 == 2 {
			job.Digest = s.build(source, 300<<10, many(source, 3)...)
		}
		for h := range 5 {
			for _, prefix := range []string{"a/", "b/"} {
				job.Targets = append(job.Targets, Target{Repository: fmt.Sprintf("h%d.test/%s%s", h, prefix, source), Tags: []string{"v1"}})
			}
		}
		jobs = append(jobs, job)
	}
	for _, o := range New(s, s, Options{Dir: t.TempDir(), PerHost: 1, Downloads: 1, Attached: true}).Copy(t.Context(), jobs, nil) {
		if o.Err != nil {
			t.Error(o.Err)
		}
	}
}
