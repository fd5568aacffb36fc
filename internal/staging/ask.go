// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package staging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// accepted are the forms of a manifest, so that a registry converts none.
const accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, " +
	"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, */*"

// get asks for something below a repository, with the token that anybody gets where one is wanted.
func (c *Client) get(ctx context.Context, repository, what string) ([]byte, error) {
	host, name, _ := strings.Cut(repository, "/")
	at := c.base(host).JoinPath("v2", name, what)
	c.mu.Lock()
	token := c.tokens[repository]
	c.mu.Unlock()
	resp, body, err := c.send(ctx, host, at, token)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		if token, err = c.token(ctx, host, name, resp.Header.Get("WWW-Authenticate")); err != nil {
			return nil, err
		}
		c.mu.Lock()
		if len(c.tokens) > maxFacts {
			clear(c.tokens)
		}
		c.tokens[repository] = token
		c.mu.Unlock()
		resp, body, err = c.send(ctx, host, at, token)
	}
	if err != nil {
		return nil, err
	}
	return body, refusal(resp, body, what)
}

func (c *Client) send(ctx context.Context, host string, at *url.URL, token string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("ask %s: %w", host, err)
	}
	req.Host = host
	req.Header.Set("Accept", accepted)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, nil, plain(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body) // bounded by the transport
	if err != nil {
		return nil, nil, audit.Fail(finding.Unavailable, "%s: %w", host, err)
	}
	return resp, body, nil
}

// plain takes the address out of an error of the client: what the transport says is enough.
func plain(err error) error {
	var unread *audit.Unread
	if errors.As(err, &unread) {
		return unread
	}
	return audit.Fail(finding.Unavailable, "the registry cannot be asked")
}

// token gets what everybody gets, from the registry itself and from nobody else.
func (c *Client) token(ctx context.Context, host, name, challenge string) (string, error) {
	refused := audit.Fail(finding.Denied, "the registry wants a credential, and none is shown")
	realm, service := parameter(challenge, "realm"), parameter(challenge, "service")
	u, err := url.Parse(realm)
	if scheme, _, _ := strings.Cut(challenge, " "); err != nil || !strings.EqualFold(scheme, "Bearer") || u.Host != host && u.Host != c.base(host).Host {
		return "", refused
	}
	base := c.base(host)
	u.Scheme, u.Host, u.User = base.Scheme, base.Host, nil
	u.RawQuery = url.Values{"service": {service}, "scope": {"repository:" + name + ":pull"}}.Encode()
	resp, body, err := c.send(ctx, host, u, "")
	if err != nil {
		return "", err
	}
	var answer struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Token+answer.Access == "" {
		return "", refused
	}
	if answer.Token == "" {
		return answer.Access, nil
	}
	return answer.Token, nil
}

// parameter takes a quoted value out of a challenge.
func parameter(challenge, name string) string {
	_, rest, _ := strings.Cut(challenge, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// refusal is nil for a 200, and else what the registry says in the specification's words.
func refusal(resp *http.Response, body []byte, what string) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var said struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	_ = json.Unmarshal(body, &said) // what is no such answer has no code
	code := ""
	if len(said.Errors) > 0 {
		code = said.Errors[0].Code
	}
	switch {
	case resp.StatusCode == http.StatusNotFound && code == "MANIFEST_UNKNOWN":
		return manifest.ErrNoManifest
	case resp.StatusCode == http.StatusNotFound && code == "NAME_UNKNOWN":
		return manifest.ErrNoRepository
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return audit.Fail(finding.Denied, "%s answers %d", what, resp.StatusCode)
	}
	return audit.Fail(finding.Unavailable, "%s answers %d", what, resp.StatusCode)
}
