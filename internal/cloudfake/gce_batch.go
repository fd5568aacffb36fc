// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
)

// maxBatched is Compute Engine's own bound of requests in a request.
const maxBatched = 1000

// batch answers requests within a request (CF-E8). Each meets the faults that it would meet alone.
func (g *GCE) batch(w http.ResponseWriter, r *http.Request) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		http.Error(w, "want multipart/mixed", http.StatusBadRequest)
		return
	}
	var out bytes.Buffer
	answers := multipart.NewWriter(&out)
	parts := multipart.NewReader(http.MaxBytesReader(w, r.Body, 1<<20), params["boundary"])
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n == maxBatched {
			err = errors.New("too many requests in a request")
		}
		if err == nil {
			err = g.inner(answers, part, r)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if err := answers.Close(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "multipart/mixed; boundary="+answers.Boundary())
	_, _ = w.Write(out.Bytes()) // who has gone does not read it
}

func (g *GCE) inner(answers *multipart.Writer, part *multipart.Part, outer *http.Request) error {
	r, err := http.ReadRequest(bufio.NewReader(part))
	if err != nil {
		return fmt.Errorf("a part is no request: %w", err)
	}
	for key, values := range outer.Header {
		if !strings.HasPrefix(key, "Content-") && r.Header.Get(key) == "" {
			r.Header[key] = values
		}
	}
	r.URL.Path = "/compute.googleapis.com" + r.URL.Path
	g.mu.Lock()
	g.batched++
	g.mu.Unlock()
	rec := &recorded{header: http.Header{}, code: http.StatusOK}
	g.server.Faults.Handler(g.serve(func(r *http.Request) (map[string]any, *gceRefusal) {
		return g.object(gceAPIs()["compute"], r)
	}), g.wrong).ServeHTTP(rec, r.WithContext(outer.Context()))
	w, err := answers.CreatePart(textproto.MIMEHeader{
		"Content-Type": {"application/http"}, "Content-Id": {"<response-" + strings.Trim(part.Header.Get("Content-Id"), "<>") + ">"},
	})
	if err != nil {
		return err
	}
	resp := &http.Response{
		ProtoMajor: 1, ProtoMinor: 1, StatusCode: rec.code, Header: rec.header,
		Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()),
	}
	return resp.Write(w)
}

// recorded is an answer that becomes a part of another one.
type recorded struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) WriteHeader(code int)        { r.code = code }
func (r *recorded) Write(p []byte) (int, error) { return r.body.Write(p) }

// Batched counts the requests that came within another.
func (g *GCE) Batched() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.batched
}
