// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // old senders
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"sigs.k8s.io/prow/pkg/github"
)

const comment = `{"action":"created","repository":{"full_name":"Acme/infra"},"sender":{"login":"alice"},
 "issue":{"number":7,"updated_at":"2024-06-06T10:00:00Z"},"comment":{"id":42}}`

type sink struct {
	got []Delivery
	err error
}

func (s *sink) Deliver(_ context.Context, d Delivery) error {
	s.got = append(s.got, d)
	return s.err
}

func sign(newHash func() hash.Hash, prefix, key, body string) string {
	mac := hmac.New(newHash, []byte(key))
	mac.Write([]byte(body))
	return prefix + hex.EncodeToString(mac.Sum(nil))
}

// request is a delivery that is right; edit makes it wrong.
func request(body string, edit func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/owners", strings.NewReader(body))
	r.Header.Set("X-GitHub-Event", "issue_comment")
	r.Header.Set("X-GitHub-Delivery", "guid-1")
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Hub-Signature-256", sign(sha256.New, "sha256=", "secret", body))
	if edit != nil {
		edit(r)
	}
	return r
}

func receiver(secrets string, s *sink) *Receiver {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return &Receiver{
		Secrets: func() (Secrets, error) { return ParseSecrets([]byte(secrets)) },
		Sink:    s, Plugin: "owners", Self: func() string { return "steward[bot]" }, Log: logrus.NewEntry(log),
	}
}

func header(key, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(key, value) }
}

func TestAnswers(t *testing.T) {
	sha1Only := func(r *http.Request) {
		r.Header.Del("X-Hub-Signature-256")
		r.Header.Set("X-Hub-Signature", sign(sha1.New, "sha1=", "secret", comment))
	}
	tests := map[string]struct {
		body   string
		edit   func(*http.Request)
		status int
		text   string
		stored int
	}{
		"good":                 {comment, nil, 200, received, 1},
		"sha1 only":            {comment, sha1Only, 200, received, 1},
		"not POST":             {comment, func(r *http.Request) { r.Method = "GET" }, 405, "405 Method not allowed\n", 0},
		"no event":             {comment, header("X-GitHub-Event", ""), 400, "400 Bad Request: Missing X-GitHub-Event Header\n", 0},
		"no GUID":              {comment, header("X-GitHub-Delivery", ""), 400, "400 Bad Request: Missing X-GitHub-Delivery Header\n", 0},
		"huge GUID":            {comment, header("X-GitHub-Delivery", strings.Repeat("x", 129)), 400, "400 Bad Request: X-GitHub-Event or X-GitHub-Delivery is too long\n", 0},
		"no signature":         {comment, header("X-Hub-Signature-256", ""), 403, "403 Forbidden: Missing X-Hub-Signature-256\n", 0},
		"content type":         {comment, header("Content-Type", "application/json; charset=utf-8"), 400, "400 Bad Request: Hook only accepts content-type: application/json - please reconfigure this hook on GitHub\n", 0},
		"wrong signature":      {comment, header("X-Hub-Signature-256", "sha256=00"), 403, "403 Forbidden: Invalid X-Hub-Signature-256 - misconfigured webhook secret from organization/repo: Acme/infra\n", 0},
		"signature not hex":    {comment, header("X-Hub-Signature-256", "sha256=zz"), 403, "403 Forbidden: Invalid X-Hub-Signature-256 - invalid signature\n", 0},
		"signature of sha1":    {comment, header("X-Hub-Signature-256", sign(sha1.New, "sha1=", "secret", comment)), 403, "403 Forbidden: Invalid X-Hub-Signature-256 - invalid signature\n", 0},
		"bad sha256 good sha1": {comment, func(r *http.Request) { sha1Only(r); r.Header.Set("X-Hub-Signature-256", "sha256=00") }, 403, "403 Forbidden: Invalid X-Hub-Signature-256 - misconfigured webhook secret from organization/repo: Acme/infra\n", 0},
		"not JSON":             {"{", nil, 403, "403 Forbidden: Invalid X-Hub-Signature-256 - invalid payload\n", 0},
		"irrelevant event":     {"{}", header("X-GitHub-Event", "workflow_run"), 200, received, 0},
		"no thread":            {`{"repository":{"full_name":"Acme/infra"}}`, nil, 400, "400 Bad Request: decode issue_comment: it names neither an issue nor a pull request\n", 0},
		"repository with path": {`{"repository":{"full_name":"Acme/../x"},"issue":{"number":1}}`, nil, 400, "400 Bad Request: decode issue_comment: parse repository \"Acme/../x\": want ORG/NAME\n", 0},
		"own comment":          {strings.Replace(comment, `"alice"`, `"Steward[bot]"`, 1), nil, 200, received, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := &sink{}
			w := httptest.NewRecorder()
			receiver("secret\n", s).ServeHTTP(w, request(tc.body, tc.edit))
			if w.Code != tc.status || w.Body.String() != tc.text || len(s.got) != tc.stored {
				t.Errorf("%d %q, %d stored", w.Code, w.Body, len(s.got))
			}
		})
	}
}

