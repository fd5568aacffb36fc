// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// registries are many registries at one address, told apart by the name that a request is
// for. Those that are called *.pkg.dev list digests, as Google's do.
type registries struct {
	server *httptest.Server

	mu       sync.Mutex
	hosts    map[string]http.Handler
	held     map[string]map[string]bool // digests of HOST/REPOSITORY
	down     map[string]bool            // hosts that answer 503; "write HOST" for writes alone, "deny HOST" for 403
	requests []string                   // METHOD HOST PATH
	reached  chan struct{}              // closed at the request of number until
	until    int
}

func newRegistries() *registries {
	r := &registries{hosts: map[string]http.Handler{}, held: map[string]map[string]bool{}, down: map[string]bool{}}
	r.server = httptest.NewServer(r)
	return r
}

// address is HOST:PORT.
func (r *registries) address() string { return r.server.Listener.Addr().String() }

// ServeHTTP implements http.Handler.
func (r *registries) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	handler, failure := r.enter(req)
	if failure != 0 {
		w.WriteHeader(failure)
		return
	}
	rest := strings.TrimPrefix(req.URL.Path, "/v2/")
	repository, _, isManifest := strings.Cut(rest, "/manifests/")
	if list, isList := strings.CutSuffix(rest, "/tags/list"); isList && strings.HasSuffix(req.Host, ".pkg.dev") {
		r.list(w, handler, req, req.Host+"/"+list)
		return
	}
	// A body is read whole first: the registry below holds a lock while it reads one, and
	// what is sent may be coming from the same registry.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	if req.Method == http.MethodPut && isManifest {
		sum := sha256.Sum256(body)
		r.hold(req.Host+"/"+repository, "sha256:"+hex.EncodeToString(sum[:]))
	}
	handler.ServeHTTP(w, req)
}

func (r *registries) enter(req *http.Request) (h http.Handler, failure int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.Host+" "+req.URL.Path)
	if len(r.requests) == r.until {
		close(r.reached)
	}
	h = r.hosts[req.Host]
	if h == nil {
		h = registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
		r.hosts[req.Host] = h
	}
	read := req.Method == http.MethodGet || req.Method == http.MethodHead
	switch {
	case r.down[req.Host], !read && r.down["write "+req.Host]:
		failure = http.StatusServiceUnavailable
	case r.down["deny "+req.Host]:
		failure = http.StatusForbidden
	}
	return h, failure
}

func (r *registries) hold(repository, digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held[repository] == nil {
		r.held[repository] = map[string]bool{}
	}
	r.held[repository][digest] = true
}

// list answers as Google does: with digests, and what of their tags is known.
func (r *registries) list(w http.ResponseWriter, h http.Handler, req *http.Request, repository string) {
	inner := httptest.NewRecorder()
	h.ServeHTTP(inner, req)
	if inner.Code != http.StatusOK {
		w.WriteHeader(inner.Code)
		_, _ = w.Write(inner.Body.Bytes())
		return
	}
	var answer struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}
	_ = json.Unmarshal(inner.Body.Bytes(), &answer)
	type entry struct {
		Tag []string `json:"tag"`
	}
	all := map[string]*entry{}
	r.mu.Lock()
	for d := range r.held[repository] {
		all[d] = &entry{}
	}
	r.mu.Unlock()
	for _, tag := range answer.Tags {
		head := httptest.NewRecorder()
		h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, "/v2/"+answer.Name+"/manifests/"+tag, nil))
		if e := all[head.Header().Get("Docker-Content-Digest")]; e != nil {
			e.Tag = append(e.Tag, tag)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"name": answer.Name, "tags": answer.Tags, "child": []string{}, "manifest": all})
}

// heal forgets requests and faults.
func (r *registries) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.down, r.until = nil, map[string]bool{}, 0
}

func (r *registries) fail(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down[host] = true
}

// waitFor waits for the request of a number.
func (r *registries) waitFor(n int) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until, r.reached = n, make(chan struct{})
	return r.reached
}

// count tells how many requests contain a text.
func (r *registries) count(method, text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, q := range r.requests {
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
