// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

func TestGoogle(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.URL.Path + " " + string(body)
		if strings.Contains(r.URL.Path, "denied") {
			http.Error(w, `{"error":{"message":"Permission denied on resource"}}`, http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"accessToken":"ya29.x","expireTime":"2026-11-26T12:00:00Z"}`)
	}))
	defer server.Close()
	grants := map[string]lease.Grant{"project": {ServiceAccount: "e2e@{resource}.iam.gserviceaccount.com", For: 30 * time.Minute}}
	b, err := New(t.Context(), grants, Options{GoogleEndpoint: server.URL, Google: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Issue(t.Context(), &lease.Resource{Name: "p-1", Type: "project"})
	if err != nil || got.AccessToken != "ya29.x" || got.Cloud != "google" {
		t.Errorf("issued %+v, %v", got, err)
	}
	want := `/v1/projects/-/serviceAccounts/e2e@p-1.iam.gserviceaccount.com:generateAccessToken {"lifetime":"1800s","scope":["https://www.googleapis.com/auth/cloud-platform"]}`
	if asked != want {
		t.Errorf("asked %s\nwant  %s", asked, want)
	}
	if _, err := b.Issue(t.Context(), &lease.Resource{Name: "denied", Type: "project"}); err == nil || !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("refused: %v", err)
	}
	if _, err := b.Issue(t.Context(), &lease.Resource{Name: "p", Type: "other"}); err == nil {
		t.Error("a type without a grant got a credential")
	}
}

func TestAWS(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "pool")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "pool-secret")
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.Form
		fmt.Fprint(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
			`<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>`+
			`<Expiration>2026-11-26T12:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	}))
	defer server.Close()
	grants := map[string]lease.Grant{"aws": {Role: "arn:aws:iam::{id}:role/e2e", IDs: map[string]string{"aws-1": "123456789012"}}}
	b, err := New(t.Context(), grants, Options{STSEndpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	// A holder may write what it likes into the user data.
	r := &lease.Resource{Name: "aws-1", Type: "aws", Epoch: 7, UserData: map[string]string{"id": "210987654321"}}
	got, err := b.Issue(t.Context(), r)
	if err != nil || got.AccessKeyID != "ASIA1" || got.SessionToken != "t" {
		t.Fatalf("issued %+v, %v", got, err)
	}
	if form.Get("RoleArn") != "arn:aws:iam::123456789012:role/e2e" || form.Get("RoleSessionName") != "steward-7-aws-1" || form.Get("DurationSeconds") != "3600" {
		t.Errorf("asked %v", form)
	}
	if got, err := b.Issue(t.Context(), &lease.Resource{Name: "aws-2", Type: "aws"}); err == nil {
		t.Errorf("a resource without an id got %+v", got)
	}
}
