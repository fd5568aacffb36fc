// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/net/publicsuffix"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/secret"
)

// host is one registry and how it wants to be asked.
//
// The token protocol gives a token for each repository. Many registries accept one
// token for all that its owner may see; asking for one each time would triple the
// requests. So the last token is tried on everything, until that is refused once.
type host struct {
	reg    name.Registry
	stream *httpread.Stream
	google func(context.Context) (secret.String, error)
	keys   authn.Keychain
	single atomic.Int32 // whether a POST may bring the whole blob, see Upload

	lists lists // of referrers

	turn chan struct{} // holds what is below; waiting for it ends with ctx

	challenge *transport.Challenge // nil before the first ping that was answered
	tokens    map[string]token     // by scopes
	last      map[string]token     // by what may be done with it: pull or push
	scoped    bool                 // tokens are good for their own scopes only
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

// authorize returns the scheme of a host and the Authorization of a request for some
// scopes; "" where none is needed. refused is an Authorization that was answered 401.
func (h *host) authorize(ctx context.Context, client *http.Client, scopes []string, refused secret.String) (scheme string, header secret.String, err error) {
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
		header, err = h.bearer(ctx, client, scopes, refused)
	case "basic":
		header, err = h.basic(ctx)
	}
	return scheme, header, err
}

func (h *host) basic(ctx context.Context) (secret.String, error) {
	c, err := h.credential(ctx)
	if err != nil || c.Username == "" && c.Password == "" {
		return secret.String{}, err
	}
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(c.Username, c.Password)
	return secret.New(req.Header.Get("Authorization")), nil
}

// credential is what there is to show a host; zero is nothing. It must not be printed.
func (h *host) credential(ctx context.Context) (authn.AuthConfig, error) {
	switch {
	case h.google != nil:
		access, err := h.google(ctx)
		if err != nil {
			return authn.AuthConfig{}, audit.Fail(finding.Denied, "get an access token: %w", err)
		}
		return authn.AuthConfig{Username: "_token", Password: access.Reveal()}, nil
	case h.keys != nil:
		key, err := authn.Resolve(ctx, h.keys, h.reg)
		if err != nil {
			return authn.AuthConfig{}, audit.Fail(finding.Denied, "find the credential of %s: %w", h.reg, err)
		}
		c, err := authn.Authorization(ctx, key)
		if err != nil {
			return authn.AuthConfig{}, audit.Fail(finding.Denied, "find the credential of %s: %w", h.reg, err)
		}
		return spread(*c), nil
	}
	return authn.AuthConfig{}, nil
}

// spread takes the form apart in which some files keep user and password.
func spread(c authn.AuthConfig) authn.AuthConfig {
	if raw, err := base64.StdEncoding.DecodeString(c.Auth); err == nil && c.Username == "" {
		c.Username, c.Password, _ = strings.Cut(string(raw), ":")
	}
	return c
}

const (
	toPull = "pull"
	toPush = "push"
)

// purpose tells what scopes are for.
func purpose(scopes []string) string {
	for _, s := range scopes {
		if strings.HasSuffix(s, ":"+pushAction) {
			return toPush
		}
	}
	return toPull
}

// own returns a token for the very scopes, or one that is good for more.
func (h *host) own(scopes []string) (t token, known bool) {
	key := strings.Join(scopes, " ")
	if t, known = h.tokens[key]; known {
		return t, true
	}
	if below, ok := strings.CutSuffix(key, ":"+pullAction); ok && len(scopes) == 1 {
		t, known = h.tokens[below+":"+pushAction]
	}
	return t, known
}

// bearer returns a token that is not the refused one. Whoever holds the turn asks for
// it, so that a crowd asks once.
func (h *host) bearer(ctx context.Context, client *http.Client, scopes []string, refused secret.String) (secret.String, error) {
	now, use := time.Now(), purpose(scopes)
	t, own := h.own(scopes)
	if !own && !h.scoped {
		if t = h.last[use]; !t.good(now) && use == toPull {
			t = h.last[toPush]
		}
	}
	if t.good(now) && t.text != refused {
		return t.text, nil
	}
	if t.good(now) && !own {
		h.scoped = true // a good token of another scope was refused
	}
	t, err := h.exchange(ctx, client, scopes)
	if err != nil {
		return secret.String{}, err
	}
	if len(h.tokens) >= maxTokens {
		clear(h.tokens)
	}
	h.tokens[strings.Join(scopes, " ")], h.last[use] = t, t
	return t.text, nil
}

func (h *host) exchange(ctx context.Context, client *http.Client, scopes []string) (token, error) {
	auth := authn.Anonymous
	if own := h.ownRealm(); own || h.google == nil {
		c, err := h.credential(ctx)
		switch {
		case err != nil:
			return token{}, err
		case c.RegistryToken != "":
			return token{secret.New("Bearer " + c.RegistryToken), time.Now().Add(longestToken)}, nil
		case c == (authn.AuthConfig{}):
		case !own && !h.sameSite():
			return token{}, audit.Fail(finding.Denied, "%s names a token server of another site: its credential is not shown there", h.reg)
		default:
			auth = authn.FromConfig(c)
		}
	}
	t, err := transport.Exchange(ctx, h.reg, auth, client.Transport, scopes, h.challenge)
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

// realm is where the registry says that its token server is; nil where that is no
// address of a safe scheme.
func (h *host) realm() *url.URL {
	u, err := url.Parse(h.challenge.Parameters["realm"])
	if err != nil || u.Scheme != "https" && (u.Scheme != "http" || !h.challenge.Insecure) {
		return nil
	}
	return u
}

// ownRealm tells whether the token server is the registry itself. No other is shown a
// credential of Google's, whatever the registry says.
func (h *host) ownRealm() bool {
	u := h.realm()
	return u != nil && u.Host == h.reg.RegistryStr()
}

// sameSite tells whether the token server belongs to those who have the registry, such as
// auth.docker.io to index.docker.io: both are below one name that somebody registered.
func (h *host) sameSite() bool {
	u := h.realm()
	if u == nil || u.Scheme != "https" {
		return false
	}
	own, _, _ := strings.Cut(h.reg.RegistryStr(), ":")
	site, err := publicsuffix.EffectiveTLDPlusOne(own)
	if err != nil {
		return false
	}
	other, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	return err == nil && other == site
}
