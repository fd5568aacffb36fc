// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/registry"
)

// world is a source, two hosts, and an index that is to be copied to both.
type world struct {
	from, one, two *server
	jobs           []copier.Job
	digest         string
}

func newWorld(t *testing.T) *world {
	w := &world{from: serve(t), one: serve(t), two: serve(t)}
	w.digest, _ = index(t, w.from.at+"/staging/pause", 2, 1, 2000)
	job := copier.Job{Source: w.from.at + "/staging/pause", Digest: w.digest}
	for _, s := range []*server{w.one, w.two} {
		for _, repo := range []string{"/prod/pause", "/prod/sub/pause"} {
			job.Targets = append(job.Targets, copier.Target{Repository: s.at + repo, Tags: []string{"v1"}})
		}
	}
	w.jobs = []copier.Job{job}
	w.heal()
	return w
}

func (w *world) servers() []*server { return []*server{w.from, w.one, w.two} }

func (w *world) heal() {
	for _, s := range w.servers() {
		s.Heal()
	}
}

// copy copies with a client that knows nothing yet.
func (w *world) copy(t *testing.T, patience time.Duration) []copier.Outcome {
	t.Helper()
	r := client(t, func(o *registry.Options) { o.HTTP.Timeout = patience })
	return copier.New(r, r, copier.Options{Dir: t.TempDir(), Attached: true}).Copy(t.Context(), w.jobs, nil)
}

// sound fails if a tag of the destinations lacks anything, or if a target that succeeded is
// not there.
func (w *world) sound(t *testing.T, outcomes []copier.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		target := w.jobs[o.Job].Targets[o.Target]
		repo, err := name.NewRepository(target.Repository)
		must(t, err)
		for _, tag := range target.Tags {
			if _, err := remote.Head(repo.Tag(tag)); err == nil || o.Err == nil {
				whole(t, target.Repository+":"+tag, w.jobs[o.Job].Digest)
			}
		}
	}
}

// sweep is what goes wrong, once or from then on.
var sweep = []fault.Rule{ //nolint:gochecknoglobals // a table
	{Action: "status", Status: http.StatusForbidden, Times: 1},
	{Action: "status", Status: http.StatusNotFound, Times: 1},
	{Action: "status", Status: http.StatusTooManyRequests, Times: 1},
	{Action: "status", Status: http.StatusInternalServerError, Times: 1},
	{Action: "status", Status: http.StatusInternalServerError, After: true, Times: 1},
	{Action: "status", Status: http.StatusInternalServerError, Times: 1 << 20},
	{Action: "status", Status: http.StatusForbidden, Times: 1 << 20},
	{Action: "reset", Times: 1},
	{Action: "reset", After: true, Times: 1},
	{Action: "reset", Times: 1 << 20},
	{Action: "truncate", Times: 1},
	{Action: "truncate", Times: 1 << 20},
	{Action: "hang", Times: 1},
}

// CP-12: whichever request goes wrong in whichever way, no tag stands for what is not there,
// and a second copy brings the rest.
func TestFaults(t *testing.T) {
	w := newWorld(t)
	clean(t, w.copy(t, time.Minute))
	counts := map[string]int{}
	for i, s := range w.servers() {
		counts[[]string{"source", "one", "two"}[i]] = len(s.Requests())
	}
	for _, rule := range sweep {
		t.Run(fmt.Sprintf("%s %d %v %d", rule.Action, rule.Status, rule.After, rule.Times), func(t *testing.T) {
			t.Parallel()
			patience := time.Minute
			if rule.Action == "hang" {
				patience = 100 * time.Millisecond
			}
			for i, where := range []string{"source", "one"} {
				for n := range counts[where] {
					w := newWorld(t)
					hit := rule
					hit.Nth = n + 1
					must(t, w.servers()[i].Inject(hit))
					outcomes := w.copy(t, patience)
					w.heal()
					w.sound(t, outcomes)
					again := w.copy(t, time.Minute)
					clean(t, again)
					w.sound(t, again)
					if t.Failed() {
						t.Fatalf("%s, request %d", where, n+1)
					}
				}
			}
		})
	}
}

