// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// The bounds of a blob that is read.
const (
	maxRedirects = 5
	maxRefusal   = 1 << 20 // bytes of an answer that refuses
)

func parseBlob(repository, digest string) (name.Repository, error) {
	repo, err := parse(repository)
	if err == nil && !manifest.IsDigest(digest) {
		err = fmt.Errorf("%q is not a digest", digest)
	}
	return repo, err
}

func blobAddress(repo name.Repository, digest string) string {
	return "/v2/" + repo.RepositoryStr() + "/blobs/" + digest
}

func rangeOf(from, to int64) string { return fmt.Sprintf("bytes=%d-%d", from, to-1) }

// HasBlob tells whether a repository has a blob, and its size. What a HEAD denies may be there
// all the same; then it is sent once more and nothing is lost. So is what the registry has, but
// does not tell the size of: has is false.
func (r *Registry) HasBlob(ctx context.Context, repository, digest string) (size int64, has bool, err error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return 0, false, err
	}
	resp, _, err := r.ask(ctx, repo.Registry, request{
		method: http.MethodHead, path: blobAddress(repo, digest), scopes: []string{repo.Scope(pushAction)}, strict: true,
	})
	switch {
	case err != nil:
		return 0, false, err
	case resp.StatusCode == http.StatusNotFound:
		return 0, false, nil
	case resp.StatusCode == http.StatusOK && resp.ContentLength >= 0:
		return resp.ContentLength, true, nil
	case resp.StatusCode == http.StatusOK, redirects(resp.StatusCode):
		size = r.firstByte(ctx, repo, digest)
		return size, size >= 0, nil
	}
	return 0, false, refusal(resp, nil, repo.String()+"@"+digest)
}

// firstByte asks for one byte of a blob to learn how many there are; -1 is unknown. A HEAD
// would not do everywhere: addresses that hosts redirect to may be signed for GET alone.
func (r *Registry) firstByte(ctx context.Context, repo name.Repository, digest string) int64 {
	resp, err := r.getBlob(ctx, repo, digest, 0, 1)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.ContentLength
	case http.StatusPartialContent:
		var first, last, size int64
		if n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size); err == nil && n == 3 {
			return size
		}
	}
	return -1
}

func redirects(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// Blob returns the size bytes of a blob, unchecked. Where the connection breaks it goes on
// from there, for as long as each brings a floor's worth of bytes (httpread's MinRate) before
// it breaks; of others, and of those that are too slow, there are as many as attempts of a
// request. What is read fails where there is more or less than size.
func (r *Registry) Blob(ctx context.Context, repository, digest string, size int64) (io.ReadCloser, error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return nil, err
	}
	if size < 0 {
		return nil, fmt.Errorf("blob %s of %d bytes", digest, size)
	}
	return &reading{ctx: ctx, r: r, repo: repo, digest: digest, size: size}, nil
}

// reading is a blob on its way. It is for one reader.
type reading struct {
	ctx    context.Context
	r      *Registry
	repo   name.Repository
	digest string
	size   int64

	body    io.ReadCloser // nil while there is none
	at      int64
	brought int64 // of these, by body
	failed  int   // attempts since one that was worth it
}

func (b *reading) Read(p []byte) (int, error) {
	for {
		n, err := b.once(p)
		b.at += int64(n)
		b.brought += int64(n)
		switch {
		case b.at > b.size:
			return 0, audit.Fail(finding.TooLarge, "%s@%s has more than the %d bytes that its manifest says", b.repo, b.digest, b.size)
		case n > 0 || err == nil:
			return n, nil
		case ended(err) && b.at == b.size:
			return 0, io.EOF
		case ended(err):
			err = audit.Fail(finding.Malformed, "%s@%s has %d bytes, its manifest says %d", b.repo, b.digest, b.at, b.size)
		}
		retry := b.r.host(b.repo.Registry).stream
		b.fail(err, retry.Floor())
		if b.failed >= retry.Transport().Attempts() || !passing(err) {
			return 0, err
		}
		if err := pace.Sleep(b.ctx, retry.Transport().Backoff(b.failed)); err != nil {
			return 0, err
		}
	}
}

// fail ends an attempt. One that was worth it is the first that failed; a slow one never is, or
// a source could go on for ever with little.
func (b *reading) fail(err error, worth int64) {
	b.drop()
	if b.brought >= worth && !errors.Is(err, httpread.ErrSlow) {
		b.failed = 0
	}
	b.failed++
	b.brought = 0
}

