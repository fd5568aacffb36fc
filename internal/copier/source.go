// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import "context"

// rationed is a source that is asked for a few manifests and lists at once, whoever asks: each may have megabytes.
type rationed struct {
	Source
	places *places
}

func (s rationed) Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error) {
	err = s.places.do(ctx, groupOf(repository), func() error {
		body, mediaType, err = s.Source.Manifest(ctx, repository, reference)
		return err
	})
	return body, mediaType, err
}

func (s rationed) Tags(ctx context.Context, repository string) (tags []string, err error) {
	err = s.places.do(ctx, groupOf(repository), func() error {
		tags, err = s.Source.Tags(ctx, repository)
		return err
	})
	return tags, err
}

func (s rationed) Referrers(ctx context.Context, repository, digest string) (all []string, err error) {
	err = s.places.do(ctx, groupOf(repository), func() error {
		all, err = s.Source.Referrers(ctx, repository, digest)
		return err
	})
	return all, err
}
