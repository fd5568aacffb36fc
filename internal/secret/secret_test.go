// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// The samples are put together here, so that no scanner takes this file for a leak.
func samples() map[string]string {
	x := strings.Repeat("x1", 40)
	return map[string]string{
		"Google API key":             "AIza" + x[:35],
		"Google OAuth token":         "ya29." + x[:40],
		"Google OAuth client secret": "GOCSPX-" + x[:28],
		"GitHub token":               "ghp_" + x[:36],
		"AWS access key":             "AKIA" + "ABCDEFGHIJKLMNOP",
		"Slack token":                "xoxb-" + x[:24],
		"Slack webhook":              "hooks.slack.com/services/" + "T000/B000/" + x[:24],
		"JSON web token":             "eyJ" + x[:20] + ".eyJ" + x[:20] + "." + x[:30],
		"npm token":                  "npm_" + x[:36],
		"Stripe key":                 "sk_live_" + x[:24],
		"private key":                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
		"password in an address":     "postgres://admin:" + "hunter22" + "@db.example.org",
	}
}

func TestRedact(t *testing.T) {
	s := NewScanner()
	for kind, sample := range samples() {
		if !s.Suspicious("note: " + sample) {
			t.Errorf("%s: not suspicious", kind)
		}
		text, found := s.Redact("note: " + sample + " end")
		if len(found) != 1 || found[0].Kind != kind {
			t.Errorf("%s: found %v", kind, found)
		}
		if strings.Contains(text, sample) || !strings.HasPrefix(text, "note: [redacted "+kind) {
			t.Errorf("%s: shown as %q", kind, text)
		}
	}
	if _, found := s.Redact(samples()["private key"][:40]); len(found) != 1 {
		t.Error("a private key that is cut off is not found")
	}
}

func TestOrdinaryTextStays(t *testing.T) {
	s := NewScanner()
	if s.Suspicious("group:k8s-infra-prow-oncall@kubernetes.io is a group") {
		t.Error("a group is suspicious")
	}
	for _, text := range []string{
		"", "v=spf1 include:_spf.google.com ~all", "google-site-verification=RJbZ_ganmSWvslSKOBG-QHv62XTjJZcigpWIFttStFs",
		"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "https://example.org/a:b@c",
		"-----BEGIN PUBLIC KEY-----", "projectOwner:k8s-infra-e2e", "http://user@example.org",
	} {
		if got, found := s.Redact(text); got != text || found != nil {
			t.Errorf("%q became %q, %v", text, got, found)
		}
	}
}

func TestStringIsNeverShown(t *testing.T) {
	s := New("hunter22")
	raw, err := json.Marshal(struct{ S String }{s})
	if err != nil {
		t.Fatal(err)
	}
	if shown := fmt.Sprintf("%s %v %+v %#v %q", s, s, s, s, s) + string(raw); strings.Contains(shown, "hunter22") {
		t.Errorf("shown: %s", shown)
	}
	if s.Reveal() != "hunter22" {
		t.Error("Reveal")
	}
}

func FuzzRedact(f *testing.F) {
	s := NewScanner()
	for _, sample := range samples() {
		f.Add(sample)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, _ := s.Redact(text)
		if twice, found := s.Redact(once); len(found) > 0 {
			t.Errorf("%q still has %v: %q", once, found, twice)
		}
	})
}
