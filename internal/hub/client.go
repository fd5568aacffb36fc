// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hub speaks to GitHub: it reads threads and trees, and performs writes.
//
// Prow's own client says who we are (tokens of a file or of a GitHub App); the
// requests are ours, because a request must end with its context, must never be
// repeated blindly when it writes, and must hand a rate limit to the queue
// instead of sleeping on it.
package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// Options connect a Client.
type Options struct {
	Endpoints []string // REST bases, tried in order when one cannot be reached: ghproxy, then api.github.com
	GraphQL   string
	Token     func(org string) (string, error) // nil or "": requests are anonymous
	Transport http.RoundTripper                // nil: http.DefaultTransport
	Timeout   time.Duration                    // of one request; 30 s when zero
	Observe   func(method, route string, status int, d time.Duration)
	// Unreviewed are logins whose pull requests are merged without review. A client
	// that is one of them opens none. Nil: there are none.
	Unreviewed func() []string
}

// Client is safe for concurrent use.
type Client struct {
	opts    Options
	http    *http.Client
	objects *objects
	members memberCache
	records records
	pulls   pulls
}

// New returns a client; it makes no request.
func New(opts Options) (*Client, error) {
	if len(opts.Endpoints) == 0 || opts.GraphQL == "" {
		return nil, errors.New("connect to GitHub: a REST and a GraphQL endpoint are needed")
	}
	if opts.Timeout == 0 {
		opts.Timeout = 30 * time.Second
	}
	if opts.Transport == nil {
		opts.Transport = http.DefaultTransport
	}
	for i, e := range opts.Endpoints {
		opts.Endpoints[i] = strings.TrimSuffix(e, "/")
	}
	return &Client{
		opts: opts,
		// A redirect of a write would become a GET (RFC 9110 15.4): repositories
		// that moved are an error to mend in steward.yaml.
		http:    &http.Client{Transport: opts.Transport, Timeout: opts.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		objects: newObjects(),
		members: memberCache{found: map[string]membership{}},
		records: records{newest: map[string]thread.Issue{}},
		pulls:   pulls{links: map[string]listedPull{}},
	}, nil
}

// StatusError is an answer that is not a success.
type StatusError struct {
	Method, Path string
	Status       int
	Message      string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: status %d: %.300s", e.Method, e.Path, e.Status, e.Message)
}

// IsNotFound tells whether GitHub said that the object does not exist. With
// eventual consistency, or without the right to see it, that may be untrue.
func IsNotFound(err error) bool {
	var s *StatusError
	return errors.As(err, &s) && (s.Status == http.StatusNotFound || s.Status == http.StatusGone)
}

// RateLimitError says that GitHub wants no requests until a moment.
type RateLimitError struct {
	Until time.Time
	Cause error
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("rate limited until %s: %v", e.Until.UTC().Format(time.RFC3339), e.Cause)
}

func (e *RateLimitError) Unwrap() error { return e.Cause }

// PauseUntil tells the queue to leave GitHub alone.
func (e *RateLimitError) PauseUntil() time.Time { return e.Until }

// maxResponse bounds an answer; a recursive tree is the largest (7 MB at GitHub).
const maxResponse = 64 << 20

type request struct {
	org    string // whose installation pays, with App authentication
	method string
	path   string // from the root, query included
	route  string // the path without its values, for metrics
	body   any
}

// call performs a REST request and decodes the answer into out, unless nil.
func (c *Client) call(ctx context.Context, r request, out any) (http.Header, error) {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
	}
	var err error
	for _, base := range c.opts.Endpoints {
		var header http.Header
		header, err = c.try(ctx, r, base+r.path, body, out)
		if !unreachable(err) {
			return header, err
		}
	}
	return nil, err
}

