// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package blobs keeps the blobs of images in buckets, as registry.k8s.io's archeio looks for them: under
// containers/images/DIGEST. It sends clients that are nearer to a bucket there, and to the registry for what a bucket lacks.
//
// Beside them a bucket has a record of each image whose blobs are all there, under the name that registry.k8s.io's geranos
// gives it, and with the same content, the manifest. So either program knows what the other has done. docs/promote.md
// numbers the rules.
package blobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// The names in a bucket (kubernetes/registry.k8s.io: cmd/archeio/internal/app/buckets.go, cmd/geranos/s3uploader.go).
const (
	blobPrefix   = "containers/images/"
	recordPrefix = "geranos/uploaded-images/"
)

const (
	sending   = 8               // blobs at once, each with a piece of filestore.PieceSize in memory
	maxRecord = 4 << 20         // bytes of a manifest
	patience  = 2 * time.Minute // with a request
)

// Buckets is a copier.Destination. A repository is a bucket's name, by Name; images are there by their digests only, and a
// tag is never found. It is safe for concurrent use.
type Buckets struct {
	buckets map[string]bucket // by name
	sending chan struct{}
}

type bucket struct {
	filestore.Store
	base string
}

// New returns a destination of stores by their bases, such as s3://BUCKET.
func New(stores map[string]filestore.Store) *Buckets {
	b := &Buckets{map[string]bucket{}, make(chan struct{}, sending)}
	for base, s := range stores {
		b.buckets[Name(base)] = bucket{s, base}
	}
	return b
}

// Name is what a bucket is called as a repository: no two share a host, because nothing of one can be mounted from another.
func Name(base string) string {
	return strings.NewReplacer("://", ":", "/", ":").Replace(strings.TrimSuffix(base, "/"))
}

// Records lists the images that a bucket has, by their digests.
func (b *Buckets) Records(ctx context.Context, repository string) (map[string]string, error) {
	ctx, alive, stop := watched(ctx)
	defer stop()
	at, all := b.buckets[repository], map[string]string{}
	for o, err := range at.List(ctx, recordPrefix) {
		if err != nil {
			return nil, at.fail(ctx, err)
		}
		alive()
		if digest := strings.TrimPrefix(o.Name, recordPrefix); manifest.IsDigest(digest) {
			all[digest] = ""
		}
	}
	return all, nil
}

// watched returns a context that ends when nothing was alive for patience: a bucket that hangs holds nobody up.
func watched(ctx context.Context) (watched context.Context, alive, stop func()) {
	return pace.Watchdog(ctx, patience, fmt.Errorf("no answer for %v", patience))
}

// fail says which bucket failed, so that the copier counts it. A failure of a source is none.
func (b bucket) fail(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil {
		err = ended
	}
	return audit.Fail(finding.Unavailable, "%s: %w", b.base, err)
}

// has tells whether a bucket has a file, and its size.
func (b *Buckets) has(ctx context.Context, repository, name string) (size int64, has bool, err error) {
	ctx, _, stop := watched(ctx)
	defer stop()
	at := b.buckets[repository]
	o, err := at.Stat(ctx, name)
	switch {
	case errors.Is(err, filestore.ErrNotFound):
		return 0, false, nil
	case err != nil:
		return 0, false, at.fail(ctx, err)
	}
	return o.Size, true, nil
}

// Resolve implements copier.Destination.
func (b *Buckets) Resolve(ctx context.Context, repository, reference string) (string, error) {
	if !manifest.IsDigest(reference) {
		return "", manifest.ErrNoManifest
	}
	_, there, err := b.has(ctx, repository, recordPrefix+reference)
	if err == nil && !there {
		err = manifest.ErrNoManifest
	}
	return reference, err
}

// Manifest implements copier.Destination.
func (b *Buckets) Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error) {
	if !manifest.IsDigest(reference) {
		return nil, "", manifest.ErrNoManifest
	}
	ctx, _, stop := watched(ctx)
	defer stop()
	at := b.buckets[repository]
	r, _, err := at.Open(ctx, recordPrefix+reference)
	if errors.Is(err, filestore.ErrNotFound) {
		return nil, "", manifest.ErrNoManifest
	}
	if err != nil {
		return nil, "", at.fail(ctx, err)
	}
	defer r.Close() // it is only read
	if body, err = io.ReadAll(io.LimitReader(r, maxRecord+1)); err != nil {
		return nil, "", at.fail(ctx, err)
	}
	if manifest.DigestOf(body) != reference {
		return nil, "", audit.Fail(finding.Malformed, "%s: the record of %s is another manifest", at.base, reference)
	}
	return body, "", nil
}

// HasBlob implements copier.Destination.
func (b *Buckets) HasBlob(ctx context.Context, repository, digest string) (size int64, has bool, err error) {
	return b.has(ctx, repository, blobPrefix+digest)
}

// Upload implements copier.Destination. Nothing is mounted.
func (b *Buckets) Upload(ctx context.Context, repository, digest string, size int64, _ string, open func(context.Context) (io.ReadCloser, error)) (mounted bool, err error) {
	return false, b.put(ctx, repository, blobPrefix+digest, digest, size, open)
}

// PutManifest implements copier.Destination: it writes the record. There are no lists of referrers to care for.
func (b *Buckets) PutManifest(ctx context.Context, repository, _, _ string, body []byte) (referrer bool, err error) {
	digest := manifest.DigestOf(body)
	return true, b.put(ctx, repository, recordPrefix+digest, digest, int64(len(body)), func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(body)), nil
	})
}

// put writes a file that has one content for ever: who finds it there is done.
func (b *Buckets) put(ctx context.Context, repository, name, digest string, size int64, open func(context.Context) (io.ReadCloser, error)) error {
	select {
	case b.sending <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.sending }()
	watched, alive, stop := watched(ctx)
	defer stop()
	at := b.buckets[repository]
	sink, err := at.Create(watched, name, "", filestore.Content{Size: size, SHA256: strings.TrimPrefix(digest, "sha256:")})
	if err == nil {
		if err = fill(watched, alive, sink, size, open); err != nil {
			sink.Abort()
		} else {
			err = sink.Commit()
		}
	}
	if errors.Is(err, filestore.ErrChanged) {
		return at.there(watched, name, size)
	}
	if err != nil {
		return at.fail(watched, err)
	}
	return nil
}

// there makes sure of a file that somebody else wrote.
func (b bucket) there(ctx context.Context, name string, size int64) error {
	o, err := b.Stat(ctx, name)
	switch {
	case err != nil:
		return b.fail(ctx, err)
	case o.Size != size:
		return audit.Fail(finding.Malformed, "%s: %s has %d bytes there instead of %d: remove it", b.base, name, o.Size, size)
	}
	return nil
}

// fill sends a file piece by piece. The source has proven all of it when the last bytes come.
func fill(ctx context.Context, alive func(), sink filestore.Sink, size int64, open func(context.Context) (io.ReadCloser, error)) error {
	r, err := open(ctx)
	if err != nil {
		return err
	}
	defer r.Close() // it was only read
	piece := make([]byte, min(size, filestore.PieceSize))
	for left := size; left > 0; left -= int64(len(piece)) {
		piece = piece[:min(left, int64(len(piece)))]
		if _, err := io.ReadFull(r, piece); err != nil {
			return err
		}
		alive()
		if _, err := sink.Write(piece); err != nil {
			return err
		}
		alive()
	}
	return nil
}
