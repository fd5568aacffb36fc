// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package state runs the suite of state.Store against an emulator of Cloud Storage,
// through Google's own client library. The emulator is too heavy for the root module.
package state

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/fsouza/fake-gcs-server/fakestorage"
	"google.golang.org/api/option"

	"sigs.k8s.io/steward/internal/gcs"
	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/state/statetest"
)

// emulator returns the address of a Cloud Storage with one bucket.
func emulator(t *testing.T) string {
	t.Helper()
	fake, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Stop)
	fake.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: "example-steward"})
	server := httptest.NewServer(&conditional{api: fake.HTTPHandler()})
	t.Cleanup(server.Close)
	return server.URL
}

// conditional adds what the emulator leaves out: a delete whose ifGenerationMatch does
// not hold is 412.
type conditional struct {
	api   http.Handler
	turns sync.Mutex
}

func (c *conditional) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.turns.Lock()
	defer c.turns.Unlock()
	if want := r.URL.Query().Get("ifGenerationMatch"); r.Method == http.MethodDelete && want != "" {
		get := r.Clone(r.Context())
		get.Method, get.URL.RawQuery, get.RequestURI = http.MethodGet, "", get.URL.Path
		answer := httptest.NewRecorder()
		c.api.ServeHTTP(answer, get)
		var object struct{ Generation string }
		if answer.Code == http.StatusOK && json.Unmarshal(answer.Body.Bytes(), &object) == nil && object.Generation != want {
			http.Error(w, `{"error":{"code":412,"message":"conditionNotMet"}}`, http.StatusPreconditionFailed)
			return
		}
	}
	c.api.ServeHTTP(w, r)
}

func open(t *testing.T, address, bucket, prefix string) *gcs.Store {
	t.Helper()
	s, err := gcs.Open(t.Context(), bucket, prefix, option.WithEndpoint(address+"/storage/v1/"), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStore(t *testing.T) {
	server := emulator(t)
	statetest.Run(t, func(t *testing.T) state.Store {
		return open(t, server, "example-steward", strings.ToLower(t.Name()))
	})
}

// A bucket that is not there is no empty one.
func TestMissingBucket(t *testing.T) {
	s := open(t, emulator(t), "none", "")
	if _, _, err := s.Get(t.Context(), "a"); err == nil || errors.Is(err, state.ErrConflict) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Put(t.Context(), "a", nil, state.Absent); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put: %v", err)
	}
}
