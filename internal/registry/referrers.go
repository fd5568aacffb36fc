// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// Referrers lists the digests of the manifests whose subject is the given one, sorted. Where
// the registry says twice that it has no such list, it is under the tag sha256-HEX, if
// anywhere.
func (r *Registry) Referrers(ctx context.Context, repository, digest string) ([]string, error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return nil, err
	}
	h := r.host(repo.Registry)
	for range 2 {
		if h.noReferrers.Load() {
			break
		}
		found, err := r.referrers(ctx, repo, digest)
		if !lacks(err) {
			return found, err
		}
	}
	h.noReferrers.Store(true)
	c, _, err := r.fetch(ctx, repo, manifest.DigestTag(digest))
	switch {
	case errors.Is(err, manifest.ErrNoManifest), errors.Is(err, manifest.ErrNoRepository):
		return nil, nil
	case err != nil:
		return nil, err
	case !valid(c.Manifests):
		return nil, audit.Fail(finding.Malformed, "%s: a digest that is none", repo.Tag(manifest.DigestTag(digest)))
	}
	return slices.Compact(slices.Sorted(slices.Values(c.Manifests))), nil
}

func (r *Registry) referrers(ctx context.Context, repo name.Repository, digest string) ([]string, error) {
	found := map[string]bool{}
	err := r.pages(ctx, repo.Registry, repo.Scope(pullAction), "/v2/"+repo.RepositoryStr()+"/referrers/"+digest, func(body []byte) (int, error) {
		before := len(found)
		c, err := decode(body)
		if err == nil && !valid(c.Manifests) {
			err = errors.New("a digest that is none")
		}
		for _, d := range c.Manifests {
			found[d] = true
		}
		return len(found) - before, err
	})
	return slices.Sorted(maps.Keys(found)), err
}

// lacks tells that there is no list of referrers at a registry.
func lacks(err error) bool {
	var unread *audit.Unread
	return errors.As(err, &unread) && unread.Reason == finding.NotFound && !errors.Is(err, manifest.ErrNoRepository)
}

func valid(digests []string) bool {
	return !slices.ContainsFunc(digests, func(d string) bool { return !manifest.IsDigest(d) })
}
