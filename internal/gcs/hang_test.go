// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/api/option"

	"sigs.k8s.io/steward/internal/gcs"
)

// silent is a server that tells about objects and gives none of their bytes, or does not even tell.
type silent struct{ tells bool }

func (s silent) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: req}
	switch media := req.URL.Query().Get("alt") == "media"; {
	case !s.tells:
		<-req.Context().Done()
		return nil, req.Context().Err()
	case media:
		resp.ContentLength, resp.Body = 1000, hanging{req.Context()}
	default:
		resp.Body = io.NopCloser(strings.NewReader(`{"bucket":"example","name":"x/a","generation":"1","size":"1000"}`))
	}
	return resp, nil
}

type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (h hanging) Close() error { return nil }

// TestWhoeverAsksMayGiveUp asks a server that does not answer: what it is asked ends with its context.
func TestWhoeverAsksMayGiveUp(t *testing.T) {
	for name, tt := range map[string]struct {
		tells bool
		call  func(context.Context, *gcs.Files) error
	}{
		"stat": {call: func(ctx context.Context, f *gcs.Files) error { _, err := f.Stat(ctx, "a"); return err }},
		"open": {call: func(ctx context.Context, f *gcs.Files) error { _, _, err := f.Open(ctx, "a"); return err }},
		"list": {call: func(ctx context.Context, f *gcs.Files) error {
			for _, err := range f.List(ctx, "") {
				return err
			}
			return nil
		}},
		"keep": {call: func(ctx context.Context, f *gcs.Files) error { return f.Keep(ctx, "a", "1", "b") }},
		"read": {tells: true, call: func(ctx context.Context, f *gcs.Files) error {
			r, _, err := f.Open(ctx, "a")
			if err != nil {
				return errors.New("not opened")
			}
			defer r.Close()
			_, err = io.ReadAll(r)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, err := gcs.OpenFiles(t.Context(), "example", "x", option.WithHTTPClient(&http.Client{Transport: silent{tt.tells}}))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := tt.call(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}