// Where Prow's own endpoint refuses, ours refuses with the same status and body.
func TestRefusalsEqualProws(t *testing.T) {
	edits := []func(*http.Request){
		nil,
		func(r *http.Request) { r.Method = "PUT" },
		header("X-GitHub-Event", ""), header("X-GitHub-Delivery", ""), header("X-Hub-Signature-256", ""),
		header("Content-Type", "text/plain"), header("X-Hub-Signature-256", "sha256=00"),
		header("X-Hub-Signature-256", "sha1=00"), header("X-Hub-Signature-256", "sha256=0"),
	}
	for i, edit := range edits {
		theirs, ours := httptest.NewRecorder(), httptest.NewRecorder()
		_, _, _, ok, status := github.ValidateWebhook(theirs, request(comment, edit), func() []byte { return []byte("secret") })
		rc := receiver("secret", &sink{})
		rc.RefuseSHA1 = true
		rc.ServeHTTP(ours, request(comment, edit))
		if ok != (ours.Code == 200) || status != ours.Code || !ok && theirs.Body.String() != ours.Body.String() {
			t.Errorf("case %d: theirs %d %q, ours %d %q", i, status, theirs.Body, ours.Code, ours.Body)
		}
	}
}

func TestDelivery(t *testing.T) {
	s := &sink{}
	receiver("secret", s).ServeHTTP(httptest.NewRecorder(), request(comment, nil))
	d := s.got[0]
	if d.GUID != "guid-1" || d.Event != "issue_comment" || d.Plugin != "owners" || d.Thread.String() != "Acme/infra#7" ||
		d.Expect.Comment != 42 || d.Expect.Updated.Hour() != 10 {
		t.Errorf("%+v", d)
	}
}

// H-3: what cannot be journaled is not acknowledged.
func TestNoJournalNo200(t *testing.T) {
	w := httptest.NewRecorder()
	receiver("secret", &sink{err: errors.New("disk full")}).ServeHTTP(w, request(comment, nil))
	if w.Code != 500 || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	return len(p), nil
}

func TestHugeBody(t *testing.T) {
	body := &endless{}
	r := request("", nil)
	r.Body = io.NopCloser(io.LimitReader(body, 100<<20))
	w := httptest.NewRecorder()
	receiver("secret", &sink{}).ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || body.n > MaxBody+(8<<20) {
		t.Errorf("%d after %d bytes", w.Code, body.n)
	}
}

func TestSecrets(t *testing.T) {
	const file = `
"acme/infra": [{value: old, created_at: 2020-01-01T00:00:00Z}, {value: new}]
acme: [{value: org}]
"*": [{value: all}]
`
	tests := map[string]struct {
		repo, key string
		status    int
	}{
		"rotation: old":            {"Acme/infra", "old", 200},
		"rotation: new":            {"Acme/infra", "new", 200},
		"org key is less specific": {"Acme/infra", "org", 403},
		"org":                      {"acme/other", "org", 200},
		"all":                      {"other/x", "all", 200},
		"unknown":                  {"other/x", "none", 403},
	}
	for name, tc := range tests {
		body := strings.Replace(comment, "Acme/infra", tc.repo, 1)
		w := httptest.NewRecorder()
		receiver(file, &sink{}).ServeHTTP(w, request(body, header("X-Hub-Signature-256", sign(sha256.New, "sha256=", tc.key, body))))
		if w.Code != tc.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for _, bad := range []string{"", " \n", "a/b: [{value: ''}]", "a/b: [{valu: x}]", "a/b: {value: x}", strings.Repeat("x", maxSecretFile+1)} {
		if _, err := ParseSecrets([]byte(bad)); err == nil {
			t.Errorf("ParseSecrets(%.20q) succeeded", bad)
		}
	}
	s, _ := ParseSecrets([]byte("hunter2"))
	if text := fmt.Sprintf("%v %+v %#v %s", s, s, s, s); strings.Contains(text, "hunter2") {
		t.Errorf("a secret is printed: %s", text)
	}
	if w := httptest.NewRecorder(); true {
		receiver("a/b: [{value: x}]", &sink{}).ServeHTTP(w, request(comment, nil))
		if want := "403 Forbidden: Invalid X-Hub-Signature-256 - failed to get an appropriate hmac secret\n"; w.Body.String() != want {
			t.Errorf("no secret: %q", w.Body)
		}
	}
}

// No body makes the receiver panic, store two deliveries, or store one that
// names no thread.
func FuzzReceiver(f *testing.F) {
	f.Add("issue_comment", []byte(comment))
	f.Add("pull_request", []byte(`{"repository":{"full_name":"a/b"},"pull_request":{"number":1}}`))
	f.Add("issues", []byte(strings.Repeat(`{"a":`, 20000)))
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		s := &sink{}
		r := request("", header("X-GitHub-Event", event))
		r.Header.Set("X-Hub-Signature-256", sign(sha256.New, "sha256=", "secret", string(body)))
		r.Body = io.NopCloser(bytes.NewReader(body))
		w := httptest.NewRecorder()
		receiver("secret", s).ServeHTTP(w, r)
		if len(s.got) > 1 || len(s.got) == 1 && (w.Code != 200 || s.got[0].Thread.Number <= 0 || s.got[0].Thread.Org == "") {
			t.Errorf("%d, %+v", w.Code, s.got)
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	links := strings.Repeat(`"html_url":"https://github.com/acme/infra/pull/7",`, 240) // 12 KB, mostly links, as GitHub sends
	body := strings.Replace(comment, `"issue":{`, `"issue":{`+links, 1)
	signature := sign(sha256.New, "sha256=", "secret", body)
	rc := receiver("secret", &sink{})
	rc.Sink = discard{}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		rc.ServeHTTP(httptest.NewRecorder(), request2(body, signature))
	}
}

type discard struct{}

func (discard) Deliver(context.Context, Delivery) error { return nil }

func request2(body, signature string) *http.Request {
	r, _ := http.NewRequest(http.MethodPost, "/owners", strings.NewReader(body))
	for k, v := range map[string]string{
		"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": "g", "Content-Type": "application/json", "X-Hub-Signature-256": signature,
	} {
		r.Header.Set(k, v)
	}
	return r
}
