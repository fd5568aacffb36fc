// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks a steward-pool over the newer interface. It may be used from any goroutine.
type Client struct {
	// Server is the base address, such as http://steward-pool.test-pods.
	Server string
	HTTP   *http.Client
	// Authorize puts credentials on a request; nil puts none.
	Authorize func(*http.Request) error
}

// Error is an answer that is no success.
type Error struct {
	Status        int
	Code, Message string
}

func (e *Error) Error() string { return e.Message }

// Ended tells whether an error says that a lease is no more.
func Ended(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "lease_ended"
}

// maxAnswer bounds what a server may answer.
const maxAnswer = 256 << 20

// Do sends a request and decodes its answer; in and out may be nil.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	code, content, err := c.send(ctx, method, path, body)
	if err != nil {
		return fmt.Errorf("ask the pool: %w", err)
	}
	if code >= 300 {
		return problemOf(code, content)
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = content
		return nil
	}
	if err := json.Unmarshal(content, out); err != nil {
		return fmt.Errorf("ask the pool: answer to %s %s: %w", method, path, err)
	}
	return nil
}

func problemOf(code int, content []byte) error {
	var p Problem
	if json.Unmarshal(content, &p) != nil || p.Error.Message == "" {
		p.Error.Message = fmt.Sprintf("the pool answered %d %s", code, http.StatusText(code))
	}
	return &Error{code, p.Error.Code, p.Error.Message}
}

func (c *Client) send(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	resp, err := c.request(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, content, err
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Server, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Authorize != nil {
		if err := c.Authorize(req); err != nil {
			return nil, err
		}
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	return client.Do(req)
}

// Acquire takes what is wanted, or waits as the request says. Where it still waits then, the leases are empty and Queued says
// how many are ahead.
func (c *Client) Acquire(ctx context.Context, r AcquireRequest) (Leases, Queued, error) {
	var raw []byte
	if err := c.Do(ctx, http.MethodPost, "/v1/leases", r, &raw); err != nil {
		return Leases{}, Queued{}, err
	}
	var got Leases
	var queued Queued
	err := errors.Join(json.Unmarshal(raw, &got), json.Unmarshal(raw, &queued))
	return got, queued, err
}

// Renew is a sign of life for a lease.
func (c *Client) Renew(ctx context.Context, id string, ttl time.Duration) (Lease, error) {
	var out Lease
	err := c.Do(ctx, http.MethodPost, "/v1/leases/"+url.PathEscape(id)+"/renew", struct {
		TTL Duration `json:"ttl"`
	}{Duration(ttl)}, &out)
	return out, err
}

// Release gives a lease back. It may be repeated.
func (c *Client) Release(ctx context.Context, id, to, reason string) error {
	return c.Do(ctx, http.MethodPost, "/v1/leases/"+url.PathEscape(id)+"/release", struct {
		To     string `json:"to"`
		Reason string `json:"reason,omitempty"`
	}{to, reason}, nil)
}
