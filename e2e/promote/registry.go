// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// bench is registries on ports of one process that are as cheap as can be, so that a benchmark measures clients: layers are
// made when they are read and proven and forgotten when they are written. What they check is what real ones check: a blob
// has its digest, a manifest its parts in the same repository.
type bench struct {
	latency time.Duration

	mu     sync.Mutex
	layers map[string]layer
	small  map[string][]byte          // configs and manifests
	types  map[string]string          // of manifests
	has    map[string]map[string]bool // HOST/PATH to digests; blobs and manifests
	tags   map[string]string          // HOST/PATH:TAG to digest
	open   map[string]*session
	count  map[string]int // requests by method and kind
	given  int64          // bytes of blobs that were read
	taken  int64          // bytes of blobs that were written
}

// layer is a blob that is made from a seed.
type layer struct {
	seed uint64
	size int64
}

func (l layer) open() io.Reader {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(l.seed >> (8 * i))
	}
	return io.LimitReader(rand.NewChaCha8(key), l.size)
}

// session is an upload on its way.
type session struct {
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	size int64
}

func newBench(latency time.Duration) *bench {
	return &bench{
		latency: latency, layers: map[string]layer{}, small: map[string][]byte{}, types: map[string]string{},
		has: map[string]map[string]bool{}, tags: map[string]string{}, open: map[string]*session{}, count: map[string]int{},
	}
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// put stores something in a repository.
func (b *bench) put(repository, digest string) {
	if b.has[repository] == nil {
		b.has[repository] = map[string]bool{}
	}
	b.has[repository][digest] = true
}

// ServeHTTP answers for the registry whose name is in the Host header.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/_") {
		b.control(w, r)
		return
	}
	time.Sleep(b.latency)
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	for _, kind := range []string{"/blobs/uploads/", "/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		repo, ref, ok := strings.Cut(path, kind)
		if !ok {
			continue
		}
		b.tally(r.Method, kind)
		a := &ask{b, w, r, r.Host + "/" + repo, ref}
		switch kind {
		case "/blobs/uploads/":
			a.upload()
		case "/blobs/":
			a.blob()
		case "/manifests/":
			a.manifest()
		case "/tags/":
			a.list()
		default:
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			_, _ = io.WriteString(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
		}
		return
	}
	b.tally(r.Method, "/v2/")
}

func (b *bench) tally(method, kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count[method+" "+strings.Trim(kind, "/")]++
}

// counts is what a client cost.
type counts struct {
	Requests map[string]int
	Given    int64 // bytes of blobs read from all registries: only the source has bytes to give
	Taken    int64
	Tags     map[string]string
}

// control answers /_counts, which also begins to count anew, and /_latency?d=20ms.
func (b *bench) control(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d, err := time.ParseDuration(r.URL.Query().Get("d")); err == nil {
		b.latency = d
	}
	_ = json.NewEncoder(w).Encode(counts{b.count, b.given, b.taken, b.tags}) // the client is gone
	b.count, b.given, b.taken = map[string]int{}, 0, 0
	if r.URL.Query().Get("forget") == "" {
		return
	}
	for repository := range b.has {
		if !strings.Contains(repository, "/staging/") {
			delete(b.has, repository)
		}
	}
	for tag := range b.tags {
		if !strings.Contains(tag, "/staging/") {
			delete(b.tags, tag)
		}
	}
}

// ask is one request about a repository.
type ask struct {
	b    *bench
	w    http.ResponseWriter
	r    *http.Request
	repo string
	ref  string
}

func (a *ask) refuse(status int, code string) {
	a.w.Header().Set("Content-Type", "application/json")
	a.w.WriteHeader(status)
	_, _ = fmt.Fprintf(a.w, `{"errors":[{"code":%q}]}`, code) // the client is gone
}

