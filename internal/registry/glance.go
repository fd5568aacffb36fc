// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/manifest"
)

// Glance is List for one request a page: tags whose digest the registry did not tell with
// them are in open, sorted, and not asked for.
func (r *Registry) Glance(ctx context.Context, repository string) (l manifest.Listing, open []string, err error) {
	repo, err := parse(repository)
	if err != nil {
		return l, nil, err
	}
	l, open, err = r.glance(ctx, repo)
	if !errors.Is(err, manifest.ErrNoRepository) {
		return l, open, err
	}
	if err := r.ping(ctx, repo); err != nil {
		return l, nil, err
	}
	return r.glance(ctx, repo)
}

func (r *Registry) glance(ctx context.Context, repo name.Repository) (l manifest.Listing, open []string, err error) {
	c, err := r.collect(ctx, repo)
	if err != nil {
		return l, nil, err
	}
	l, open = c.listing()
	return l, open, nil
}
