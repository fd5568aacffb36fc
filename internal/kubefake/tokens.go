// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package kubefake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Token is what a cluster knows of a bearer token.
type Token struct {
	Username  string
	Audiences []string // empty: that of the API server
	Pod       string   // the UID of the pod that it is bound to
}

// serverAudience is that of tokens that are for the API server itself.
const serverAudience = "https://kubernetes.default.svc"

// PutToken makes a token valid, with the zero Token invalid.
func (s *Server) PutToken(text string, t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(t.Audiences) == 0 {
		t.Audiences = []string{serverAudience}
	}
	s.tokens[text] = t
}

// Deny takes a right away from the account: "list pods", "watch pods", "create
// tokenreviews". Allow gives it back. "audiences" is what an authenticator may lack.
func (s *Server) Deny(right string) { s.setRight(right, true) }

// Allow gives a right back.
func (s *Server) Allow(right string) { s.setRight(right, false) }

func (s *Server) setRight(right string, denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.without[right] = denied
}

func (s *Server) denied(right string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.without[right]
}

// review answers a TokenReview.
func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	if s.denied("create tokenreviews") {
		refuse(w, http.StatusForbidden, `tokenreviews.authentication.k8s.io is forbidden: User "system:serviceaccount:prow:steward-pool" cannot create resource "tokenreviews"`)
		return
	}
	var ask struct {
		APIVersion, Kind string
		Spec             struct {
			Token     string
			Audiences []string
		}
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&ask)
	if err != nil || r.Method != http.MethodPost || ask.APIVersion != "authentication.k8s.io/v1" || ask.Kind != "TokenReview" {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("not a TokenReview: %v", err))
		return
	}
	answer(w, http.StatusCreated, map[string]any{
		"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
		"metadata": map[string]any{}, "spec": map[string]any{"token": ask.Spec.Token, "audiences": ask.Spec.Audiences},
		"status": s.judge(ask.Spec.Token, ask.Spec.Audiences),
	})
}

func (s *Server) judge(text string, audiences []string) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[text]
	if t.Username == "" {
		return map[string]any{"user": map[string]any{}, "error": "[invalid bearer token, Token " + text + " has been invalidated]"}
	}
	if len(audiences) == 0 {
		audiences = []string{serverAudience}
	}
	both := slices.DeleteFunc(slices.Clone(audiences), func(a string) bool { return !slices.Contains(t.Audiences, a) })
	if len(both) == 0 {
		return map[string]any{"user": map[string]any{}, "error": fmt.Sprintf("token audiences %q is invalid for the target audiences %q", t.Audiences, audiences)}
	}
	user := map[string]any{"username": t.Username, "uid": "u-1", "groups": []any{"system:authenticated"}}
	if t.Pod != "" {
		user["extra"] = map[string]any{"authentication.kubernetes.io/pod-uid": []any{t.Pod}, "authentication.kubernetes.io/pod-name": []any{"some-pod"}}
	}
	status := map[string]any{"authenticated": true, "user": user, "audiences": both}
	if s.without["audiences"] { // as an authenticator that knows none
		delete(status, "audiences")
	}
	return status
}