func (a *ask) list() {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	if a.b.has[a.repo] == nil {
		a.refuse(http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	tags := []string{}
	for tag := range a.b.tags {
		if t, ok := strings.CutPrefix(tag, a.repo+":"); ok {
			tags = append(tags, t)
		}
	}
	_ = json.NewEncoder(a.w).Encode(map[string]any{"name": a.repo, "tags": tags})
}

func (a *ask) blob() {
	a.b.mu.Lock()
	has, l, small := a.b.has[a.repo][a.ref], a.b.layers[a.ref], a.b.small[a.ref]
	a.b.mu.Unlock()
	if !has {
		a.refuse(http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	size, body := l.size, io.Reader(bytes.NewReader(small))
	if l.size > 0 {
		body = l.open()
	} else {
		size = int64(len(small))
	}
	a.w.Header().Set("Docker-Content-Digest", a.ref)
	a.w.Header().Set("Content-Type", "application/octet-stream")
	a.w.Header().Set("Content-Length", fmt.Sprint(size))
	if a.r.Method == http.MethodHead {
		return
	}
	n, _ := io.Copy(a.w, body) // the client is gone
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.given += n
}

func (a *ask) manifest() {
	if a.r.Method == http.MethodPut {
		a.putManifest()
		return
	}
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	digest := a.ref
	if d, ok := a.b.tags[a.repo+":"+a.ref]; ok {
		digest = d
	}
	body := a.b.small[digest]
	if !a.b.has[a.repo][digest] || body == nil {
		a.refuse(http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	a.w.Header().Set("Docker-Content-Digest", digest)
	a.w.Header().Set("Content-Type", a.b.types[digest])
	a.w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	if a.r.Method == http.MethodGet {
		_, _ = a.w.Write(body) // the client is gone
	}
}

func (a *ask) putManifest() {
	body, err := io.ReadAll(a.r.Body)
	var m struct {
		Config            struct{ Digest string }
		Layers, Manifests []struct{ Digest string }
	}
	if err != nil || json.Unmarshal(body, &m) != nil {
		a.refuse(http.StatusBadRequest, "MANIFEST_INVALID")
		return
	}
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	parts := append(m.Layers, m.Manifests...)
	if m.Config.Digest != "" {
		parts = append(parts, m.Config)
	}
	for _, p := range parts {
		if !a.b.has[a.repo][p.Digest] {
			a.refuse(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return
		}
	}
	digest := digestOf(body)
	a.b.small[digest], a.b.types[digest] = body, a.r.Header.Get("Content-Type")
	a.b.put(a.repo, digest)
	if !strings.HasPrefix(a.ref, "sha256:") {
		a.b.tags[a.repo+":"+a.ref] = digest
	}
	a.w.Header().Set("Docker-Content-Digest", digest)
	a.w.WriteHeader(http.StatusCreated)
}

// upload takes blobs in all the ways of the specification.
func (a *ask) upload() {
	query := a.r.URL.Query()
	switch {
	case a.r.Method == http.MethodPost && query.Get("mount") != "":
		a.b.mu.Lock()
		from := a.r.Host + "/" + query.Get("from")
		can := a.b.has[from][query.Get("mount")]
		if can {
			a.b.put(a.repo, query.Get("mount"))
		}
		a.b.mu.Unlock()
		if can {
			a.w.WriteHeader(http.StatusCreated)
			return
		}
		a.begin()
	case a.r.Method == http.MethodPost && query.Get("digest") == "":
		a.begin()
	case a.r.Method == http.MethodPost:
		a.take(&session{sum: sha256.New()}, query.Get("digest"))
	default:
		a.b.mu.Lock()
		s := a.b.open[a.ref]
		a.b.mu.Unlock()
		if s == nil {
			a.refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
			return
		}
		a.take(s, query.Get("digest"))
	}
}

func (a *ask) begin() {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	id := fmt.Sprint(len(a.b.open))
	a.b.open[id] = &session{sum: sha256.New()}
	a.w.Header().Set("Location", a.r.URL.Path+id)
	a.w.Header().Set("Range", "0-0")
	a.w.WriteHeader(http.StatusAccepted)
}

// take reads a part of a blob, and all of it where a digest says that it ends here.
func (a *ask) take(s *session, digest string) {
	n, err := io.Copy(s.sum, a.r.Body)
	if err != nil {
		a.refuse(http.StatusBadRequest, "SIZE_INVALID")
		return
	}
	s.size += n
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.taken += n
	switch {
	case digest == "":
		a.w.Header().Set("Location", a.r.URL.Path)
		a.w.Header().Set("Range", fmt.Sprintf("0-%d", s.size-1))
		a.w.WriteHeader(http.StatusAccepted)
	case "sha256:"+hex.EncodeToString(s.sum.Sum(nil)) != digest:
		a.refuse(http.StatusBadRequest, "DIGEST_INVALID")
	default:
		a.b.put(a.repo, digest)
		a.w.Header().Set("Docker-Content-Digest", digest)
		a.w.WriteHeader(http.StatusCreated)
	}
}
