// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/json"
	"io/fs"
	"net/http"

	"go.yaml.in/yaml/v3"
)

// GCP is Google's REST APIs over an exported audit tree.
type GCP struct{ server *Server }

func newGCP(s *Server) *GCP { return &GCP{server: s} }

func (g *GCP) name() string { return "gcp" }

func (g *GCP) load(yaml.Node, fs.FS) error { return nil }

func (g *GCP) routes() map[string]http.HandlerFunc { return nil }

func (g *GCP) controls() map[string]command { return nil }

// wrong is the error body of Google's JSON APIs.
func (g *GCP) wrong(code int, message string) (string, []byte) {
	reason := map[int]string{400: "invalid", 401: "authError", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded", 503: "backendError"}[code]
	if reason == "" {
		reason = "internalError"
	}
	raw, err := json.Marshal(map[string]any{"error": map[string]any{
		"code": code, "message": message,
		"errors": []any{map[string]string{"message": message, "domain": "global", "reason": reason}},
	}})
	if err != nil {
		return "text/plain", []byte(err.Error())
	}
	return "application/json; charset=UTF-8", raw
}
