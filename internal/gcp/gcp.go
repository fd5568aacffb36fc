// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gcp reads Google Cloud for audits.
//
// Answers are returned as they came, so that what this code does not know is not lost;
// package asset knows what they mean. What could not be read is an *audit.Unread error
// with Google's own words. Lists are bounded, and a list that lies about itself is an
// error rather than a shorter list.
package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"sigs.k8s.io/steward/internal/asset"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
)

// Options of a Client. The zero value reads Google's API with the credentials of the
// environment.
type Options struct {
	Endpoint string // base URL; "" is https://storage.googleapis.com
	// Token returns an access token, whatever the endpoint. Without it Google's default
	// credentials are used for https, and none for http, which has to be loopback.
	Token func(context.Context) (secret.String, error)
	// HTTP is how requests are made. Without a Pace of its own it is Rate requests a second.
	HTTP httpread.Options
	Rate float64 // 500
}

const (
	endpoint    = "https://storage.googleapis.com"
	defaultRate = 500 // reads of buckets have no quota of their own; more are pushed back
	// scope is the narrowest one with which policies can be read.
	scope = "https://www.googleapis.com/auth/cloud-platform.read-only"
)

// Bounds of a list. The largest real project has some hundred buckets.
const (
	pageSize   = 1000
	maxPages   = 200
	maxBuckets = 50_000
	maxBytes   = 256 << 20
	maxToken   = 4096
)

// Client reads Cloud Storage. It is safe for concurrent use.
type Client struct {
	base    string
	http    *http.Client
	token   func(context.Context) (secret.String, error)
	scanner *secret.Scanner
}

