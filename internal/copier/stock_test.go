// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// stock is a registry in memory, of all hosts. It checks nothing, so that what it has is what it was sent.
type stock struct {
	// before is called with each request, such as "put one.test/a:v1", and may hold it up or fail it; nil does neither.
	before func(ctx context.Context, request string) error

	mu        sync.Mutex
	manifests map[string]string // by REPOSITORY@DIGEST
	blobs     map[string]string // by REPOSITORY@DIGEST
	tags      map[string]string // REPOSITORY:TAG to digest
	asked     map[string]int    // requests
}

func newStock() *stock {
	return &stock{manifests: map[string]string{}, blobs: map[string]string{}, tags: map[string]string{}, asked: map[string]int{}}
}

func nameOf(repository, reference string) string {
	if manifest.IsDigest(reference) {
		return repository + "@" + reference
	}
	return repository + ":" + reference
}

func (s *stock) ask(ctx context.Context, what, repository, reference string) error {
	request := what + " " + nameOf(repository, reference)
	s.mu.Lock()
	s.asked[request]++
	s.mu.Unlock()
	if s.before == nil {
		return nil
	}
	return s.before(ctx, request)
}

func (s *stock) lookUp(repository, reference string) (digest, body string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest = reference
	if manifest.IsTag(reference) {
		digest = s.tags[nameOf(repository, reference)]
	}
	body, ok := s.manifests[nameOf(repository, digest)]
	if !ok {
		return "", "", manifest.ErrNoManifest
	}
	return digest, body, nil
}

func (s *stock) Manifest(ctx context.Context, repository, reference string) ([]byte, string, error) {
	if err := s.ask(ctx, "manifest", repository, reference); err != nil {
		return nil, "", err
	}
	_, body, err := s.lookUp(repository, reference)
	return []byte(body), "", err
}

func (s *stock) Resolve(ctx context.Context, repository, reference string) (string, error) {
	if err := s.ask(ctx, "resolve", repository, reference); err != nil {
		return "", err
	}
	digest, _, err := s.lookUp(repository, reference)
	return digest, err
}

func (s *stock) Tags(context.Context, string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for name := range s.tags {
		_, tag, _ := strings.Cut(name, ":")
		all = append(all, tag)
	}
	return all, nil
}

func (s *stock) Referrers(context.Context, string, string) ([]string, error) { return nil, nil }

func (s *stock) blob(repository, digest string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.blobs[nameOf(repository, digest)]
	return body, ok
}

func (s *stock) Blob(ctx context.Context, repository, digest string, _ int64) (io.ReadCloser, error) {
	if err := s.ask(ctx, "blob", repository, digest); err != nil {
		return nil, err
	}
	body, ok := s.blob(repository, digest)
	if !ok {
		return nil, audit.Fail(finding.NotFound, "%s@%s is lost", repository, digest)
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

func (s *stock) HasBlob(ctx context.Context, repository, digest string) (size int64, has bool, err error) {
	body, ok := s.blob(repository, digest)
	return int64(len(body)), ok, s.ask(ctx, "has", repository, digest)
}

func (s *stock) Upload(ctx context.Context, repository, digest string, size int64, from string, open func(context.Context) (io.ReadCloser, error)) (mounted bool, err error) {
	if err := s.ask(ctx, "upload", repository, digest); err != nil {
		return false, err
	}
	body, mounted := s.blob(from, digest)
	if !mounted {
		if body, err = s.receive(ctx, repository, digest, open); err != nil {
			return false, err
		}
		if int64(len(body)) != size {
			return false, audit.Fail(finding.Malformed, "%s@%s has %d bytes, not %d", repository, digest, len(body), size)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[nameOf(repository, digest)] = body
	return mounted, nil
}

func (s *stock) receive(ctx context.Context, repository, digest string, open func(context.Context) (io.ReadCloser, error)) (string, error) {
	r, err := open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := s.ask(ctx, "opened", repository, digest); err != nil {
		return "", err
	}
	body, err := io.ReadAll(r)
	return string(body), err
}

func (s *stock) PutManifest(ctx context.Context, repository, reference, _ string, body []byte) (referrer bool, err error) {
	if err := s.ask(ctx, "put", repository, reference); err != nil {
		return false, err
	}
	s.put(repository, reference, string(body))
	return true, nil
}

// put is what somebody puts there.
func (s *stock) put(repository, reference, body string) (digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	digest = manifest.DigestOf([]byte(body))
	s.manifests[nameOf(repository, digest)] = body
	if manifest.IsTag(reference) {
		s.tags[nameOf(repository, reference)] = digest
	}
	return digest
}

// keep is a blob that somebody puts there.
func (s *stock) keep(repository, body string) descriptor {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := descriptorOf(body)
	s.blobs[nameOf(repository, d.Digest)] = body
	return d
}

func descriptorOf(body string) descriptor {
	return descriptor{"application/octet-stream", manifest.DigestOf([]byte(body)), int64(len(body))}
}

// build puts an image of these layers into a repository, with so many bytes that mean nothing in its manifest.
func (s *stock) build(repository string, padding int, layers ...string) (digest string) {
	var parts []string
	for _, l := range append([]string{"config of " + repository}, layers...) {
		d := s.keep(repository, l)
		parts = append(parts, part(d.Digest, int(d.Size), d.MediaType))
	}
	return s.put(repository, "built", padded(anImage(parts[0], parts[1:]...), padding))
}

// padded has an annotation more.
func padded(body string, bytes int) string {
	return strings.TrimSuffix(body, "}") + `,"annotations":{"padding":"` + strings.Repeat("x", bytes) + `"}}`
}

// many are different layers.
func many(name string, n int) (layers []string) {
	for i := range n {
		layers = append(layers, fmt.Sprint(name, i))
	}
	return layers
}
