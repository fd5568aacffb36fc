// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// What tokens are asked for.
const (
	pullAction = "pull"
	pushAction = "pull,push"
)

// request is one question to a registry.
type request struct {
	method      string
	path        string // with its query
	scopes      []string
	accept      string
	contentType string
	body        []byte
	strict      bool // redirects are answers
	length      int64
	open        func(context.Context) (io.ReadCloser, error) // a body of length bytes that no memory holds
	from, to    int64                                        // a range of bytes, to excluded; 0, 0 is all
	stream      bool                                         // the body of the answer is not read
}

// ask asks a registry and reads the answer whole.
func (r *Registry) ask(ctx context.Context, reg name.Registry, q request) (*http.Response, []byte, error) {
	resp, err := r.send(ctx, reg, q)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	bound := int64(maxListBytes) // in memory already: httpread bounds it
	if q.open != nil {
		bound = maxRefusal
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bound))
	if err != nil {
		return nil, nil, audit.Fail(finding.Unavailable, "%s: the answer ends early", reg)
	}
	return resp, body, nil
}

// send asks a registry. A 401 is asked once more, with another token: tokens end.
func (r *Registry) send(ctx context.Context, reg name.Registry, q request) (*http.Response, error) {
	h, refused := r.host(reg), secret.String{}
	for attempt := 0; ; attempt++ {
		scheme, header, err := h.authorize(ctx, r.client, q.scopes, refused)
		if err != nil {
			return nil, err
		}
		req, err := q.build(ctx, scheme+"://"+reg.RegistryStr())
		if err != nil {
			return nil, err
		}
		if text := header.Reveal(); text != "" {
			req.Header.Set("Authorization", text)
		}
		resp, err := r.clientFor(q).Do(req)
		if err != nil {
			return nil, h.unread(err, "%s does not answer as a registry")
		}
		if resp.StatusCode != http.StatusUnauthorized || header.Reveal() == "" || attempt > 0 {
			return resp, nil
		}
		resp.Body.Close()
		refused = header
	}
}

func (r *Registry) clientFor(q request) *http.Client {
	switch {
	case q.stream || q.open != nil:
		return r.streams
	case q.strict:
		return r.strict
	}
	return r.client
}

func (q request) build(ctx context.Context, base string) (*http.Request, error) {
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, base+q.path, body)
	if err != nil {
		return nil, audit.Fail(finding.Malformed, "%s: not an address", base)
	}
	if q.open != nil {
		opened, err := q.open(ctx)
		if err != nil {
			return nil, err
		}
		req.Body, req.ContentLength = opened, q.length
		if q.length == 0 {
			opened.Close()
			req.Body = http.NoBody
		}
	}
	if q.accept != "" {
		req.Header.Set("Accept", q.accept)
	}
	if q.contentType != "" {
		req.Header.Set("Content-Type", q.contentType)
	}
	if q.stream {
		req.Header.Set("Accept-Encoding", "identity") // the bytes that have the digest
	}
	if q.to > 0 {
		req.Header.Set("Range", rangeOf(q.from, q.to))
	}
	return req, nil
}
