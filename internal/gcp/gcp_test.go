// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/asset"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/secret"
)

// client asks a server, and is quick to give up.
func client(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(t.Context(), Options{Endpoint: url, Rate: 1e6, HTTP: httpread.Options{
		Attempts: 2, Timeout: 200 * time.Millisecond, MaxBody: 1 << 20, Backoff: time.Microsecond,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cloud is a fake with n buckets in project p.
func cloud(t *testing.T, n int) *cloudfake.Running {
	t.Helper()
	s := cloudfake.Start(t, cloudfake.Options{}, "-- cloud.yaml --\ngcp: {page: 10}\n-- gcp/audit/projects/empty/description.json --\n{}\n")
	for i := range n {
		if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: fmt.Sprintf("b-%03d", i), Project: "p"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func names(t *testing.T, all []json.RawMessage) []string {
	t.Helper()
	var out []string
	for _, raw := range all {
		name, err := asset.BucketName(raw)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	return out
}

func reason(err error) finding.Reason {
	var unread *audit.Unread
	if !errors.As(err, &unread) {
		return ""
	}
	return unread.Reason
}

func TestAllPagesAreRead(t *testing.T) {
	s := cloud(t, 35)
	c := client(t, s.URL)
	all, err := c.Buckets(t.Context(), "p")
	if err != nil || len(all) != 35 || len(s.Faults.Requests()) != 4 {
		t.Errorf("%d buckets, %v, %d requests", len(all), err, len(s.Faults.Requests()))
	}
	if got := names(t, all); got[0] != "b-000" || got[34] != "b-034" {
		t.Error(got)
	}
	if all, err := c.Buckets(t.Context(), "empty"); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// What nobody knows yet has to come through.
func TestBodiesAreRaw(t *testing.T) {
	s := cloud(t, 1)
	if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: "b-000", Patch: json.RawMessage(`{"brandNew":{"field":[1,2]}}`)}); err != nil {
		t.Fatal(err)
	}
	all, err := client(t, s.URL).Buckets(t.Context(), "p")
	if err != nil || !strings.Contains(string(all[0]), `"brandNew":{"field":[1,2]}`) {
		t.Errorf("%s, %v", all, err)
	}
}

func TestPoliciesHaveConditions(t *testing.T) {
	s := cloud(t, 1)
	if err := s.GCP.Mutate(cloudfake.Mutation{Bucket: "b-000", Policy: json.RawMessage(
		`{"bindings":[{"role":"roles/storage.admin","members":["group:a@example.org"],"condition":{"title":"t","expression":"true"}}]}`)}); err != nil {
		t.Fatal(err)
	}
	raw, err := client(t, s.URL).Policy(t.Context(), "b-000")
	if err != nil || !strings.Contains(string(raw), `"expression":"true"`) || strings.Contains(string(raw), "_withcond_") {
		t.Errorf("%s, %v", raw, err)
	}
}

// A page token that expires while a list is read begins it again, once.
func TestExpiredTokens(t *testing.T) {
	s := cloud(t, 35)
	c := client(t, s.URL)
	stale := fault.Rule{Path: "^/storage/v1/b$", Nth: 3, Action: "status", Status: 400,
		Body: `{"error":{"code":400,"message":"Invalid value for pageToken: x"}}`}
	if err := s.Faults.Inject(stale); err != nil {
		t.Fatal(err)
	}
	if all, err := c.Buckets(t.Context(), "p"); err != nil || len(all) != 35 {
		t.Errorf("%d buckets, %v", len(all), err)
	}
	s.Faults.Heal()
	stale.Times = 100
	if err := s.Faults.Inject(stale); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Buckets(t.Context(), "p"); reason(err) != finding.Malformed {
		t.Errorf("tokens that always expire: %v", err)
	}
	if got := len(s.Faults.Requests()); got > 5 {
		t.Errorf("%d requests", got)
	}
}

func TestWhatCannotBeReadSaysWhy(t *testing.T) {
	s := cloud(t, 1)
	c := client(t, s.URL)
	if _, err := c.Buckets(t.Context(), "unknown"); reason(err) != finding.NotFound {
		t.Errorf("unknown project: %v", err)
	}
	if _, err := c.Policy(t.Context(), "gone"); reason(err) != finding.NotFound {
		t.Errorf("no such bucket: %v", err)
	}
	s.GCP.Deny("projects/p", "gs://b-000 iam")
	_, err := c.Buckets(t.Context(), "p")
	if reason(err) != finding.Denied || !strings.Contains(err.Error(), "does not have storage.buckets.list access") {
		t.Errorf("denied list: %v", err)
	}
	if _, err := c.Policy(t.Context(), "b-000"); reason(err) != finding.Denied {
		t.Errorf("denied policy: %v", err)
	}
	for action, want := range map[string]finding.Reason{
		"hang": finding.TimedOut, "reset": finding.Unavailable, "truncate": finding.Unavailable,
	} {
		s.Faults.Heal()
		if err := s.Faults.Inject(fault.Rule{Path: "/iam$", Action: action}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Policy(t.Context(), "b-000"); reason(err) != want {
			t.Errorf("%s: %v", action, err)
		}
	}
}

// A server that lies or does not end is an error: a shorter list would be taken for
// deleted buckets.
func TestHostileLists(t *testing.T) {
	page := func(items, token string) string {
		return fmt.Sprintf(`{"kind":"storage#buckets","items":[%s],"nextPageToken":%q}`, items, token)
	}
	one := `{"kind":"storage#bucket","name":"one"}`
	for what, c := range map[string]struct {
		answer func(n int) string
		want   finding.Reason
	}{
		"another kind":     {func(int) string { return `{"kind":"storage#objects"}` }, finding.Malformed},
		"no kind":          {func(int) string { return `{}` }, finding.Malformed},
		"a list":           {func(int) string { return `[]` }, finding.Malformed},
		"HTML":             {func(int) string { return `<html>` }, finding.Malformed},
		"a loop":           {func(int) string { return page("", "again") }, finding.Malformed},
		"without end":      {func(n int) string { return page("", fmt.Sprint(n)) }, finding.TooLarge},
		"a long token":     {func(int) string { return page("", strings.Repeat("x", 5000)) }, finding.Malformed},
		"twice":            {func(int) string { return page(one+","+one, "") }, finding.Malformed},
		"twice over pages": {func(n int) string { return page(one, fmt.Sprint(n)) }, finding.Malformed},
		"items that are":   {func(int) string { return `{"kind":"storage#buckets","items":"none"}` }, finding.Malformed},
		"no bucket":        {func(int) string { return page(`{"kind":"storage#object","name":"one"}`, "") }, finding.Malformed},
		"no name":          {func(int) string { return page(`{"kind":"storage#bucket"}`, "") }, finding.Malformed},
		"a path":           {func(int) string { return page(`{"kind":"storage#bucket","name":"../../x"}`, "") }, finding.Malformed},
		"a line":           {func(int) string { return page(`{"kind":"storage#bucket","name":"a\nb"}`, "") }, finding.Malformed},
		"huge":             {func(int) string { return `"` + strings.Repeat("x", 2<<20) + `"` }, finding.TooLarge},
	} {
		n := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n++
			_, _ = w.Write([]byte(c.answer(n)))
		}))
		all, err := client(t, srv.URL).Buckets(t.Context(), "p")
		if all != nil || reason(err) != c.want || n > maxPages {
			t.Errorf("%s: %d buckets, %v, after %d requests", what, len(all), err, n)
		}
		srv.Close()
	}
}

func TestHostilePolicies(t *testing.T) {
	for _, answer := range []string{
		`{}`, `[]`, `{"kind":"storage#policy"}`, `{"kind":"storage#policy","resourceId":"projects/_/buckets/another"}`,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		if _, err := client(t, srv.URL).Policy(t.Context(), "one"); reason(err) != finding.Malformed {
			t.Errorf("%s: %v", answer, err)
		}
		srv.Close()
	}
}

// A redirect is no answer, and no token follows it.
func TestRedirectsAreNotFollowed(t *testing.T) {
	asked := ""
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
	defer other.Close()
	srv := httptest.NewServer(http.RedirectHandler(other.URL+"/stolen", http.StatusFound))
	defer srv.Close()
	if _, err := client(t, srv.URL).Buckets(t.Context(), "p"); reason(err) != finding.Malformed || asked != "" {
		t.Errorf("%v, asked %q", err, asked)
	}
}

func TestTokens(t *testing.T) {
	s := cloudfake.Start(t, cloudfake.Options{}, "-- cloud.yaml --\ngcp: {token: right}\n")
	ask := func(token func(context.Context) (secret.String, error)) error {
		c, err := New(t.Context(), Options{Endpoint: s.URL, Token: token, HTTP: httpread.Options{Attempts: 1}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Buckets(t.Context(), "p")
		return err
	}
	give := func(token string) func(context.Context) (secret.String, error) {
		return func(context.Context) (secret.String, error) { return secret.New(token), nil }
	}
	if err := ask(give("right")); reason(err) != finding.NotFound {
		t.Errorf("the right token: %v", err)
	}
	if err := ask(give("wrong-token")); reason(err) != finding.Denied || strings.Contains(err.Error(), "wrong-token") {
		t.Errorf("a wrong token: %v", err)
	}
	leaky := "token server says " + "ya29." + strings.Repeat("x", 40)
	if err := ask(func(context.Context) (secret.String, error) { return secret.String{}, errors.New(leaky) }); reason(err) != finding.Denied || strings.Contains(err.Error(), "ya29.") {
		t.Errorf("no token: %v", err)
	}
}

// Google's words can hold anything.
func TestRefusalsAreRedactedAndBounded(t *testing.T) {
	planted := "ghp_" + strings.Repeat("a1", 18)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"error":{"message":"%s %s"}}`, planted, strings.Repeat("y", 100_000))
	}))
	defer srv.Close()
	_, err := client(t, srv.URL).Buckets(t.Context(), "p")
	if err == nil || strings.Contains(err.Error(), planted) || len(err.Error()) > 500 {
		t.Errorf("%.600v", err)
	}
}

func TestEndpoints(t *testing.T) {
	for address, ok := range map[string]bool{
		"http://127.0.0.1:1": true, "http://[::1]:1": true, "http://localhost:1": true, "http://127.0.0.1:1/base/": true,
		"http://storage.example.org": false, "http://192.0.2.1": false, "ftp://127.0.0.1": false, "nonsense": false,
		"http://user:word@127.0.0.1": false, "http://127.0.0.1?x": false, "": false,
	} {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/file") // for ""
		if _, err := New(t.Context(), Options{Endpoint: address}); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// FuzzPage: whatever a page is, it is an error or a list of buckets with names.
func FuzzPage(f *testing.F) {
	for _, s := range []string{`{"kind":"storage#buckets"}`, `{"kind":"storage#buckets","items":[{"kind":"storage#bucket","name":"abc"}],"nextPageToken":"x"}`, `[]`, `{"items":{}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := listing{names: map[string]bool{}, tokens: map[string]bool{}}
		if _, err := l.page(raw); err != nil {
			return
		}
		for _, item := range l.all {
			name, err := asset.BucketName(item)
			if err != nil || strings.ContainsAny(name, "/\\\n ") || strings.Contains(name, "..") {
				t.Fatalf("%q passed: %v", name, err)
			}
		}
	})
}
