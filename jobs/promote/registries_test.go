// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"context"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/cloudfake"
)

// registries are many registries at one address, told apart by the name that a request is
// for. Those that are called *.pkg.dev list digests, as Google's do.
type registries struct {
	fake   *cloudfake.Server
	server *httptest.Server

	mu   sync.Mutex
	down []string // hosts that fail
}

func newRegistries() *registries {
	r := &registries{fake: cloudfake.New(cloudfake.Options{})}
	r.fake.OCI.Any()
	r.server = httptest.NewServer(r.fake.Handler())
	return r
}

// address is HOST:PORT.
func (r *registries) address() string { return r.server.Listener.Addr().String() }

// heal forgets requests and faults.
func (r *registries) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, host := range r.down {
		_ = r.fake.OCI.Change(cloudfake.Change{Down: host}) // it was taken before
	}
	r.down = nil
	r.fake.Faults.Heal()
	r.fake.OCI.Clear()
}

// fail lets a host answer 503; "write HOST" for writes alone, "deny HOST" is 403.
func (r *registries) fail(host string) error {
	mode := "all"
	if m, h, ok := strings.Cut(host, " "); ok {
		mode, host = m, h
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = append(r.down, host)
	return r.fake.OCI.Change(cloudfake.Change{Down: host, Mode: mode})
}

// waitFor waits for the request of a number.
func (r *registries) waitFor(ctx context.Context, n int) <-chan struct{} {
	reached := make(chan struct{})
	go func() {
		if r.fake.Faults.Until(ctx, n) == nil {
			close(reached)
		}
	}()
	return reached
}

// count tells how many requests contain a text: METHOD HOST PATH.
func (r *registries) count(method, text string) int {
	n := 0
	for _, q := range r.fake.OCI.Asked() {
		if strings.HasPrefix(q, method) && strings.Contains(q, text) {
			n++
		}
	}
	return n
}

// near leads every host to the one address.
type near struct{ to string }

func (n near) RoundTrip(req *http.Request) (*http.Response, error) {
	there := req.Clone(req.Context())
	there.Host, there.URL.Scheme, there.URL.Host = req.URL.Host, "http", n.to
	resp, err := http.DefaultTransport.RoundTrip(there)
	if resp != nil {
		resp.Request = req // addresses in the answer are relative to it
	}
	return resp, err
}

// image makes the same index of two images for the same seed.
func image(seed int64) (v1.ImageIndex, error) {
	index := v1.ImageIndex(empty.Index)
	for arch := range int64(2) {
		img, err := random.Image(2048, 2, random.WithSource(rand.NewSource(seed*10+arch)))
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img})
	}
	return index, nil
}

// push puts an image into HOST/REPOSITORY, and returns its digest.
func (r *registries) push(repository string, seed int64, tags ...string) (string, error) {
	index, err := image(seed)
	if err != nil {
		return "", err
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	if len(tags) == 0 {
		tags = []string{fmt.Sprintf("build-%d", seed)}
	}
	for _, tag := range tags {
		ref, err := name.NewTag(repository+":"+tag, name.Insecure)
		if err != nil {
			return "", err
		}
		if err := remote.WriteIndex(ref, index, remote.WithTransport(near{r.address()})); err != nil {
			return "", fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return digest.String(), nil
}

// digest returns what a tag stands for; "" for nothing.
func (r *registries) digest(reference string) string {
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err.Error()
	}
	d, err := remote.Head(ref, remote.WithTransport(near{r.address()}))
	if err != nil {
		return ""
	}
	return d.Digest.String()
}

// whole tells whether everything that an image needs is there.
func (r *registries) whole(reference string) error {
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err
	}
	index, err := remote.Index(ref, remote.WithTransport(near{r.address()}))
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, m := range list.Manifests {
		img, err := index.Image(m.Digest)
		if err != nil {
			return err
		}
		layers, err := img.Layers()
		if err != nil {
			return err
		}
		for _, l := range layers {
			body, err := l.Compressed()
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, body)
			if err := slices.DeleteFunc([]error{err, body.Close()}, func(e error) bool { return e == nil }); len(err) > 0 {
				return err[0]
			}
		}
	}
	return nil
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
