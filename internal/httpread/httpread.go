// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package httpread asks HTTP APIs that may be slow, overloaded, broken or hostile.
//
// A Transport is an http.RoundTripper for readers: it keeps to a pace, repeats what
// may be repeated, reads every answer whole and bounded, and says in the words of
// package finding why something could not be read. SDKs that take a RoundTripper get
// all of it without knowing.
package httpread

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
)

// Options of a Transport. Zero values mean the defaults.
type Options struct {
	Base     http.RoundTripper // http.DefaultTransport's settings, with more connections
	Pace     *pace.Limiter     // a limiter with its defaults
	Shared   *pace.Limiter     // one more, of several transports together; none
	Attempts int               // of one request; 5
	Timeout  time.Duration     // of one attempt, body included; 30s
	MaxBody  int64             // bytes of one answer; 32 MiB
	Backoff  time.Duration     // before the second attempt, doubled before each further one; 500ms
	// MinRate is how many bytes a second a Stream's answer has to bring while somebody waits for
	// them, on an average over Timeout, so that no source holds a reader by a byte now and then;
	// 16 KiB. An answer that ends within Timeout may be as small as it likes.
	MinRate int64
}

const (
	defaultAttempts = 5
	defaultTimeout  = 30 * time.Second
	defaultMaxBody  = 32 << 20
	defaultBackoff  = 500 * time.Millisecond
	defaultMinRate  = 16 << 10
	maxBackoff      = 30 * time.Second
)

// Transport is safe for concurrent use. Requests with a body are sent once, but for a PUT
// whose body can be had again (GetBody): twice is as once.
type Transport struct{ opts Options }

// NewTransport returns a transport.
func NewTransport(opts Options) *Transport {
	if opts.Base == nil {
		opts.Base = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: 64,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second,
		}
	}
	if opts.Pace == nil {
		opts.Pace = pace.New(pace.Options{})
	}
	if opts.Attempts <= 0 {
		opts.Attempts = defaultAttempts
	}
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxBody <= 0 {
		opts.MaxBody = defaultMaxBody
	}
	if opts.Backoff <= 0 {
		opts.Backoff = defaultBackoff
	}
	if opts.MinRate <= 0 {
		opts.MinRate = defaultMinRate
	}
	return &Transport{opts}
}

// RoundTrip sends a request, several times where that is safe and helps: after a
// network error, a cut answer, 408, 429 and 5xx. The body of the answer is in memory.
// What stays bad is an *audit.Unread error; every other status is an answer.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	attempts := t.opts.Attempts
	if req.Body != nil && req.Body != http.NoBody && (req.Method != http.MethodPut || req.GetBody == nil) {
		attempts = 1
	}
	var last error
	for attempt := range attempts {
		if attempt > 0 {
			if err := pace.Sleep(req.Context(), t.Backoff(attempt)); err != nil {
				return nil, errors.Join(err, last)
			}
		}
		resp, err := t.once(req)
		if err == nil {
			return resp, nil
		}
		last = err
		if req.Context().Err() != nil || final(err) {
			break
		}
	}
	return nil, last
}

// Attempts is how often a request is sent at the most.
func (t *Transport) Attempts() int { return t.opts.Attempts }

// Backoff is how long to wait before a further attempt, after so many: it doubles from
// Options.Backoff, with jitter, so that a crowd does not come back as one.
func (t *Transport) Backoff(attempt int) time.Duration {
	d := min(t.opts.Backoff<<min(attempt-1, 10), maxBackoff)
	return d/2 + rand.N(d/2+1) //nolint:gosec // no secret
}

// final tells errors that another attempt would only repeat.
func final(err error) bool {
	var unread *audit.Unread
	return errors.As(err, &unread) && unread.Reason == finding.TooLarge
}