// New returns a client. It reads no more than the credentials of the environment.
func New(ctx context.Context, opts Options) (*Client, error) {
	if opts.Endpoint == "" {
		opts.Endpoint = endpoint
	}
	base, err := url.Parse(opts.Endpoint)
	if err != nil {
		return nil, errors.New("endpoint: it is no address") // the cause repeats it, with any password
	}
	if base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("endpoint %s: want https://HOST or http://LOOPBACK:PORT", base.Redacted())
	}
	if opts.HTTP.Pace == nil {
		if opts.Rate <= 0 {
			opts.Rate = defaultRate
		}
		opts.HTTP.Pace = pace.New(pace.Options{Rate: opts.Rate})
	}
	c := &Client{
		base: strings.TrimSuffix(base.String(), "/"), token: opts.Token, scanner: secret.NewScanner(),
		http: &http.Client{
			Transport:     httpread.NewTransport(opts.HTTP),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	switch {
	case base.Scheme == "http" && loopback(base.Hostname()):
	case base.Scheme != "https":
		return nil, fmt.Errorf("endpoint %s: without TLS only a server on this machine is asked", opts.Endpoint)
	case c.token == nil:
		if c.token, err = DefaultCredentials(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// DefaultCredentials are those that gcloud, a key file or the machine provides, for reading.
func DefaultCredentials(ctx context.Context) (func(context.Context) (secret.String, error), error) {
	return defaultCredentials(ctx, scope)
}

// WritingCredentials are the same, for whatever their roles allow.
func WritingCredentials(ctx context.Context) (func(context.Context) (secret.String, error), error) {
	return defaultCredentials(ctx, writeScope)
}

func defaultCredentials(ctx context.Context, scope string) (func(context.Context) (secret.String, error), error) {
	// The source outlives ctx, and refreshes by itself.
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, &http.Client{Timeout: 30 * time.Second})
	found, err := google.FindDefaultCredentials(ctx, scope)
	if err != nil {
		return nil, fmt.Errorf("find Google credentials: %w", err)
	}
	return func(context.Context) (secret.String, error) {
		token, err := found.TokenSource.Token()
		if err != nil {
			return secret.String{}, err
		}
		return secret.New(token.AccessToken), nil
	}, nil
}

// Buckets lists the buckets of a project with all that the API says of them. A page token
// that expired begins the list again, once.
func (c *Client) Buckets(ctx context.Context, project string) ([]json.RawMessage, error) {
	all, err := c.list(ctx, project)
	var answer *apiError
	if errors.As(err, &answer) && answer.code == http.StatusBadRequest && answer.later {
		all, err = c.list(ctx, project)
	}
	if err != nil {
		return nil, fmt.Errorf("list the buckets of %s: %w", project, err)
	}
	return all, nil
}

func (c *Client) list(ctx context.Context, project string) ([]json.RawMessage, error) {
	l := listing{names: map[string]bool{}, tokens: map[string]bool{}}
	q := url.Values{"project": {project}, "projection": {"full"}, "maxResults": {strconv.Itoa(pageSize)}, "prettyPrint": {"false"}}
	for range maxPages {
		raw, err := c.get(ctx, "/storage/v1/b", q)
		if err != nil {
			var answer *apiError
			if errors.As(err, &answer) {
				answer.later = len(l.tokens) > 0
			}
			return nil, err
		}
		token, err := l.page(raw)
		if err != nil || token == "" {
			return l.all, err
		}
		q.Set("pageToken", token)
	}
	return nil, audit.Fail(finding.TooLarge, "the list has more than %d pages", maxPages)
}

// listing is a list while its pages come.
type listing struct {
	all    []json.RawMessage
	names  map[string]bool
	tokens map[string]bool
	bytes  int
}

// page takes one page and returns the token of the next.
func (l *listing) page(raw json.RawMessage) (string, error) {
	var page struct {
		Kind          string
		NextPageToken string
		Items         []json.RawMessage
	}
	if err := json.Unmarshal(raw, &page); err != nil {
		return "", audit.Fail(finding.Malformed, "a page is not what the API answers: %w", err)
	}
	if page.Kind != "storage#buckets" {
		return "", audit.Fail(finding.Malformed, "a page is of kind %.100q", page.Kind)
	}
	if l.bytes += len(raw); l.bytes > maxBytes || len(l.all)+len(page.Items) > maxBuckets {
		return "", audit.Fail(finding.TooLarge, "the list has more than %d buckets or %d bytes", maxBuckets, maxBytes)
	}
	for _, item := range page.Items {
		name, err := asset.BucketName(item)
		if err != nil {
			return "", &audit.Unread{Reason: finding.Malformed, Err: err}
		}
		if l.names[name] {
			return "", audit.Fail(finding.Malformed, "the list has the bucket %s twice", name)
		}
		l.names[name] = true
		l.all = append(l.all, item)
	}
	token := page.NextPageToken
	if l.tokens[token] || len(token) > maxToken {
		return "", audit.Fail(finding.Malformed, "the list does not end: a page token came back")
	}
	if token != "" {
		l.tokens[token] = true
	}
	return token, nil
}

// Policy reads who has access to a bucket, with conditions.
func (c *Client) Policy(ctx context.Context, bucket string) (json.RawMessage, error) {
	raw, err := c.get(ctx, "/storage/v1/b/"+url.PathEscape(bucket)+"/iam",
		url.Values{"optionsRequestedPolicyVersion": {"3"}, "prettyPrint": {"false"}})
	if err != nil {
		return nil, fmt.Errorf("read the policy of %s: %w", asset.Object(bucket), err)
	}
	var policy struct{ Kind, ResourceID string }
	if err := json.Unmarshal(raw, &policy); err != nil {
		return nil, audit.Fail(finding.Malformed, "the policy of %s is not what the API answers: %w", asset.Object(bucket), err)
	}
	if policy.Kind != "storage#policy" || policy.ResourceID != "projects/_/buckets/"+bucket {
		return nil, audit.Fail(finding.Malformed, "asked for the policy of %s, got a %.100q of %.300q", asset.Object(bucket), policy.Kind, policy.ResourceID)
	}
	return raw, nil
}

// apiError is what Google says about a request it did not fulfil.
type apiError struct {
	code    int
	message string
	later   bool // on a page that is not the first
}

func (e *apiError) Error() string { return e.message }

func (c *Client) get(ctx context.Context, path string, q url.Values) (json.RawMessage, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+q.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask: %w", err)
	}
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			text, _ := c.scanner.Redact(err.Error())
			return nil, audit.Fail(finding.Denied, "get an access token: %s", text)
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, body, err := exchange(c.http, req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, c.refusal(resp, body)
	}
	if !json.Valid(body) {
		return nil, audit.Fail(finding.Malformed, "answers what is no JSON")
	}
	return body, nil
}

// refusal adds Google's words to what a status means: they name the missing permission.
func (c *Client) refusal(resp *http.Response, body []byte) error {
	var unread *audit.Unread
	if !errors.As(httpread.Status(resp), &unread) {
		return audit.Fail(finding.Malformed, "answers %s", resp.Status)
	}
	var said struct{ Error struct{ Message string } }
	_ = json.Unmarshal(body, &said) // without words the status has to do
	message, found := c.scanner.Redact(said.Error.Message)
	answer := &apiError{code: resp.StatusCode, message: fmt.Sprintf("%s: %.200s", resp.Status, message)}
	if message == "" || len(found) > 0 { // a gap is shown to everybody
		answer.message = resp.Status
	}
	if answer.code == http.StatusBadRequest && strings.HasPrefix(message, "Unknown project id") {
		return &audit.Unread{Reason: finding.NotFound, Err: answer}
	}
	return &audit.Unread{Reason: unread.Reason, Err: answer}
}

// exchange sends a request and reads the answer, which is in memory already, and bounded (httpread).
func exchange(client *http.Client, req *http.Request) (*http.Response, []byte, error) {
	resp, err := client.Do(req)
	if err != nil {
		var around *url.Error
		if errors.As(err, &around) {
			err = around.Err // it repeats the address with its query
		}
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, audit.Fail(finding.Unavailable, "read the answer: %w", err)
	}
	return resp, body, nil
}
