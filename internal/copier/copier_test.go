// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
)

var _ copier.Registry = (*registry.Registry)(nil)

// server is a registry of another implementation on loopback, with faults and a record.
type server struct {
	*httptest.Server
	fault.Engine
	at string

	mu   sync.Mutex
	sent int64 // bytes of blobs that it gave away
}

func serve(t *testing.T) *server {
	t.Helper()
	s := &server{}
	inner := ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0)))
	wrong := func(code int, _ string) (string, []byte) {
		word := map[int]string{403: "DENIED", 404: "BLOB_UNKNOWN", 429: "TOOMANYREQUESTS"}[code]
		return "application/json", fmt.Appendf(nil, `{"errors":[{"code":%q}]}`, word)
	}
	faulty := s.Handler(inner, wrong)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w = &counted{w, s}
		}
		faulty.ServeHTTP(w, r)
	}))
	// A request that hangs ends with the server: who sends a body is not seen to leave.
	base, cancel := context.WithCancel(context.Background())
	s.Config.BaseContext = func(net.Listener) context.Context { return base }
	s.Start()
	t.Cleanup(func() {
		cancel()
		s.Close()
	})
	s.at = strings.TrimPrefix(s.URL, "http://")
	return s
}

type counted struct {
	http.ResponseWriter
	s *server
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.sent += int64(n)
	return n, err
}

func client(t *testing.T, change func(*registry.Options)) *registry.Registry {
	t.Helper()
	opts := registry.Options{
		HTTP: httpread.Options{Attempts: 2, Timeout: 2 * time.Second, Backoff: time.Microsecond},
		Pace: pace.Options{Rate: 1e6},
	}
	if change != nil {
		change(&opts)
	}
	r, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// index puts an index of platforms with layers each at a repository, and returns its digest
// and the bytes of all its blobs.
func index(t *testing.T, repository string, platforms int, layers int64, size int64) (digest string, bytes int64) {
	t.Helper()
	var all v1.ImageIndex = empty.Index
	for range platforms {
		img, err := random.Image(size, layers)
		must(t, err)
		m, err := img.Manifest()
		must(t, err)
		bytes += m.Config.Size
		for _, l := range m.Layers {
			bytes += l.Size
		}
		all = mutate.AppendManifests(all, mutate.IndexAddendum{Add: img})
	}
	repo, err := name.NewRepository(repository)
	must(t, err)
	must(t, remote.WriteIndex(repo.Tag("built"), all))
	h, err := all.Digest()
	must(t, err)
	return h.String(), bytes
}

// whole fails unless everything that a reference stands for is at a registry.
func whole(t *testing.T, reference, digest string) {
	t.Helper()
	ref, err := name.ParseReference(reference)
	must(t, err)
	got, err := remote.Index(ref)
	if err != nil {
		t.Errorf("%s: %v", reference, err)
		return
	}
	if h, err := got.Digest(); err != nil || h.String() != digest {
		t.Errorf("%s is %s, want %s, %v", reference, h, digest, err)
	}
	m, err := got.IndexManifest()
	must(t, err)
	for _, d := range m.Manifests {
		img, err := got.Image(d.Digest)
		if err == nil {
			err = read(img)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", reference, d.Digest, err)
		}
	}
}

// read reads all blobs of an image; the client checks what they are.
func read(img v1.Image) error {
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	for _, l := range layers {
		body, err := l.Compressed()
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return err
		}
		body.Close()
	}
	return nil
}

func clean(t *testing.T, outcomes []copier.Outcome) {
	t.Helper()
	for _, o := range outcomes {
		if o.Err != nil {
			t.Errorf("job %d, target %d: %v", o.Job, o.Target, o.Err)
		}
	}
}

// CP-1, CP-2: one read of the source for two hosts with two repositories each.
func TestCopy(t *testing.T) {
	from, one, two := serve(t), serve(t), serve(t)
	digest, bytes := index(t, from.at+"/staging/pause", 3, 2, 3<<20)
	from.Heal()
	from.sent = 0
	var targets []copier.Target
	for _, s := range []*server{one, two} {
		for _, prefix := range []string{"/images/pause", "/images/kubernetes/pause"} {
			targets = append(targets, copier.Target{Repository: s.at + prefix, Tags: []string{"v1", "v1.0"}, Known: copier.Known{New: true}})
		}
	}
	r := client(t, nil)
	var last copier.Event
	clean(t, copier.New(r, r, copier.Options{Dir: t.TempDir()}).Copy(t.Context(), []copier.Job{{Source: from.at + "/staging/pause", Digest: digest, Targets: targets}}, func(e copier.Event) { last = e }))
	for _, target := range targets {
		whole(t, target.Repository+":v1", digest)
		whole(t, target.Repository+":v1.0", digest)
	}
	if from.sent != bytes || last.Read != bytes {
		t.Errorf("%d bytes were sent and %d read, the image has %d", from.sent, last.Read, bytes)
	}
	if last.Done != 4 || last.Total != 4 {
		t.Errorf("the last event is %+v", last)
	}
}
