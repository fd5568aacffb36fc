// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package copier copies images of container registries to many repositories.
//
// Of each image it copies what belongs to it: the manifests of an index, their blobs, and
// what is attached to them. A blob is read from the source once, into a bounded spool, and
// every repository is served from there while it still fills; a second repository of a host
// mounts it from the first. A tag is written last, when all that it stands for is there, and
// a tag that stands for something else is left alone. A registry that fails or is slow holds
// up no other. What is to be copied, and what a registry is, is for others to say.
package copier

import (
	"context"
	"errors"
	"io"
)

// Job is one image and where it is to go.
type Job struct {
	Source  string // HOST/PATH
	Digest  string // of the image: an index or a single manifest
	Targets []Target
}

// Target is a repository that gets an image.
type Target struct {
	Repository string   // HOST/PATH
	Tags       []string // none: by its digest only
	Known      Known
}

// Known is what is known of a repository before the copy, from a list that was read in the
// same run. The zero value is nothing: then it is asked. Maps may be shared between targets;
// they are only read.
type Known struct {
	// New says that there was no such repository. Nothing is asked about it but what its tags stand for, before they are put,
	// because somebody may have put one since.
	New bool
	// Tags maps the tags of the repository to their digests. One that stands for the image is not put, and one that stands for
	// something else fails the target at once. A tag that is not in it may be there all the same, and is asked for.
	Tags map[string]string
	// Digests holds the manifests of the repository, as manifest.Listing.Digests; what is
	// in it is there with all that it needs. What is not in it may be there all the same.
	Digests map[string]string
}

// Outcome is what became of one target.
type Outcome struct {
	Job    int // index of the job
	Target int // index in its Targets
	// Err is nil where the repository holds the image under all tags, asked after the copy.
	// It is or wraps ErrTagMove, ErrGivenUp, *audit.Unread, or the error of ctx.
	Err       error
	Written   []string // tags that were put by this copy
	Manifests int      // put by this copy
	Mounted   int      // blobs that were mounted
	Uploaded  int      // blobs that were sent
	Bytes     int64    // of the blobs that were sent
	Attached  int      // signatures and the like that were put
}

// Event tells that a target is finished.
type Event struct {
	Outcome
	Done, Total int   // targets
	Read        int64 // bytes of blobs read from sources so far
	Sent        int64 // bytes of blobs sent to targets so far
}

var (
	// ErrTagMove says that a tag stands for another digest at the destination; the text
	// names both.
	ErrTagMove = errors.New("the tag stands for another digest")
	// ErrGivenUp says that a host, or a project's source, failed too often in a row to be asked again in this copy.
	ErrGivenUp = errors.New("given up")
)

// Source is a registry that images come from. Repositories are HOST/PATH.
type Source interface {
	// Manifest returns the bytes of a manifest, by tag or digest, and its media type. The
	// bytes have the digest that they were asked for by. manifest.ErrNoManifest and
	// manifest.ErrNoRepository say that there is none.
	Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error)
	// Blob returns the size bytes of a blob, unchecked. What is read fails where there is more
	// or less.
	Blob(ctx context.Context, repository, digest string, size int64) (io.ReadCloser, error)
	// Tags lists the tags of a repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Referrers lists the digests of manifests whose subject is the given one.
	Referrers(ctx context.Context, repository, digest string) ([]string, error)
}

// Destination is a registry that images go to.
type Destination interface {
	Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error)
	// Resolve returns the digest of a tag, or the digest itself if it is there;
	// manifest.ErrNoManifest or manifest.ErrNoRepository if not.
	Resolve(ctx context.Context, repository, reference string) (string, error)
	// HasBlob tells whether a repository has a blob, and its size.
	HasBlob(ctx context.Context, repository, digest string) (size int64, has bool, err error)
	// Upload puts a blob into a repository: mounted from another of the same host where from
	// names one and the registry does so, else sent. open returns the bytes from the start; it
	// is called again for every attempt. A reader that fails ends the attempt unfinished, and its error is in what is returned.
	Upload(ctx context.Context, repository, digest string, size int64, from string, open func(context.Context) (io.ReadCloser, error)) (mounted bool, err error)
	// PutManifest puts a manifest by tag or digest. referrer says that the registry took
	// notice of its subject.
	PutManifest(ctx context.Context, repository, reference, mediaType string, body []byte) (referrer bool, err error)
}

// Registry is both.
type Registry interface {
	Source
	Destination
}

// Options of a Copier. Zero values mean the defaults.
type Options struct {
	Dir       string // where the spool's folder is made; the system's folder for temporary files
	Spool     int64  // bytes of it at the most, which is also the largest blob; 16 GiB
	Memory    int64  // bytes of blobs kept in memory, those below 1 MiB each; 24 MiB
	Downloads int    // blobs read from sources at once; 16
	PerHost   int    // writes to one host at once; 16
	GiveUp    int    // failed targets in a row after which a host is given up, and failed reads, a project's source; 5
	// Attached takes along what belongs to an image: referrers, and the tags
	// sha256-HEX.sig, .att and .sbom.
	Attached bool
}
