// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package httpread

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Stream is the sibling of a Transport for bodies that no memory holds. It keeps to the
// same pace and fails with the same reasons, but sends every request once, and bounds no
// size: who reads knows how much there should be. Options.Timeout bounds how long nothing
// moves, not how long all of it takes. It is safe for concurrent use.
type Stream struct{ t *Transport }

// NewStream returns a stream.
func NewStream(opts Options) *Stream { return &Stream{NewTransport(opts)} }

// Transport returns the sibling with the same options, so the same pace.
func (s *Stream) Transport() *Transport { return s.t }

// RoundTrip sends a request and returns the answer with its body still to come. The turn in
// the pace is given back when that is closed. Waiting for the request's own body does not
// count as time in which nothing moves.
func (s *Stream) RoundTrip(req *http.Request) (*http.Response, error) {
	release, err := s.t.acquire(req.Context())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(req.Context())
	w := &watch{limit: s.t.opts.Timeout, timer: time.AfterFunc(s.t.opts.Timeout, cancel)}
	end := func() {
		w.timer.Stop()
		cancel()
		release()
	}
	sent := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		sent.Body = outward{req.Body, w}
	}
	resp, err := s.t.opts.Base.RoundTrip(sent)
	if err != nil {
		err = s.t.networkError(req, ctx, err)
		end()
		return nil, err
	}
	if err := s.t.judge(req, resp); err != nil {
		resp.Body.Close()
		end()
		return nil, err
	}
	w.timer.Stop() // until somebody waits for more
	resp.Body = &inward{ReadCloser: resp.Body, w: w, end: end, fail: func(err error) error {
		return s.t.networkError(req, ctx, fmt.Errorf("read the answer: %w", err))
	}}
	return resp, nil
}

// watch ends a request in which nothing moves.
type watch struct {
	limit time.Duration
	timer *time.Timer
}

// outward is the body of a request.
type outward struct {
	io.ReadCloser
	w *watch
}

func (o outward) Read(p []byte) (int, error) {
	o.w.timer.Stop()
	defer o.w.timer.Reset(o.w.limit)
	return o.ReadCloser.Read(p)
}

// inward is the body of an answer. It is for one reader.
type inward struct {
	io.ReadCloser
	w    *watch
	end  func()
	fail func(error) error
	done bool
}

func (i *inward) Read(p []byte) (int, error) {
	i.w.timer.Reset(i.w.limit)
	n, err := i.ReadCloser.Read(p)
	i.w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = i.fail(err)
	}
	return n, err
}

func (i *inward) Close() error {
	if i.done {
		return nil
	}
	i.done = true
	err := i.ReadCloser.Close()
	i.end()
	return err
}
