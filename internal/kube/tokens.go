// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tokens asks the API server whose a bearer token is, by TokenReview. It is safe for
// concurrent use.
//
// An answer is kept for at most a minute, and not beyond the expiry that the token
// names: an account that is deleted keeps its rights for so long. Errors are not kept.
type Tokens struct {
	cluster  *Cluster
	audience string
	asking   chan struct{} // as many as may ask at once

	mu    sync.Mutex
	known map[[sha256.Size]byte]review
}

// review is an answer that is kept. Without an account it is a refusal.
type review struct {
	account *Account
	why     string
	until   time.Time
}

// Account is whose a token is.
type Account struct {
	Username string
	// Namespace and Name are those of a service account; "" for others.
	Namespace, Name string
	// Pod is the UID of the pod that the token is bound to, or "".
	Pod string
}

// The bounds of what is asked and kept.
const (
	maxToken   = 16 << 10
	maxReviews = 4096
	maxAsking  = 16
	keepReview = time.Minute
	// keepRefusal is shorter: a token may be shown before all servers know of it.
	keepRefusal = 10 * time.Second
)

// UnauthenticatedError says that the API server knows no valid token of that text.
type UnauthenticatedError struct{ Why string }

func (e *UnauthenticatedError) Error() string {
	if e.Why == "" {
		return "the cluster does not know the token"
	}
	return "the cluster does not know the token: " + e.Why
}

// NewTokens returns a reviewer of tokens for an audience; "" is that of the API server.
func NewTokens(cluster *Cluster, audience string) *Tokens {
	return &Tokens{
		cluster: cluster, audience: audience, asking: make(chan struct{}, maxAsking), known: map[[sha256.Size]byte]review{},
	}
}

// Check tells whether the account may ask, by asking for a token that does not exist.
func (t *Tokens) Check(ctx context.Context) error {
	_, err := t.ask(ctx, "steward-asks-whether-it-may-ask")
	if IsForbidden(err) {
		return fmt.Errorf("review tokens: the account needs create on tokenreviews of authentication.k8s.io: %w", err)
	}
	if err != nil {
		return fmt.Errorf("review tokens: %w", err)
	}
	return nil
}

// Review returns whose a token is. *UnauthenticatedError is the answer that it is
// nobody's; any other error says nothing about the token.
func (t *Tokens) Review(ctx context.Context, token string) (*Account, error) {
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, notInToken) {
		return nil, &UnauthenticatedError{"it has not the form of one"}
	}
	key := sha256.Sum256([]byte(token))
	found, ok := t.recall(key)
	if !ok {
		var err error
		if found, err = t.ask(ctx, token); err != nil {
			return nil, fmt.Errorf("review a token: %w", err)
		}
		t.keep(key, found)
	}
	if found.account == nil {
		return nil, &UnauthenticatedError{found.why}
	}
	account := *found.account
	return &account, nil
}

func notInToken(r rune) bool { return r <= ' ' || r > '~' }

func (t *Tokens) recall(key [sha256.Size]byte) (review, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.known[key]
	return found, ok && time.Now().Before(found.until)
}

// keep notes an answer. What is over goes first when there are too many, then whatever
// comes: it can be asked again.
func (t *Tokens) keep(key [sha256.Size]byte, found review) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(found.until) {
		delete(t.known, key)
		return
	}
	if len(t.known) >= maxReviews {
		for other, r := range t.known {
			if !now.Before(r.until) {
				delete(t.known, other)
			}
		}
	}
	for other := range t.known {
		if len(t.known) < maxReviews {
			break
		}
		delete(t.known, other)
	}
	t.known[key] = found
}

// tokenReview is what we write and read of one.
type tokenReview struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences,omitempty"`
	} `json:"spec"`
	Status struct {
		Authenticated bool     `json:"authenticated"`
		Audiences     []string `json:"audiences"`
		Error         string   `json:"error"`
		User          struct {
			Username string              `json:"username"`
			Extra    map[string][]string `json:"extra"`
		} `json:"user"`
	} `json:"status"`
}

func (t *Tokens) ask(ctx context.Context, token string) (review, error) {
	select {
	case t.asking <- struct{}{}:
		defer func() { <-t.asking }()
	case <-ctx.Done():
		return review{}, ctx.Err()
	}
	ask := tokenReview{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"}
	ask.Spec.Token = token
	if t.audience != "" {
		ask.Spec.Audiences = []string{t.audience}
	}
	begun := time.Now() // the answer may be as old as the question
	r := request{method: http.MethodPost, what: "tokenreviews", path: "/apis/authentication.k8s.io/v1/tokenreviews"}
	var got tokenReview
	if err := t.cluster.do(ctx, r, ask, &got); err != nil {
		return review{}, without(err, token)
	}
	if got.Kind != ask.Kind {
		return review{}, errors.New("POST tokenreviews: the answer is no TokenReview")
	}
	return t.judge(got, token, begun), nil
}

// judge reads an answer. A server that knows no audiences names none, and its answer
// would be about a token for the API server.
func (t *Tokens) judge(got tokenReview, token string, begun time.Time) review {
	status := got.Status
	switch {
	case !status.Authenticated || status.User.Username == "":
		return review{why: fmt.Sprintf("%.300s", redact(status.Error, token)), until: begun.Add(keepRefusal)}
	case t.audience != "" && !slices.Contains(status.Audiences, t.audience):
		return review{why: "it is not for the audience " + t.audience, until: begun.Add(keepRefusal)}
	}
	a := &Account{Username: status.User.Username}
	if of, ok := strings.CutPrefix(a.Username, "system:serviceaccount:"); ok {
		a.Namespace, a.Name, _ = strings.Cut(of, ":")
	}
	if pods := status.User.Extra["authentication.kubernetes.io/pod-uid"]; len(pods) == 1 {
		a.Pod = pods[0]
	}
	until := begun.Add(keepReview)
	if end, ok := expiry(token); ok && end.Before(until) {
		until = end
	}
	return review{account: a, until: until}
}

// expiry is when a token ends by its own words. They are not verified: they only make
// an answer be forgotten sooner.
func expiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Expires *float64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Expires == nil {
		return time.Time{}, false
	}
	return time.Unix(int64(min(*claims.Expires, 1<<40)), 0), true
}

// without is an error in which nothing of a token is left: a server may repeat what it
// could not read.
func without(err error, token string) error {
	var status *StatusError
	if errors.As(err, &status) {
		c := *status
		c.Message = redact(c.Message, token)
		return &c
	}
	return err
}

// redact removes a token and its parts from a text.
func redact(text, token string) string {
	text = strings.ReplaceAll(text, token, "[redacted]")
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= 8 {
			text = strings.ReplaceAll(text, part, "[redacted]")
		}
	}
	return text
}
