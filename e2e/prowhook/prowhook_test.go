// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package prowhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/e2e/toolbin"
)

const prowConfig = "prowjob_namespace: default\npod_namespace: test-pods\n"

// forwarded is a request as the external plugin sees it.
type forwarded struct {
	path   string
	header http.Header
	body   []byte
}

// plugin is an external plugin that keeps what it is sent.
func plugin(t *testing.T) (url string, got <-chan forwarded) {
	t.Helper()
	events := make(chan forwarded, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		events <- forwarded{r.URL.Path, r.Header, body}
	}))
	t.Cleanup(server.Close)
	return server.URL, events
}

// github answers the two requests that hook makes of its own accord.
func github(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"login": "k8s-ci-robot"}`)
	})
	mux.HandleFunc("GET /orgs/{org}/repos", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[]`)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("hook asked GitHub for %s %s", r.Method, r.URL)
		http.Error(w, "no such route: "+r.URL.Path, http.StatusNotImplemented)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// comment is an issue_comment with white space and escapes that a decoder would not keep.
func comment(t *testing.T) []byte {
	t.Helper()
	body := []byte(`{"action":  "created",` + "\n\t" + `"issue": {"number": 5, "pull_request": {}},
"comment": {"id": 77, "body": "/infra why \u003cb> ü", "user": {"login": "octocat"}},
"repository": {"full_name": "acme/infra", "name": "infra", "owner": {"login": "acme"}}}`)
	if !json.Valid(body) {
		t.Fatal("the payload is not JSON")
	}
	return body
}

func wait(t *testing.T, h *Hook, got <-chan forwarded) forwarded {
	t.Helper()
	select {
	case f := <-got:
		return f
	case <-time.After(patience):
		t.Fatalf("nothing arrived at the plugin:\n%s", h.Output())
		return forwarded{}
	}
}

// Hook forwards an event with its body and headers as they came: the signatures are valid for the plugin too
// (specs: external plugin contract, event delivery).
func TestForwardsByteIdentical(t *testing.T) {
	url, got := plugin(t)
	h := Start(t, Config{
		Prow: prowConfig, GitHub: github(t), Secret: "abcde12345",
		Plugins: `external_plugins: {acme: [{name: probe, endpoint: "` + url + `/owners", events: [issue_comment]}]}`,
	})
	body := comment(t)
	const guid = "7b6ba5d4-0000-11ef-8000-000000000001"
	if status, answer := h.Deliver(t, "issue_comment", guid, body); status != http.StatusOK {
		t.Fatalf("hook answers %d %s", status, answer)
	}
	f := wait(t, h, got)
	if f.path != "/owners" {
		t.Errorf("path %q", f.path)
	}
	if !bytes.Equal(f.body, body) {
		t.Errorf("body changed on the way:\n%s", f.body)
	}
	for name, want := range map[string]string{
		"Content-Type":        "application/json",
		"X-Github-Event":      "issue_comment",
		"X-Github-Delivery":   guid,
		"X-Hub-Signature":     "sha1=",
		"X-Hub-Signature-256": "sha256=",
		"User-Agent":          "ProwHook",
	} {
		if value := f.header.Get(name); !strings.HasPrefix(value, want) {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
}

// What hook refuses or was not asked to forward never arrives; an event sent after it does.
func TestForwardsOnlyWhatItShould(t *testing.T) {
	url, got := plugin(t)
	h := Start(t, Config{
		Prow: prowConfig, GitHub: github(t), Secret: "abcde12345",
		Plugins: `external_plugins: {acme/infra: [{name: probe, endpoint: "` + url + `", events: [issue_comment]}]}`,
	})
	forged := *h
	forged.secret = "another"
	if status, _ := forged.Deliver(t, "issue_comment", "forged", comment(t)); status != http.StatusForbidden {
		t.Errorf("a forged event is answered %d", status)
	}
	if status, _ := h.Deliver(t, "workflow_run", "unwanted", comment(t)); status != http.StatusOK {
		t.Errorf("an event nobody listens to is answered %d", status)
	}
	h.Deliver(t, "issue_comment", "wanted", comment(t))
	if guid := wait(t, h, got).header.Get("X-Github-Delivery"); guid != "wanted" {
		t.Errorf("%q arrived", guid)
	}
}

// The stanzas that we ship pass Prow's own check without a warning, and the check can fail.
func TestCheckconfig(t *testing.T) {
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "config", "prow")
	config, plugins := "--config-path="+filepath.Join(dir, "config.yaml"), "--plugin-config="+filepath.Join(dir, "plugins.yaml")
	if out, err := Checkconfig(t, config, plugins); err != nil {
		t.Errorf("config/prow: %v\n%s", err, out)
	}
	if out, err := Checkconfig(t, config, "--plugin-config="+filepath.Join(dir, "config.yaml")); err == nil {
		t.Errorf("checkconfig takes config.yaml for plugins.yaml:\n%s", out)
	}
}
