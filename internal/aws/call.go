// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sigs.k8s.io/steward/internal/pace"
)

// protocol is how a service wants to be asked. All four are documented and older than the SDK: a form with XML back, JSON
// with the action in a header, and plain paths with JSON.
type protocol int

const (
	query protocol = iota
	json10
	json11
	rest
)

// service is one API, named as its signatures name it.
type service struct {
	host     string // first label of the address; "" is the name
	protocol protocol
	version  string // of the form protocols; the prefix of the action for JSON
}

func services() map[string]service {
	return map[string]service{
		"ec2":                  {"", query, "2016-11-15"},
		"autoscaling":          {"", query, "2011-01-01"},
		"cloudformation":       {"", query, "2010-05-15"},
		"elb":                  {"elasticloadbalancing", query, "2012-06-01"},
		"elasticloadbalancing": {"", query, "2015-12-01"},
		"rds":                  {"", query, "2014-10-31"},
		"elasticache":          {"", query, "2015-02-02"},
		"sqs":                  {"", json10, "AmazonSQS"},
		"ecr":                  {"api.ecr", json11, "AmazonEC2ContainerRegistry_V20150921"},
		"ecs":                  {"", json11, "AmazonEC2ContainerServiceV20141113"},
		"events":               {"", json11, "AWSEvents"},
		"kms":                  {"", json11, "TrentService"},
		"logs":                 {"", json11, "Logs_20140328"},
		"secretsmanager":       {"", json11, "secretsmanager"},
		"organizations":        {"", json11, "AWSOrganizationsV20161128"},
		"eks":                  {"", rest, ""},
		"elasticfilesystem":    {"", rest, ""},
		"lambda":               {"", rest, ""},
	}
}

// in is what a call is given: form fields by their wire names (nested maps and lists are flattened), or a JSON object.
type in map[string]any

const maxAnswer = 32 << 20 // bytes; a page of anything is far below

// call asks a service of this region and returns the answer as a tree. For plain paths the action is "METHOD /path", and
// what is given becomes the query, or the body of a POST. Answers that may pass are asked for again.
func (r *region) call(ctx context.Context, name, action string, given in) (tree, error) {
	s, ok := services()[name]
	if !ok {
		return nil, fmt.Errorf("ask %s: no such service in the table", name)
	}
	if given == nil {
		given = in{}
	}
	var last error
	retry := r.retryer(name)
	for attempt := 1; ; attempt++ {
		t, err := r.once(ctx, name, s, action, given)
		if err == nil {
			return t, nil
		}
		last = fmt.Errorf("%s %s: %w", name, action, err)
		if ctx.Err() != nil || attempt >= retry.MaxAttempts() || !retry.IsErrorRetryable(err) {
			return nil, last
		}
		delay, delayErr := retry.RetryDelay(attempt, err)
		if delayErr != nil {
			return nil, errors.Join(last, delayErr)
		}
		if err := pace.Sleep(ctx, delay); err != nil {
			return nil, errors.Join(err, last)
		}
	}
}

func (r *region) once(ctx context.Context, name string, s service, action string, given in) (tree, error) {
	req, body, err := r.request(ctx, name, s, action, given)
	if err != nil {
		return nil, err
	}
	signAs := name
	if name == "elb" {
		signAs = s.host
	}
	if err := r.sign(ctx, req, body, signAs); err != nil {
		return nil, err
	}
	resp, err := r.client(name).Do(req)
	if err != nil {
		return nil, bare(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &cut{err}
	}
	if resp.StatusCode >= 300 {
		return nil, apiError(resp, raw)
	}
	if s.protocol == query {
		return parseXML(raw)
	}
	return parseJSON(raw)
}

// cut is an answer that ended early: it may be asked for again.
type cut struct{ error }

func (c *cut) Unwrap() error         { return c.error }
func (c *cut) Error() string         { return "read the answer: " + c.error.Error() }
func (c *cut) ConnectionError() bool { return true }

// bare takes the address out of a transport's error: it has the query, and says nothing that the caller does not say.
func bare(err error) error {
	var around *url.Error
	if errors.As(err, &around) {
		return &cut{around.Err}
	}
	return err
}

func (r *region) request(ctx context.Context, name string, s service, action string, given in) (*http.Request, []byte, error) {
	method, path, body, kind := http.MethodPost, "/", []byte(nil), ""
	ask := url.Values{}
	var err error
	switch s.protocol {
	case query:
		form := url.Values{"Action": {action}, "Version": {s.version}}
		flatten(form, "", given, name == "ec2")
		body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded; charset=utf-8"
	case json10, json11:
		body, err = json.Marshal(given)
		kind = map[protocol]string{json10: "application/x-amz-json-1.0", json11: "application/x-amz-json-1.1"}[s.protocol]
	case rest:
		method, path, _ = strings.Cut(action, " ")
		if kind = "application/json"; method == http.MethodPost {
			body, err = json.Marshal(given)
		} else {
			flatten(ask, "", given, true)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("encode: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.address(name, s)+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("make the request: %w", err)
	}
	req.URL.RawQuery = strings.ReplaceAll(ask.Encode(), "+", "%20")
	req.Header.Set("Content-Type", kind)
	if s.protocol == json10 || s.protocol == json11 {
		req.Header.Set("X-Amz-Target", s.version+"."+action)
	}
	return req, body, nil
}

func (r *region) address(name string, s service) string {
	if r.opts.Endpoint != "" {
		return strings.TrimSuffix(r.opts.Endpoint, "/")
	}
	host := s.host
	if host == "" {
		host = name
	}
	return "https://" + host + "." + r.name + "." + r.suffix()
}

func (r *region) sign(ctx context.Context, req *http.Request, body []byte, name string) error {
	who, err := r.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, who, req, hex.EncodeToString(sum[:]), name, r.name, time.Now()); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return nil
}

// flatten writes what a form takes: Name=value, Name.member.1=value (ec2 leaves "member" out), Name.Field=value.
func flatten(form url.Values, prefix string, value any, plain bool) {
	at := func(name string) string { return strings.TrimPrefix(prefix+"."+name, ".") }
	list := func(n int, each func(i int) any) {
		for i := range n {
			name := strconv.Itoa(i + 1)
			if !plain {
				name = "member." + name
			}
			flatten(form, at(name), each(i), plain)
		}
	}
	switch v := value.(type) {
	case in:
		for name, field := range v {
			flatten(form, at(name), field, plain)
		}
	case []in:
		list(len(v), func(i int) any { return v[i] })
	case []string:
		list(len(v), func(i int) any { return v[i] })
	default:
		form.Set(prefix, fmt.Sprint(v))
	}
}

// pacer is the http client of one service in one region: it keeps to the pace and bounds what it takes.
type pacer struct {
	pace *pace.Limiter
	base awssdk.HTTPClient
}

// Do sends one attempt when it is its turn.
func (p *pacer) Do(req *http.Request) (*http.Response, error) {
	if err := p.pace.Acquire(req.Context()); err != nil {
		return nil, err
	}
	defer p.pace.Release()
	resp, err := p.base.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 400 {
		p.pace.OK()
	}
	resp.Body = &bounded{resp.Body, maxAnswer}
	return resp, nil
}

// bounded refuses what goes on too long, where io.LimitReader would end as if that were all.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("answer is larger than %d bytes", maxAnswer)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left+1)])
	b.left -= int64(n)
	return n, err
}
