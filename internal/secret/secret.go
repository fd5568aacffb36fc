// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package secret knows what a credential looks like, and keeps it from being shown.
//
// Audits read what other people wrote: labels, TXT records, tags. A token among them
// is a finding, and the finding must not become the second place where it stands.
package secret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// String is a secret. It prints [redacted] in every format; Reveal gives the text to
// the one place that needs it.
type String struct{ text string }

// New wraps a secret.
func New(text string) String { return String{text} }

// Reveal returns the text.
func (s String) Reveal() string { return s.text }

const redacted = "[redacted]"

// String, GoString and MarshalText keep the text out of logs and files.
func (s String) String() string { return redacted }

// GoString is for %#v.
func (s String) GoString() string { return redacted }

// MarshalText is for JSON and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// kind is one form of credential, by its documented prefix and length.
type kind struct {
	name    string
	hint    string // must be in the text, before the expression is tried
	pattern *regexp.Regexp
}

func kinds() []kind {
	compile := func(name, hint, pattern string) kind { return kind{name, hint, regexp.MustCompile(pattern)} }
	return []kind{
		compile("private key", "PRIVATE KEY", `-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]{0,30}PRIVATE KEY-----|$)`),
		compile("Google API key", "AIza", `AIza[0-9A-Za-z_-]{35}`),
		compile("Google OAuth token", "ya29.", `ya29\.[0-9A-Za-z_-]{20,}`),
		compile("Google OAuth client secret", "GOCSPX-", `GOCSPX-[0-9A-Za-z_-]{20,}`),
		compile("GitHub token", "ghp_", `ghp_[0-9A-Za-z]{36,255}`),
		compile("GitHub token", "gho_", `gho_[0-9A-Za-z]{36,255}`),
		compile("GitHub token", "ghu_", `ghu_[0-9A-Za-z]{36,255}`),
		compile("GitHub token", "ghs_", `ghs_[0-9A-Za-z]{36,255}`),
		compile("GitHub token", "ghr_", `ghr_[0-9A-Za-z]{36,255}`),
		compile("GitHub token", "github_pat_", `github_pat_[0-9A-Za-z_]{50,255}`),
		compile("AWS access key", "AKIA", `AKIA[0-9A-Z]{16}`),
		compile("AWS access key", "ASIA", `ASIA[0-9A-Z]{16}`),
		compile("Slack token", "xox", `xox[abeprs]-[0-9A-Za-z-]{10,}`),
		compile("Slack webhook", "hooks.slack.com", `hooks\.slack\.com/services/[0-9A-Za-z/]{20,}`),
		compile("JSON web token", "eyJ", `eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}`),
		compile("npm token", "npm_", `npm_[0-9A-Za-z]{36}`),
		compile("Stripe key", "_live_", `[rs]k_live_[0-9A-Za-z]{20,}`),
		compile("password in an address", "://", `[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^/\s:@]{1,100}:[^/\s:@]{3,200}@`),
	}
}

// Scanner finds credentials. It is immutable and may be used concurrently.
type Scanner struct{ kinds []kind }

// NewScanner compiles the forms.
func NewScanner() *Scanner { return &Scanner{kinds()} }

// Suspicious tells quickly whether a text could hold a credential: whoever has much text
// need look closely only where it does.
func (s *Scanner) Suspicious(text string) bool {
	return slices.ContainsFunc(s.kinds, func(k kind) bool { return strings.Contains(text, k.hint) })
}

// Replaced is how every text begins that stands for a credential.
const Replaced = "[redacted "

// Match is a credential that was found.
type Match struct {
	Kind string // "GitHub token"
	// Mark stands for the text: the first hexadecimal digits of its SHA-256, by which
	// an owner can tell which one is meant and nobody else learns anything.
	Mark string
}

// Redact returns text with every credential replaced by [redacted KIND MARK], and what
// was found. Text without any is returned as it is.
func (s *Scanner) Redact(text string) (string, []Match) {
	var found []Match
	for _, k := range s.kinds {
		if !strings.Contains(text, k.hint) {
			continue
		}
		text = k.pattern.ReplaceAllStringFunc(text, func(hit string) string {
			m := Match{Kind: k.name, Mark: mark(hit)}
			found = append(found, m)
			return fmt.Sprintf(Replaced+"%s %s]", m.Kind, m.Mark)
		})
	}
	return text, found
}

func mark(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:4])
}
