// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/kubefake"
)

const (
	audience = "steward-pool"
	builder  = "system:serviceaccount:test-pods:builder"
)

// jwt is a token with an expiry and a signature that the fake does not look at.
func jwt(name string, expires time.Time) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"sub":%q,"exp":%d}`, name, expires.Unix())) + "." + part("signature of "+name)
}

// inBubble runs a test with a fake API server and its time.
func inBubble(t *testing.T, test func(t *testing.T, fake *kubefake.Server, cluster *Cluster)) {
	synctest.Test(t, func(t *testing.T) {
		fake := kubefake.New("prow", "t0ken")
		client, stop := fake.Pipe()
		defer stop()
		test(t, fake, newCluster(api{client, "http://cluster"}))
	})
}

func reviews(fake *kubefake.Server) int {
	return len(slices.DeleteFunc(fake.Requests(), func(r fault.Request) bool { return !strings.HasSuffix(r.Path, "/tokenreviews") }))
}

func TestReview(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		fake.PutToken("of-a-pod", kubefake.Token{Username: builder, Audiences: []string{"x", audience}, Pod: "uid-1"})
		fake.PutToken("of-an-account", kubefake.Token{Username: builder, Audiences: []string{audience}})
		fake.PutToken("of-a-person", kubefake.Token{Username: "dora@example.org", Audiences: []string{audience}})
		fake.PutToken("for-others", kubefake.Token{Username: builder, Audiences: []string{"vault"}})
		fake.PutToken("for-the-server", kubefake.Token{Username: builder})
		for _, c := range []struct {
			audience, token string
			want            Account
			why             string
		}{
			{audience, "of-a-pod", Account{builder, "test-pods", "builder", "uid-1"}, ""},
			{audience, "of-an-account", Account{builder, "test-pods", "builder", ""}, ""},
			{audience, "of-a-person", Account{Username: "dora@example.org"}, ""},
			{audience, "for-others", Account{}, "invalid for the target audiences"},
			{audience, "for-the-server", Account{}, "invalid for the target audiences"},
			{"", "for-the-server", Account{builder, "test-pods", "builder", ""}, ""},
			{"", "of-a-pod", Account{}, "invalid for the target audiences"},
			{audience, "of-nobody", Account{}, "has been invalidated"},
			{audience, "", Account{}, "not the form"},
			{audience, "a b", Account{}, "not the form"},
			{audience, strings.Repeat("x", maxToken+1), Account{}, "not the form"},
		} {
			got, err := NewTokens(cluster, c.audience).Review(t.Context(), c.token)
			var refused *UnauthenticatedError
			switch {
			case c.why == "" && (err != nil || *got != c.want):
				t.Errorf("%.20s for %q: %+v, %v", c.token, c.audience, got, err)
			case c.why != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), c.why)):
				t.Errorf("%.20s for %q: %+v, %v; want %s", c.token, c.audience, got, err, c.why)
			}
		}
	})
}

// A server that does not look at audiences says nothing about them, and a token for the
// API server must not open the pool.
func TestReviewWithoutAudiences(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		fake.PutToken("mine", kubefake.Token{Username: builder, Audiences: []string{audience}})
		fake.Deny("audiences")
		var refused *UnauthenticatedError
		if _, err := NewTokens(cluster, audience).Review(t.Context(), "mine"); !errors.As(err, &refused) {
			t.Error(err)
		}
	})
}

func TestReviewsAreKept(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		long, short := jwt("long", time.Now().Add(time.Hour)), jwt("short", time.Now().Add(25*time.Second))
		for _, token := range []string{"opaque", long, short} {
			fake.PutToken(token, kubefake.Token{Username: builder, Audiences: []string{audience}})
		}
		for _, c := range []struct {
			token string
			kept  time.Duration
		}{{short, 25 * time.Second}, {"opaque", keepReview}, {long, keepReview}, {"of-nobody", keepRefusal}} {
			fake.Heal()
			tokens := NewTokens(cluster, audience)
			_, first := tokens.Review(t.Context(), c.token)
			time.Sleep(c.kept - time.Millisecond)
			if _, err := tokens.Review(t.Context(), c.token); (err == nil) != (first == nil) || reviews(fake) != 1 {
				t.Errorf("%.9s: %v, then %v, after %d questions", c.token, first, err, reviews(fake))
			}
			time.Sleep(time.Millisecond)
			_, _ = tokens.Review(t.Context(), c.token)
			if reviews(fake) != 2 {
				t.Errorf("%.9s is kept for more than %v", c.token, c.kept)
			}
		}
	})
}

func TestReviewsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		tokens := NewTokens(cluster, audience)
		for i := range maxReviews + 10 {
			tokens.keep([32]byte{byte(i), byte(i >> 8)}, review{until: time.Now().Add(time.Minute)})
		}
		if n := len(tokens.known); n != maxReviews {
			t.Errorf("%d answers are kept", n)
		}
		time.Sleep(time.Minute)
		tokens.keep([32]byte{1, 2, 3}, review{until: time.Now().Add(time.Minute)})
		if n := len(tokens.known); n != 1 {
			t.Errorf("%d answers are kept when all but one are over", n)
		}
	})
}

// An API that fails says nothing about a token, and what it says holds no token.
func TestReviewErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		token := jwt("mine", time.Now().Add(time.Hour))
		fake.PutToken(token, kubefake.Token{Username: builder, Audiences: []string{audience}})
		tokens := NewTokens(cluster, audience)
		secret := strings.Split(token, ".")[2]
		for _, rule := range []fault.Rule{
			{Action: "status", Status: 401}, {Action: "status", Status: 403}, {Action: "status", Status: 500, Body: `{"message":"cannot read ` + token + `"}`},
			{Action: "status", Status: 429}, {Action: "status", Status: 400, Body: `{"message":"bad ` + secret + `"}`},
			{Action: "status", Status: 200, Body: "{}"}, {Action: "status", Status: 200, Body: "<html>"}, {Action: "reset"}, {Action: "truncate"},
		} {
			inject(t, fake, rule)
			_, err := tokens.Review(t.Context(), token)
			var refused *UnauthenticatedError
			if err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), secret) {
				t.Errorf("%+v: %v", rule, err)
			}
		}
		fake.Heal()
		if _, err := tokens.Review(t.Context(), token); err != nil {
			t.Errorf("after it healed: %v", err)
		}
		_, err := tokens.Review(t.Context(), "secret-of-mine")
		if err == nil || strings.Contains(err.Error(), "secret-of-mine") || !strings.Contains(err.Error(), "[redacted]") {
			t.Error(err)
		}
	})
}

func TestCheckTokens(t *testing.T) {
	inBubble(t, func(t *testing.T, fake *kubefake.Server, cluster *Cluster) {
		tokens := NewTokens(cluster, audience)
		if err := tokens.Check(t.Context()); err != nil {
			t.Error(err)
		}
		fake.Deny("create tokenreviews")
		if err := tokens.Check(t.Context()); !IsForbidden(err) || !strings.Contains(err.Error(), "create on tokenreviews") {
			t.Error(err)
		}
	})
}
