// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// host is one registry and how it wants to be asked.
//
// The token protocol gives a token for each repository. Many registries accept one
// token for all that its owner may see; asking for one each time would triple the
// requests. So the last token is tried on everything, until that is refused once.
type host struct {
	reg       name.Registry
	transport http.RoundTripper
	google    func(context.Context) (secret.String, error)

	turn chan struct{} // holds what is below; waiting for it ends with ctx

	challenge *transport.Challenge // nil before the first ping that was answered
	tokens    map[string]token     // by scope
	last      token
	scoped    bool // tokens are good for their own scope only
}

// token is a bearer token.
type token struct {
	text  secret.String
	until time.Time
}

func (t token) good(now time.Time) bool { return now.Before(t.until) }

const (
	maxTokens     = 1000
	shortestToken = time.Minute // what the protocol says where a server says nothing
	longestToken  = time.Hour
	spare         = 5 * time.Second // a token is not used in its last seconds
)

func (h *host) enter(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *host) leave() { <-h.turn }

// authorize returns the scheme of a host and the Authorization of a request for a
// scope; "" where none is needed. refused is an Authorization that was answered 401.
func (h *host) authorize(ctx context.Context, client *http.Client, scope string, refused secret.String) (scheme string, header secret.String, err error) {
	if err := h.enter(ctx); err != nil {
		return "", secret.String{}, err
	}
	defer h.leave()
	if h.challenge == nil {
		// The ping shows how the registry is reached and what it asks for.
		h.challenge, err = transport.Ping(ctx, h.reg, client.Transport)
		if err != nil {
			return "", secret.String{}, h.unread(err, "the registry %s does not answer as one")
		}
	}
	scheme = "https"
	if h.challenge.Insecure {
		scheme = "http"
	}
	switch strings.ToLower(h.challenge.Scheme) {
	case "bearer":
		header, err = h.bearer(ctx, client, scope, refused)
	case "basic":
		header, err = h.basic(ctx)
	}
	return scheme, header, err
}

func (h *host) basic(ctx context.Context) (secret.String, error) {
	if h.google == nil {
		return secret.String{}, nil
	}
	access, err := h.google(ctx)
	if err != nil {
		return secret.String{}, audit.Fail(finding.Denied, "get an access token: %w", err)
	}
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth("_token", access.Reveal())
	return secret.New(req.Header.Get("Authorization")), nil
}

// bearer returns a token that is not the refused one. Whoever holds the turn asks for
// it, so that a crowd asks once.
func (h *host) bearer(ctx context.Context, client *http.Client, scope string, refused secret.String) (secret.String, error) {
	now := time.Now()
	t, own := h.tokens[scope]
	if !own && !h.scoped {
		t = h.last
	}
	if t.good(now) && t.text != refused {
		return t.text, nil
	}
	if t.good(now) && !own {
		h.scoped = true // a good token of another scope was refused
	}
	t, err := h.exchange(ctx, client, scope)
	if err != nil {
		return secret.String{}, err
	}
	if len(h.tokens) >= maxTokens {
		clear(h.tokens)
	}
	h.tokens[scope], h.last = t, t
	return t.text, nil
}

func (h *host) exchange(ctx context.Context, client *http.Client, scope string) (token, error) {
	auth := authn.Anonymous
	if h.google != nil && h.ownRealm() {
		access, err := h.google(ctx)
		if err != nil {
			return token{}, audit.Fail(finding.Denied, "get an access token: %w", err)
		}
		auth = authn.FromConfig(authn.AuthConfig{Username: "_token", Password: access.Reveal()})
	}
	t, err := transport.Exchange(ctx, h.reg, auth, client.Transport, []string{scope}, h.challenge)
	if err != nil {
		return token{}, h.unread(err, "the token server of %s gives no token")
	}
	text := t.Token
	if text == "" {
		text = t.AccessToken
	}
	life := min(max(time.Duration(t.ExpiresIn)*time.Second, shortestToken), longestToken)
	return token{secret.New("Bearer " + text), time.Now().Add(life - spare)}, nil
}

// ownRealm tells whether the token server is the registry itself. No other is shown a
// credential, whatever the registry says.
func (h *host) ownRealm() bool {
	u, err := url.Parse(h.challenge.Parameters["realm"])
	return err == nil && u.Host == h.reg.RegistryStr()
}
