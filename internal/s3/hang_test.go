// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package s3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/s3"
)

// silent is a server that answers nothing to some requests, and little to the others: of what is read, the head.
type silent struct {
	hangs func(*http.Request) bool
	body  string
}

func (s silent) Do(req *http.Request) (*http.Response, error) {
	if s.hangs(req) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Amz-Bucket-Region": {"us-east-1"}}, Request: req}
	if resp.Body = io.NopCloser(strings.NewReader(s.body)); req.Method == http.MethodGet {
		resp.Body = hanging{req.Context()}
	}
	return resp, nil
}

type hanging struct{ ctx context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (h hanging) Close() error { return nil }

// open returns a bucket at a server.
func open(t *testing.T, server silent) *s3.Files {
	t.Helper()
	for _, name := range []string{"AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_PROFILE"} { // of whoever runs the tests
		t.Setenv(name, "")
	}
	f, err := s3.Open(t.Context(), "example", "x", config.WithHTTPClient(server), config.WithRegion("us-east-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("a", "b", "")))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func placing(req *http.Request) bool { return req.Method == http.MethodHead && req.URL.Path == "/" }

// TestWhoeverAsksMayGiveUp asks a server that does not answer: what it is asked ends with its context.
func TestWhoeverAsksMayGiveUp(t *testing.T) {
	calls := map[string]func(context.Context, *s3.Files) error{
		"stat": func(ctx context.Context, f *s3.Files) error { _, err := f.Stat(ctx, "a"); return err },
		"open": func(ctx context.Context, f *s3.Files) error { _, _, err := f.Open(ctx, "a"); return err },
		"list": func(ctx context.Context, f *s3.Files) error {
			for _, err := range f.List(ctx, "") {
				return err
			}
			return nil
		},
		"keep": func(ctx context.Context, f *s3.Files) error { return f.Keep(ctx, "a", "v", "b") },
		"create": func(ctx context.Context, f *s3.Files) error {
			_, err := f.Create(ctx, "a", "", filestore.Content{Size: 2 * filestore.PieceSize})
			return err
		},
	}
	for when, hangs := range map[string]func(*http.Request) bool{
		"at once":                     func(*http.Request) bool { return true },
		"when it is known where from": func(req *http.Request) bool { return !placing(req) },
	} {
		for name, call := range calls {
			t.Run(when+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := open(t, silent{hangs: hangs})
					first, stop := context.WithCancel(t.Context())
					defer stop()
					go func() { _ = call(first, f) }() // who waits longer is nobody's matter
					synctest.Wait()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if err := call(ctx, f); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%v", err)
					}
				})
			})
		}
	}
}

// TestReadEnds: so does what is read, where nothing comes.
func TestReadEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, silent{hangs: func(*http.Request) bool { return false }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, _, err := f.Open(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadAll(r); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

// TestAbortEnds: parts that cannot be taken back hold nobody.
func TestAbortEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, silent{
			hangs: func(req *http.Request) bool { return req.Method == http.MethodDelete },
			body:  `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`,
		})
		sink, err := f.Create(t.Context(), "a", "", filestore.Content{Size: 2 * filestore.PieceSize})
		if err != nil {
			t.Fatal(err)
		}
		sink.Abort()
	})
}
