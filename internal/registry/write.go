// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// Whether a host takes a whole blob with the POST that otherwise only begins an upload, which
// is an optional part of the protocol.
const (
	singleUnknown int32 = iota
	singleTaken
	singleRefused

	trialSize = 1 << 20 // bytes of a blob to find out with
)

// Opener returns the bytes of a blob from the start. It is called for every attempt.
type Opener = func(context.Context) (io.ReadCloser, error)

// Upload puts a blob into a repository. Where from names a repository of the same host, that
// is asked to share it (mounted); what it does not share is sent, size bytes from open. What
// fails is begun anew, not gone on with. A reader of open's that fails leaves the upload
// unfinished, and its error is returned.
func (r *Registry) Upload(ctx context.Context, repository, digest string, size int64, from string, open Opener) (mounted bool, err error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return false, err
	}
	u := &upload{r: r, repo: repo, digest: digest, size: size, open: open, scopes: []string{repo.Scope(pushAction)}}
	if from != "" {
		if u.from, err = parse(from); err != nil {
			return false, err
		}
		u.scopes = append(u.scopes, u.from.Scope(pullAction))
	}
	retry := r.host(repo.Registry).stream.Transport()
	for failed := 0; ; {
		mounted, err = u.attempt(ctx)
		if failed++; err == nil || u.broken != nil || failed >= retry.Attempts() || !passing(err) && !errors.Is(err, errLostUpload) {
			break
		}
		if err := pace.Sleep(ctx, retry.Backoff(failed)); err != nil {
			return false, err
		}
	}
	if err != nil && u.broken != nil {
		err = u.broken
	}
	return mounted, err
}

// upload is one blob on its way into a repository.
type upload struct {
	r      *Registry
	repo   name.Repository
	digest string
	size   int64
	from   name.Repository // zero where there is none
	open   Opener
	scopes []string
	broken error // of our own reader, in the last attempt
}

func (u *upload) what() string { return u.repo.String() + "@" + u.digest }

// errLostUpload says that the registry has forgotten an upload that it had begun.
var errLostUpload = errors.New("the upload is not known any more")

func (u *upload) attempt(ctx context.Context) (mounted bool, err error) {
	u.broken = nil
	to, done, err := u.begin(ctx)
	if err != nil && u.from != (name.Repository{}) && !passing(err) && ctx.Err() == nil {
		// It may be that we may not see the other repository.
		u.from, u.scopes = name.Repository{}, u.scopes[:1]
		to, done, err = u.begin(ctx)
	}
	if err != nil || done {
		return done && u.from != (name.Repository{}), err
	}
	return false, u.finish(ctx, to)
}

// begin asks for an upload. done says that none is needed any more: mounted or taken whole.
func (u *upload) begin(ctx context.Context) (to *url.URL, done bool, err error) {
	h, query := u.r.host(u.repo.Registry), url.Values{}
	if u.from != (name.Repository{}) {
		query.Set("mount", u.digest)
		query.Set("from", u.from.RepositoryStr())
	} else if known := h.single.Load(); known == singleTaken || known == singleUnknown && u.size <= trialSize {
		to, done, err = u.whole(ctx, h)
		if done || err != nil || to != nil {
			return to, done, err
		}
	}
	path := "/v2/" + u.repo.RepositoryStr() + "/blobs/uploads/"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, body, err := u.r.ask(ctx, u.repo.Registry, request{method: http.MethodPost, path: path, scopes: u.scopes, strict: true})
	if err != nil {
		return nil, false, err
	}
	return u.began(resp, body)
}

// whole sends the blob with the first request. No answer and no error: it has to be done
// in two.
func (u *upload) whole(ctx context.Context, h *host) (to *url.URL, done bool, err error) {
	path := "/v2/" + u.repo.RepositoryStr() + "/blobs/uploads/?" + url.Values{"digest": {u.digest}}.Encode()
	resp, body, err := u.put(ctx, http.MethodPost, path)
	switch {
	case err != nil:
		return nil, false, err
	case resp.StatusCode == http.StatusCreated:
		h.single.Store(singleTaken)
		return nil, true, u.check(resp)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, false, refusal(resp, body, u.what())
	}
	h.single.Store(singleRefused)
	if resp.StatusCode == http.StatusAccepted {
		return u.began(resp, body)
	}
	return nil, false, nil
}

// began reads the answer to the begin of an upload. It goes on at the same registry, in the
// scheme that we have spoken so far, wherever the answer says.
func (u *upload) began(resp *http.Response, body []byte) (to *url.URL, done bool, err error) {
	switch resp.StatusCode {
	case http.StatusCreated:
		return nil, true, u.check(resp)
	case http.StatusAccepted:
		to, err = resp.Request.URL.Parse(resp.Header.Get("Location"))
		if err != nil || to.Host != resp.Request.URL.Host || to.Path == "" {
			return nil, false, audit.Fail(finding.Malformed, "%s: the upload does not go on at the same registry", u.what())
		}
		return to, false, nil
	}
	return nil, false, refusal(resp, body, u.what())
}

func (u *upload) finish(ctx context.Context, to *url.URL) error {
	query := to.Query()
	query.Set("digest", u.digest)
	to.RawQuery = query.Encode()
	resp, body, err := u.put(ctx, http.MethodPut, to.RequestURI())
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusCreated:
		return u.check(resp)
	case resp.StatusCode == http.StatusNotFound && code(body) == "BLOB_UPLOAD_UNKNOWN":
		return audit.Fail(finding.NotFound, "%s: %w", u.what(), errLostUpload)
	}
	return refusal(resp, body, u.what())
}

// put sends the blob and remembers whether it was our side that failed.
func (u *upload) put(ctx context.Context, method, path string) (*http.Response, []byte, error) {
	own := &failure{}
	resp, body, err := u.r.ask(ctx, u.repo.Registry, request{
		method: method, path: path, scopes: u.scopes, contentType: "application/octet-stream", length: u.size,
		open: func(ctx context.Context) (io.ReadCloser, error) {
			opened, err := u.open(ctx)
			if err != nil {
				own.set(err)
				return nil, err
			}
			return watched{opened, own}, nil
		},
	})
	if err != nil {
		u.broken = own.get()
	}
	return resp, body, err
}

// check compares the digest that the registry says it stored, if it does.
func (u *upload) check(resp *http.Response) error {
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != u.digest {
		return audit.Fail(finding.Malformed, "%s: stored as another digest", u.what())
	}
	return nil
}

// PutManifest puts a manifest under a tag or its digest. Putting it twice is as once, so it
// is repeated as reads are. referrer says that the registry took notice of its subject.
func (r *Registry) PutManifest(ctx context.Context, repository, reference, mediaType string, body []byte) (referrer bool, err error) {
	repo, err := parse(repository)
	if err != nil {
		return false, err
	}
	if !manifest.IsTag(reference) && !manifest.IsDigest(reference) {
		return false, fmt.Errorf("%q is neither a tag nor a digest", reference)
	}
	what := repo.String() + "/manifests/" + reference
	resp, answer, err := r.ask(ctx, repo.Registry, request{
		method: http.MethodPut, path: address(repo, reference), scopes: []string{repo.Scope(pushAction)},
		contentType: mediaType, body: body, strict: true,
	})
	switch {
	case err != nil:
		return false, err
	case resp.StatusCode != http.StatusCreated:
		return false, refusal(resp, answer, what)
	}
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != manifest.DigestOf(body) {
		return false, audit.Fail(finding.Malformed, "%s: stored as another digest", what)
	}
	return resp.Header.Get("OCI-Subject") != "", nil
}
