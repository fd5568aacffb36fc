// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

var errAway = errors.New("redirected to another host, or too often")

// unread says in words of our own why a library failed: its errors quote answers.
// otherwise is said, with the host, where the reason is not known.
func (h *host) unread(err error, otherwise string) error {
	var known *audit.Unread
	var status *transport.Error
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &known):
		return known
	case errors.Is(err, errAway):
		return audit.Fail(finding.Malformed, "%s: %w", h.reg, errAway)
	case errors.As(err, &status):
		return audit.Fail(reasonOf(status.StatusCode), "%s answers %d", h.reg, status.StatusCode)
	}
	return audit.Fail(finding.Malformed, otherwise, h.reg)
}

func reasonOf(code int) finding.Reason {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return finding.Denied
	case http.StatusNotFound, http.StatusGone:
		return finding.NotFound
	}
	return finding.Malformed
}

// The codes that decide something.
const (
	nameUnknown     = "NAME_UNKNOWN"
	manifestUnknown = "MANIFEST_UNKNOWN"
)

// codes are those of the specification, the only words of a server that are quoted.
func codes() []string {
	return []string{
		"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID",
		manifestUnknown, "NAME_INVALID", nameUnknown, "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS",
	}
}

// word is a code of the specification, in which a registry itself says something.
type word string

func (w word) Error() string { return string(w) }

// worded tells whether the registry said so in its own words.
func worded(err error) bool {
	var w word
	return errors.As(err, &w) || errors.Is(err, manifest.ErrNoRepository) || errors.Is(err, manifest.ErrNoManifest)
}

// refusal turns an answer other than 200 into an error. Only a 404 with a code of the
// specification says that something does not exist: proxies answer 404 too.
func refusal(resp *http.Response, body []byte, what string) error {
	err := fmt.Errorf("%s: answered %d", what, resp.StatusCode)
	if code := code(body); slices.Contains(codes(), code) {
		err = fmt.Errorf("%w %w", err, word(code))
	}
	if resp.StatusCode == http.StatusNotFound {
		switch code(body) {
		case nameUnknown:
			err = fmt.Errorf("%s: %w", what, manifest.ErrNoRepository)
		case manifestUnknown:
			err = fmt.Errorf("%s: %w", what, manifest.ErrNoManifest)
		}
	}
	return &audit.Unread{Reason: reasonOf(resp.StatusCode), Err: err}
}

// code is the one code of an error body. Several that differ decide nothing.
func code(body []byte) string {
	var answer struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	for _, e := range answer.Errors {
		if e.Code != answer.Errors[0].Code {
			return ""
		}
	}
	return answer.Errors[0].Code
}
