// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// Referrers lists the digests of the manifests whose subject is the given one, sorted. Where
// the registry says twice that a repository has no such list, it is under the tag sha256-HEX, if
// anywhere. That is not believed of one repository if another one of the same registry has such
// lists and it is not said in the words of the specification: then what is attached would be
// hidden by whoever stands between.
func (r *Registry) Referrers(ctx context.Context, repository, digest string) ([]string, error) {
	repo, err := parseBlob(repository, digest)
	if err != nil {
		return nil, err
	}
	h := r.host(repo.Registry)
	if !h.lists.lacking(repo) {
		found, err := r.listed(ctx, h, repo, digest)
		if !lacks(err) {
			return found, err
		}
	}
	return r.tagged(ctx, repo, digest)
}

// listed asks for a list, twice where there seems to be none.
func (r *Registry) listed(ctx context.Context, h *host, repo name.Repository, digest string) (found []string, err error) {
	for range 2 {
		if found, err = r.referrers(ctx, repo, digest); !lacks(err) {
			break
		}
	}
	return found, h.lists.judge(repo, err)
}

// tagged reads the index that stands in for a list.
func (r *Registry) tagged(ctx context.Context, repo name.Repository, digest string) ([]string, error) {
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

// lists is what is known of a registry's lists of referrers. One repository without speaks for
// no other, and no longer than until one has a list: either all have, or none.
type lists struct {
	mu      sync.Mutex
	some    bool // were given
	without map[string]bool
}

// lacking tells that a repository needs not be asked any more.
func (l *lists) lacking(repo name.Repository) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.some && l.without[repo.String()]
}

// judge remembers how a question for a list ended, and returns what to make of it.
func (l *lists) judge(repo name.Repository, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.some = true
	case !lacks(err):
	case l.some && !worded(err):
		return audit.Fail(finding.Unavailable, "%s: no list of referrers, which others of the registry have, and not said in the words of the specification", repo)
	case !l.some:
		if l.without == nil {
			l.without = map[string]bool{}
		}
		l.without[repo.String()] = true
	}
	return err
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
