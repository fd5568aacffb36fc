// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
)

// The short lists of Compute Engine that nobody waits for are asked in one request (GS-9), as
// https://cloud.google.com/compute/docs/api/how-tos/batch has it. That is a saving and nothing to rely on: what such a request
// does not answer well is asked alone, as ever.

// batchPath is where Compute Engine takes requests that have requests in them.
const batchPath = "/batch/compute/v1"

// batch holds what one request has answered, until each list has taken its part.
type batch struct {
	mu    sync.Mutex
	asked chan struct{}   // closed when the answers are there; nil where none was asked
	parts map[string]item // by row; nil: to be asked alone
}

// batched tells that a row is asked together with others: one list at one place, needed whatever the others say.
func (r row) batched() bool {
	return r.api == "compute.googleapis.com" && strings.HasPrefix(r.list, "global/") && len(r.within) == 0 && !r.shared
}

// clear forgets what was read before something was deleted.
func (b *batch) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked, b.parts = nil, nil
}

// together returns the first page of a row's list, or nil where it has to be asked alone. Each part is used once, so that the next
// listing reads again.
func (p *project) together(ctx context.Context, name string) item {
	p.batch.mu.Lock()
	_, waits := p.batch.parts[name]
	mine := !waits
	if mine { // the first of a listing
		p.batch.asked, p.batch.parts = make(chan struct{}), map[string]item{}
		for _, other := range rows() {
			if other.batched() {
				p.batch.parts[other.name] = nil
			}
		}
	}
	asked, parts := p.batch.asked, p.batch.parts
	p.batch.mu.Unlock()
	if mine {
		answers := p.askTogether(ctx)
		p.batch.mu.Lock()
		maps.Copy(parts, answers)
		p.batch.mu.Unlock()
		close(asked)
	}
	select {
	case <-asked:
	case <-ctx.Done():
		return nil
	}
	p.batch.mu.Lock()
	defer p.batch.mu.Unlock()
	page := parts[name]
	delete(parts, name)
	return page
}

// askTogether returns the pages that were answered well.
func (p *project) askTogether(ctx context.Context) map[string]item {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, r := range rows() {
		if !r.batched() {
			continue
		}
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/http"}, "Content-Id": {"<" + r.name + ">"}})
		if err == nil {
			_, err = fmt.Fprintf(part, "GET /%s/projects/%s/%s?%s HTTP/1.1\r\n\r\n", r.base, escaped(p.account.ID), r.list, p.fill(r.query).Encode())
		}
		if err != nil {
			return nil // a buffer takes everything
		}
	}
	if w.Close() != nil {
		return nil
	}
	const api = "compute.googleapis.com"
	req, err := p.prepare(ctx, request{method: http.MethodPost, api: api, path: batchPath})
	if err != nil {
		return nil
	}
	req.Body, req.ContentLength = io.NopCloser(&body), int64(body.Len())
	req.Header.Set("Content-Type", "multipart/mixed; boundary="+w.Boundary())
	client, _ := p.client(api)
	resp, raw, err := exchange(client, req)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil
	}
	return pagesOf(resp.Header.Get("Content-Type"), raw)
}

// pagesOf reads the parts of an answer, as far as they are whole: {row: page}.
func pagesOf(contentType string, raw []byte) map[string]item {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/mixed" {
		return nil
	}
	pages := map[string]item{}
	parts := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return pages
		}
		if err != nil {
			return nil // a part may be cut: none is believed
		}
		name, ok := strings.CutPrefix(strings.Trim(part.Header.Get("Content-Id"), "<>"), "response-")
		page, err := pageOf(part)
		if ok && err == nil && find(name).batched() {
			pages[name] = page
		}
	}
}

func pageOf(part io.Reader) (item, error) {
	resp, err := http.ReadResponse(bufio.NewReader(part), nil)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var page item
	err = json.Unmarshal(raw, &page)
	return page, err
}
