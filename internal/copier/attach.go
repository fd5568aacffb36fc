// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// Attach puts a manifest whose subject is another one, and enters it into the index that stands in for a list where the
// registry keeps none. Its blobs have to be there. Nobody else may write that index at the same time.
func Attach(ctx context.Context, to Destination, repository, subject string, body []byte, mediaType string) error {
	top, err := parse(body, mediaType)
	if err != nil {
		return err
	}
	listed, err := to.PutManifest(ctx, repository, top.Digest, top.MediaType, body)
	if err != nil || listed {
		return err
	}
	tag := manifest.DigestTag(subject)
	index, _, err := to.Manifest(ctx, repository, tag)
	if err != nil && !gone(err) {
		return err
	}
	if index, err = enter(index, top); err != nil {
		return audit.Fail(finding.Malformed, "%s:%s %w", repository, tag, err)
	}
	if index == nil {
		return nil
	}
	_, err = to.PutManifest(ctx, repository, tag, ociIndex, index)
	return err
}
