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
// moves, not how long all of it takes; Options.MinRate bounds that. It is safe for concurrent
// use.
type Stream struct{ t *Transport }

// ErrSlow says that an answer came, but not as fast as Options.MinRate asks.
var ErrSlow = errors.New("is too slow")

// NewStream returns a stream.
func NewStream(opts Options) *Stream { return &Stream{NewTransport(opts)} }

// Transport returns the sibling with the same options, so the same pace.
func (s *Stream) Transport() *Transport { return s.t }

// Floor is how many bytes an answer has to bring in each Options.Timeout that it is waited for.
func (s *Stream) Floor() int64 {
	return int64(float64(s.t.opts.MinRate) * s.t.opts.Timeout.Seconds())
}

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
	resp.Body = &inward{
		ReadCloser: resp.Body, w: w, end: end, window: window{length: w.limit, least: s.Floor()},
		fail: func(err error) error { return s.t.networkError(req, ctx, err) },
	}
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
	w      *watch
	window window
	end    func()
	fail   func(error) error
	failed error // once, and then for ever
	done   bool
}

func (i *inward) Read(p []byte) (int, error) {
	if i.failed != nil {
		return 0, i.failed
	}
	began := time.Now()
	i.w.timer.Reset(i.window.left())
	n, err := i.ReadCloser.Read(p)
	i.w.timer.Stop()
	slow := i.window.add(int64(n), time.Since(began))
	switch {
	case errors.Is(err, io.EOF):
		return n, err
	case slow:
		i.failed = i.fail(ErrSlow)
	case err != nil:
		i.failed = i.fail(fmt.Errorf("read the answer: %w", err))
	}
	return n, i.failed
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

// window is a time of waiting in which an answer has to bring so much. It goes on only while
// somebody reads: one who has other work is not the source's fault.
type window struct {
	length time.Duration
	least  int64

	waited time.Duration
	came   int64
}

// left is how long the next read may take: where enough has come already, as long as nothing
// may move at all.
func (w *window) left() time.Duration {
	if w.came >= w.least {
		return w.length
	}
	return w.length - w.waited
}

// add counts a read, and begins anew at the end of the window. slow tells that some, but less
// than enough, came in it.
func (w *window) add(n int64, took time.Duration) (slow bool) {
	w.waited += took
	w.came += n
	if w.waited < w.length {
		return false
	}
	slow = w.came > 0 && w.came < w.least
	w.waited, w.came = 0, 0
	return slow
}
