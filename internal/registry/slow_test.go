// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
)

// trickle is a registry that sends zeros: some with each connection at once, then one now and
// then, until it breaks.
type trickle struct {
	size     int
	at       int           // what is sent at once
	then     int           // what is sent after that, byte by byte, before the connection breaks
	every    time.Duration // between these
	first    int           // what the first connection sends at once; the others begin anew, without ranges
	answered int
}

func (t *trickle) RoundTrip(req *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: http.StatusOK, Status: "200", Header: http.Header{}, Body: http.NoBody, Request: req}
	if !strings.Contains(req.URL.Path, "/blobs/") {
		return resp, nil
	}
	t.answered++
	from, at := 0, t.at
	if t.answered == 1 {
		at += t.first
	}
	if asked := req.Header.Get("Range"); asked != "" && t.first == 0 {
		if _, err := fmt.Sscanf(asked, "bytes=%d-", &from); err != nil {
			return nil, err
		}
		resp.StatusCode = http.StatusPartialContent
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, t.size-1, t.size))
	}
	resp.Body = &trickling{ctx: req.Context(), every: t.every, left: t.size - from, at: at, then: t.then}
	return resp, nil
}

type trickling struct {
	ctx            context.Context
	every          time.Duration
	left, at, then int
}

func (t *trickling) Read(p []byte) (int, error) {
	n := min(t.at, t.left, len(p))
	switch {
	case t.left == 0:
		return 0, io.EOF
	case n > 0:
		t.at -= n
	case t.then == 0:
		return 0, errors.New("broken")
	default:
		select {
		case <-time.After(t.every):
		case <-t.ctx.Done():
			return 0, t.ctx.Err()
		}
		t.then--
		n = 1
	}
	t.left -= n
	return n, nil
}

func (t *trickling) Close() error { return nil }

// TestBlobsEnd: a source that is too slow, or breaks before it brought much, has as many attempts as any other.
func TestBlobsEnd(t *testing.T) {
	const floor = 30 * 16 << 10
	for name, tt := range map[string]struct {
		from   trickle
		reason finding.Reason
		asked  int
	}{
		"a byte now and then":                     {trickle{size: 100, then: 100, every: 5 * time.Second}, finding.TimedOut, 3},
		"a byte now and then, and breaks":         {trickle{size: 100, then: 1, every: 5 * time.Second}, finding.Unavailable, 3},
		"much, then a byte now and then":          {trickle{size: 100 * floor, at: 2 * floor, then: 1000, every: 5 * time.Second}, finding.TimedOut, 3},
		"a byte now and then, from the beginning": {trickle{size: 100, first: 50, then: 100, every: 6 * time.Second}, finding.TimedOut, 3},
		"little, and breaks":                      {trickle{size: 10 * floor, at: floor - 1}, finding.Unavailable, 3},
		"much, and breaks":                        {trickle{size: 10 * floor, at: floor}, "", 10},
		"much, and nothing more":                  {trickle{size: 10 * floor, at: floor, then: 1, every: time.Hour}, "", 10},
		"slow, but it is little and ends soon":    {trickle{size: 10, then: 10, every: time.Second}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, err := New(Options{HTTP: httpread.Options{Base: &tt.from, Attempts: 3}})
				if err != nil {
					t.Fatal(err)
				}
				got, err := readAll(t.Context(), r, tt.from.size)
				if tt.reason == "" && (err != nil || len(got) != tt.from.size) || tt.reason != "" && (err == nil || reason(err) != tt.reason) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if tt.from.answered != tt.asked {
					t.Errorf("asked %d times, want %d", tt.from.answered, tt.asked)
				}
			})
		})
	}
}