// ended tells the end of a body from a connection that broke, whose error may wrap the same.
func ended(err error) bool {
	var unread *audit.Unread
	return errors.Is(err, io.EOF) && !errors.As(err, &unread)
}

// once reads from the answer that there is, or asks for one. An answer whose end is due is
// asked whether it has more.
func (b *reading) once(p []byte) (int, error) {
	if b.body == nil {
		if b.at == b.size && b.size > 0 {
			return 0, io.EOF
		}
		body, err := b.r.openBlob(b.ctx, b.repo, b.digest, b.at, b.size)
		if err != nil {
			return 0, err
		}
		b.body = body
	}
	return b.body.Read(p)
}

func (b *reading) drop() {
	if b.body != nil {
		b.body.Close()
		b.body = nil
	}
}

func (b *reading) Close() error {
	b.drop()
	return nil
}

// passing tells errors that another attempt may not meet.
func passing(err error) bool {
	var unread *audit.Unread
	if !errors.As(err, &unread) {
		return false
	}
	switch unread.Reason {
	case finding.Throttled, finding.Unavailable, finding.TimedOut:
		return true
	}
	return false
}

// getBlob asks for a range of a blob, to excluded, wherever it is kept; 0, 0 is all of it.
func (r *Registry) getBlob(ctx context.Context, repo name.Repository, digest string, from, to int64) (*http.Response, error) {
	q := request{
		method: http.MethodGet, path: blobAddress(repo, digest), scopes: []string{repo.Scope(pullAction)},
		stream: true, from: from, to: to,
	}
	resp, err := r.send(ctx, repo.Registry, q)
	for hop := 0; err == nil && redirects(resp.StatusCode); hop++ {
		if hop == maxRedirects {
			resp.Body.Close()
			return nil, audit.Fail(finding.Malformed, "%s@%s: redirected too often", repo, digest)
		}
		resp, err = r.redirect(ctx, repo, q, resp)
	}
	return resp, err
}

// openBlob asks for a blob from an offset on.
func (r *Registry) openBlob(ctx context.Context, repo name.Repository, digest string, from, size int64) (io.ReadCloser, error) {
	what, to := repo.String()+"@"+digest, size
	if from == 0 {
		to = 0
	}
	resp, err := r.getBlob(ctx, repo, digest, from, to)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		if _, err := io.CopyN(io.Discard, resp.Body, from); err != nil {
			resp.Body.Close()
			if ended(err) {
				err = audit.Fail(finding.Unavailable, "%s: the answer ends early", what)
			}
			return nil, err
		}
		return resp.Body, nil
	case resp.StatusCode == http.StatusPartialContent && startsAt(resp, from):
		return resp.Body, nil
	case resp.StatusCode == http.StatusPartialContent:
		resp.Body.Close()
		return nil, audit.Fail(finding.Malformed, "%s: answered with another range", what)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	if err != nil {
		return nil, audit.Fail(finding.Unavailable, "%s: the answer ends early", what)
	}
	return nil, refusal(resp, body, what)
}

func startsAt(resp *http.Response, from int64) bool {
	var first int64
	n, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-", &first)
	return err == nil && n == 1 && first == from
}

// redirect follows one step to where a host keeps its blobs. Another host is shown no
// credential, is asked over https only, and has to have a name: what is reached by a bare
// address is rarely meant for the world.
func (r *Registry) redirect(ctx context.Context, repo name.Repository, q request, resp *http.Response) (*http.Response, error) {
	resp.Body.Close()
	was := resp.Request.URL
	to, err := was.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return nil, audit.Fail(finding.Malformed, "%s: redirected to what is no address", repo)
	}
	if to.Host == repo.RegistryStr() && to.Scheme == was.Scheme {
		q.path = to.RequestURI()
		return r.send(ctx, repo.Registry, q)
	}
	if !r.mayLead(to) {
		return nil, audit.Fail(finding.Malformed, "%s: redirected to where it may not lead: blobs come from https hosts with names", repo)
	}
	q.path = to.RequestURI()
	req, err := q.build(ctx, to.Scheme+"://"+to.Host)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: r.away, CheckRedirect: r.streams.CheckRedirect}
	answer, err := client.Do(req)
	if err != nil {
		return nil, r.host(repo.Registry).unread(err, "what %s redirects to does not answer")
	}
	return answer, nil
}

func (r *Registry) mayLead(to *url.URL) bool {
	host := to.Hostname()
	return to.Scheme == "https" && to.User == nil && net.ParseIP(host) == nil && host != "localhost"
}
