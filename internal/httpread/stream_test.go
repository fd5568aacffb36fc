// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package httpread

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
)

// source answers with parts, each after a while; then the answer ends.
type source []part

type part struct {
	after time.Duration
	bytes int
}

// parts are n times the same.
func parts(n int, after time.Duration, bytes int) source {
	var s source
	for range n {
		s = append(s, part{after, bytes})
	}
	return s
}

func (s source) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: &sourceBody{req.Context(), s}, Request: req}, nil
}

type sourceBody struct {
	ctx  context.Context
	left source
}

func (b *sourceBody) Read(p []byte) (int, error) {
	if len(b.left) == 0 {
		return 0, io.EOF
	}
	next := &b.left[0]
	select {
	case <-time.After(next.after):
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	n := min(len(p), next.bytes)
	*next = part{0, next.bytes - n}
	if next.bytes == 0 {
		b.left = b.left[1:]
	}
	return n, nil
}

func (b *sourceBody) Close() error { return nil }

// TestStreamHasAFloor reads answers that come at all speeds, by a clock of its own.
func TestStreamHasAFloor(t *testing.T) {
	const kib = 1024
	for name, tt := range map[string]struct {
		from  source
		rate  int64         // Options.MinRate
		pause time.Duration // of the reader, before every read
		err   string
		took  time.Duration // until it failed
	}{
		"at once":                          {from: parts(1, 0, 1<<20)},
		"just fast enough":                 {from: parts(600, time.Second, 17*kib)},
		"in bursts":                        {from: parts(20, 29*time.Second, 480*kib)},
		"little, but it ends in time":      {from: parts(29, time.Second, 1)},
		"one byte now and then":            {from: parts(1000, 5*time.Second, 1), err: "less than 16384 bytes a second", took: 30 * time.Second},
		"nearly fast enough":               {from: parts(600, time.Second, 15*kib), err: "less than 16384 bytes a second", took: 30 * time.Second},
		"fast, then one byte now and then": {from: append(parts(40, time.Second, 64*kib), parts(1000, 5*time.Second, 1)...), err: "less than 16384 bytes a second", took: 90 * time.Second},
		"nothing":                          {from: parts(1, time.Hour, 1), err: "does not answer within 30s", took: 30 * time.Second},
		"fast, then nothing":               {from: append(parts(10, time.Second, 64*kib), part{time.Hour, 1}), err: "does not answer within 30s", took: 40 * time.Second},
		"slower than another floor":        {from: parts(600, time.Second, 16*kib), rate: 32 * kib, err: "less than 32768 bytes a second", took: 30 * time.Second},
		"faster than another floor":        {from: parts(600, time.Second, 2*kib), rate: kib},
		"a reader that has other work":     {from: parts(100, 100*time.Millisecond, 10), pause: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				read, err := drain(t.Context(), NewStream(Options{Base: tt.from, MinRate: tt.rate}), tt.pause)
				if tt.err == "" {
					if err != nil {
						t.Errorf("%v after %d bytes", err, read)
					}
					return
				}
				if err == nil || audit.GapOf("", err).Reason != finding.TimedOut || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v after %d bytes, want %s", err, read, tt.err)
				}
				if slow := strings.Contains(tt.err, "less than"); slow != errors.Is(err, ErrSlow) {
					t.Errorf("%v: is it ErrSlow?", err)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// drain reads an answer to its end, and once more where it failed: what failed stays so.
func drain(ctx context.Context, s *Stream, pause time.Duration) (read int64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://example.org/blob", nil)
	if err != nil {
		return 0, err
	}
	resp, err := s.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	for p := make([]byte, 1<<20); ; time.Sleep(pause) {
		n, err := resp.Body.Read(p)
		read += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return read, nil
		case err == nil:
			continue
		}
		if n, again := resp.Body.Read(p); n > 0 || again == nil || errors.Is(again, io.EOF) {
			return read, errors.New("it went on after an error")
		}
		return read, err
	}
}

// A reader who goes is not told that the source is slow.
func TestStreamOfOneWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := drain(ctx, NewStream(Options{Base: parts(1000, time.Second, 1)}), 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}