// once is one attempt. It returns the answer with its body, or why there is none.
func (t *Transport) once(req *http.Request) (*http.Response, error) {
	release, err := t.acquire(req.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(req.Context(), t.opts.Timeout)
	defer cancel()
	sent := req.Clone(ctx)
	if req.GetBody != nil {
		if sent.Body, err = req.GetBody(); err != nil {
			return nil, fmt.Errorf("ask: %w", err)
		}
	}
	resp, err := t.opts.Base.RoundTrip(sent)
	if err != nil {
		return nil, t.networkError(req, ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, t.opts.MaxBody+1))
	switch {
	case err != nil:
		return nil, t.networkError(req, ctx, fmt.Errorf("read the answer: %w", err))
	case int64(len(body)) > t.opts.MaxBody:
		return nil, audit.Fail(finding.TooLarge, "%s answers more than %d bytes", where(req.URL), t.opts.MaxBody)
	}
	if err := t.judge(req, resp); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if req.Method != http.MethodHead { // there it is the length of what GET would have got
		resp.ContentLength = int64(len(body))
	}
	return resp, nil
}

// acquire waits for a turn in every pace. A request without one is not sent.
func (t *Transport) acquire(ctx context.Context) (release func(), err error) {
	if err := t.opts.Pace.Acquire(ctx); err != nil {
		return nil, err
	}
	if t.opts.Shared == nil {
		return t.opts.Pace.Release, nil
	}
	if err := t.opts.Shared.Acquire(ctx); err != nil {
		t.opts.Pace.Release()
		return nil, err
	}
	return func() {
		t.opts.Shared.Release()
		t.opts.Pace.Release()
	}, nil
}

// pushedBack tells every pace: whose quota it was, an answer does not say.
func (t *Transport) pushedBack(after time.Duration) {
	t.opts.Pace.PushedBack(after)
	if t.opts.Shared != nil {
		t.opts.Shared.PushedBack(after)
	}
}

// judge tells statuses that may pass from answers, and tells the pace.
func (t *Transport) judge(req *http.Request, resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusTooManyRequests:
		t.pushedBack(retryAfter(resp, time.Now()))
		return audit.Fail(finding.Throttled, "%s answers %s", where(req.URL), resp.Status)
	case code == http.StatusServiceUnavailable:
		t.opts.Pace.PushedBack(retryAfter(resp, time.Now()))
		return audit.Fail(finding.Unavailable, "%s answers %s", where(req.URL), resp.Status)
	case code >= 500 || code == http.StatusRequestTimeout:
		return audit.Fail(finding.Unavailable, "%s answers %s", where(req.URL), resp.Status)
	}
	t.opts.Pace.OK()
	if t.opts.Shared != nil {
		t.opts.Shared.OK()
	}
	return nil
}

// networkError says whether an attempt took too long or failed at once. ctx is that of
// the attempt: where the caller's has ended, its error stays visible.
func (t *Transport) networkError(req *http.Request, ctx context.Context, err error) error {
	if ended := req.Context().Err(); ended != nil {
		return ended
	}
	if errors.Is(err, ErrSlow) {
		return audit.Fail(finding.TimedOut, "%s %w: less than %d bytes a second in %v", where(req.URL), err, t.opts.MinRate, t.opts.Timeout)
	}
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return audit.Fail(finding.TimedOut, "%s does not answer within %v", where(req.URL), t.opts.Timeout)
	}
	return audit.Fail(finding.Unavailable, "%s: %w", where(req.URL), err)
}

// retryAfter reads seconds or an HTTP date (RFC 9110 10.2.3); 0 where there is none.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 3600)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// where is an address without its query, in which tokens travel.
func where(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }

// JSON gets an address and returns the body of a 200, which is valid JSON. Everything
// else is an *audit.Unread error, or that of ctx.
func JSON(ctx context.Context, client *http.Client, address string, header http.Header) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := client.Do(req)
	if err != nil {
		var around *url.Error
		if errors.As(err, &around) {
			err = around.Err // it repeats the address with its query
		}
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, audit.Fail(finding.Unavailable, "%s: %w", where(req.URL), err)
	}
	if err := Status(resp); err != nil {
		return nil, err
	}
	if !json.Valid(body) {
		return nil, audit.Fail(finding.Malformed, "%s answers what is no JSON", where(req.URL))
	}
	return body, nil
}

// Status turns every status but 200 into an *audit.Unread error.
func Status(resp *http.Response) error {
	reason := finding.Malformed
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized, http.StatusForbidden:
		reason = finding.Denied
	case http.StatusNotFound, http.StatusGone:
		reason = finding.NotFound
	}
	return audit.Fail(reason, "%s answers %s", where(resp.Request.URL), resp.Status)
}

// IsNotFound tells that a server said there is no such thing.
func IsNotFound(err error) bool {
	var unread *audit.Unread
	return errors.As(err, &unread) && unread.Reason == finding.NotFound
}