// randomJobs puts images at the source that share layers, and returns jobs to copy them to
// repositories that images share, on several hosts.
func randomJobs(t *testing.T, dice *rand.Rand, from *server, hosts []*server) (jobs []copier.Job, bytes int64) {
	t.Helper()
	var layers []v1.Layer
	for range 4 {
		l, err := random.Layer(int64(1+dice.IntN(200_000)), "application/vnd.oci.image.layer.v1.tar+gzip")
		must(t, err)
		layers = append(layers, l)
	}
	sizes := map[v1.Hash]int64{}
	add := func(blob interface {
		Digest() (v1.Hash, error)
		Size() (int64, error)
	}) {
		h, err := blob.Digest()
		must(t, err)
		sizes[h], err = blob.Size()
		must(t, err)
	}
	for n := range 1 + dice.IntN(5) {
		var all v1.ImageIndex = empty.Index
		for range 1 + dice.IntN(3) {
			var chosen []v1.Layer
			for _, l := range layers {
				if dice.IntN(2) == 0 {
					chosen = append(chosen, l)
					add(l)
				}
			}
			img, err := mutate.AppendLayers(empty.Image, chosen...)
			must(t, err)
			img, err = mutate.Config(img, v1.Config{Labels: map[string]string{"n": fmt.Sprint(dice.IntN(3))}})
			must(t, err)
			config, err := partial.ConfigLayer(img)
			must(t, err)
			add(config)
			all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img})
		}
		source := fmt.Sprintf("%s/staging/i%d", from.at, dice.IntN(2))
		repo, err := name.NewRepository(source)
		must(t, err)
		must(t, remote.WriteIndex(repo.Tag(fmt.Sprint("n", n)), all))
		h, err := all.Digest()
		must(t, err)
		job := copier.Job{Source: source, Digest: h.String()}
		for _, s := range hosts {
			for p := range 1 + dice.IntN(2) {
				job.Targets = append(job.Targets, copier.Target{
					Repository: fmt.Sprintf("%s/p%d/i%d", s.at, p, dice.IntN(2)), Tags: []string{fmt.Sprint("n", n)},
					Known: copier.Known{New: dice.IntN(2) == 0},
				})
			}
		}
		jobs = append(jobs, job)
	}
	for _, size := range sizes {
		bytes += size
	}
	return jobs, bytes
}

// CP-2, CP-12: random images, hosts and failures.
func TestRandom(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
			w := &world{from: serve(t), one: serve(t), two: serve(t)}
			jobs, bytes := randomJobs(t, dice, w.from, []*server{w.one, w.two})
			w.jobs = jobs
			w.heal()
			w.from.sent = 0
			if seed%3 > 0 {
				for i, s := range w.servers() {
					must(t, s.Inject(fault.Rule{Action: []string{"status", "reset", "truncate"}[i], Status: 503, Probability: 0.05, Seed: seed}))
				}
			}
			outcomes := w.copy(t, time.Minute)
			w.heal()
			w.sound(t, outcomes)
			if seed%3 == 0 {
				clean(t, outcomes)
				if w.from.sent != bytes {
					t.Errorf("%d bytes were read, the images have %d", w.from.sent, bytes)
				}
			}
			clean(t, w.copy(t, time.Minute))
			if seed%3 > 0 {
				return
			}
			// What is there is not brought again.
			for _, job := range w.jobs {
				for i := range job.Targets {
					job.Targets[i].Known = copier.Known{}
				}
			}
			for _, o := range w.copy(t, time.Minute) {
				if o.Uploaded+o.Mounted+o.Manifests+len(o.Written) > 0 {
					t.Errorf("again: %+v", o)
				}
			}
		})
	}
}