// unreachable errors happened before the request was sent, so that another
// endpoint may be tried, whatever the method.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (c *Client) try(ctx context.Context, r request, url string, body []byte, out any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	req.Header.Set("Accept", "application/vnd.github+json")
	req.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	req.Header.Set("User-Agent", "steward")
	if err := c.authorize(req, r.org); err != nil {
		return nil, err
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.observe(r, 0, start)
		return nil, fmt.Errorf("%s %s: %w", r.method, r.path, errors.Unwrap(err)) // without the URL
	}
	defer resp.Body.Close()
	c.observe(r, resp.StatusCode, start)
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	if len(raw) > maxResponse {
		return nil, fmt.Errorf("%s %s: the answer is longer than %d bytes", r.method, r.path, maxResponse)
	}
	if err := checkStatus(r, resp, raw); err != nil {
		return resp.Header, err
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("%s %s: decode the answer: %w", r.method, r.path, err)
	}
	return resp.Header, nil
}

func (c *Client) authorize(req *http.Request, org string) error {
	if c.opts.Token == nil {
		return nil
	}
	token, err := c.opts.Token(org)
	if err != nil {
		return fmt.Errorf("get a token for %s: %w", org, err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return nil
}

func (c *Client) observe(r request, status int, start time.Time) {
	if c.opts.Observe != nil {
		c.opts.Observe(r.method, r.route, status, time.Since(start))
	}
}

// checkStatus turns refusals into errors, rate limits first: GitHub sends them
// as 403 or 429, with Retry-After, with an exhausted budget, or with neither
// ("wait at least one minute", docs: best practices for using the REST API).
func checkStatus(r request, resp *http.Response, raw []byte) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(raw, &answer) != nil || answer.Message == "" {
		answer.Message = string(raw[:min(len(raw), 300)])
	}
	err := &StatusError{Method: r.method, Path: r.path, Status: resp.StatusCode, Message: answer.Message}
	if resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusTooManyRequests {
		return err
	}
	now := time.Now()
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	reset, _ := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
	switch {
	case after > 0:
		return &RateLimitError{Until: now.Add(time.Duration(after) * time.Second), Cause: err}
	case resp.Header.Get("X-RateLimit-Remaining") == "0" && reset > 0:
		return &RateLimitError{Until: time.Unix(reset, 0).Add(time.Second), Cause: err}
	case resp.StatusCode == http.StatusTooManyRequests, strings.Contains(answer.Message, "secondary rate limit"):
		return &RateLimitError{Until: now.Add(time.Minute), Cause: err}
	}
	return err
}

type graphError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Path    []any  `json:"path"`
}

// query performs a GraphQL query. A partial answer is an error: what could not
// be read must not look empty.
func (c *Client) query(ctx context.Context, org, name, query string, vars map[string]any, out any) error {
	r := request{org: org, method: http.MethodPost, path: "graphql " + name, route: "graphql " + name}
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return fmt.Errorf("graphql %s: %w", name, err)
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []graphError    `json:"errors"`
	}
	header, err := c.try(ctx, r, c.opts.GraphQL, body, &answer)
	if err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		return graphFailure(name, header, answer.Errors[0])
	}
	if err := json.Unmarshal(answer.Data, out); err != nil {
		return fmt.Errorf("graphql %s: decode the answer: %w", name, err)
	}
	return nil
}

// graphFailure classifies the first error of an answer with status 200. Only the
// thread itself can be missing: where the repository is, we lost the right to
// see it. Rate limits come under two types, or as a text.
func graphFailure(name string, header http.Header, first graphError) error {
	err := &StatusError{Method: "graphql", Path: name, Status: http.StatusOK, Message: first.Message}
	missing := ""
	if n := len(first.Path); n > 0 {
		missing, _ = first.Path[n-1].(string)
	}
	switch {
	case first.Type == "NOT_FOUND" && missing == "issueOrPullRequest":
		err.Status = http.StatusNotFound
	case first.Type == "NOT_FOUND", first.Type == "FORBIDDEN":
		err.Status = http.StatusForbidden
	case first.Type == "RATE_LIMITED", first.Type == "RATE_LIMIT", strings.Contains(first.Message, "secondary rate limit"):
		reset, _ := strconv.ParseInt(header.Get("X-RateLimit-Reset"), 10, 64)
		if after, _ := strconv.Atoi(header.Get("Retry-After")); after > 0 {
			reset = time.Now().Unix() + int64(after)
		}
		return &RateLimitError{Until: time.Unix(max(reset, time.Now().Unix()+60), 0), Cause: err}
	}
	return err
}
