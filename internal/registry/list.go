// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// The bounds of a list.
const (
	maxPages = 1000
	maxItems = 200_000

	maxListBytes = 256 << 20
	maxMediaType = 200
	resolves     = 8 // tags asked for at once
)

// List tells what a repository, HOST/PATH, holds. manifest.ErrNoRepository is said only
// if the registry says so twice and, asked in between, is one that lets us in.
func (r *Registry) List(ctx context.Context, repository string) (manifest.Listing, error) {
	listing, open, err := r.Glance(ctx, repository)
	if err != nil {
		return manifest.Listing{}, err
	}
	repo, err := parse(repository)
	if err != nil {
		return manifest.Listing{}, err
	}
	r.resolveAll(ctx, repo, &listing, open)
	return listing, ctx.Err()
}

func parse(repository string) (name.Repository, error) {
	repo, err := name.NewRepository(repository, name.StrictValidation)
	if err != nil || !manifest.IsPath(repo.RepositoryStr()) {
		return name.Repository{}, fmt.Errorf("%q is not the name of a repository", repository)
	}
	return repo, nil
}

// ping asks whether the registry lets us in, for the sake of repo.
func (r *Registry) ping(ctx context.Context, repo name.Repository) error {
	resp, body, err := r.get(ctx, repo.Registry, repo.Scope(pullAction), http.MethodGet, "/v2/", "")
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return refusal(resp, body, repo.RegistryStr()+"/v2/")
	}
	return nil
}

// get asks a registry; path holds the query.
func (r *Registry) get(ctx context.Context, reg name.Registry, scope, method, path, accept string) (*http.Response, []byte, error) {
	return r.ask(ctx, reg, request{method: method, path: path, scopes: []string{scope}, accept: accept})
}

// page is an answer to tags/list. Manifest and Child are Google's.
type page struct {
	Tags     []string `json:"tags"`
	Child    []string `json:"child"`
	Manifest map[string]struct {
		MediaType string   `json:"mediaType"`
		Tag       []string `json:"tag"`
	} `json:"manifest"`
}

func (r *Registry) collect(ctx context.Context, repo name.Repository) (collection, error) {
	var c collection
	err := r.pages(ctx, repo.Registry, repo.Scope(pullAction), "/v2/"+repo.RepositoryStr()+"/tags/list", func(body []byte) (int, error) {
		return c.add(body)
	})
	return c, err
}

// Tags lists the tags of a repository, without what they stand for.
func (r *Registry) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := parse(repository)
	if err != nil {
		return nil, err
	}
	c, err := r.collect(ctx, repo)
	return slices.Sorted(maps.Keys(c.tags)), err
}

// pages asks for a list, page after page. add returns how much a page brought.
func (r *Registry) pages(ctx context.Context, reg name.Registry, scope, path string, add func(body []byte) (int, error)) error {
	what, next := reg.RegistryStr()+path, path+"?n=1000"
	if isGoogle(reg.RegistryStr()) {
		next = path + "?n=10000"
	}
	for total, bytes, number := 0, 0, 0; next != ""; number++ {
		if number == maxPages || total > maxItems || bytes > maxListBytes {
			return audit.Fail(finding.TooLarge, "%s does not end within %d pages, %d items and %d bytes", what, maxPages, maxItems, maxListBytes)
		}
		resp, body, err := r.get(ctx, reg, scope, http.MethodGet, next, "application/json")
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return refusal(resp, body, what)
		}
		bytes += len(body)
		fresh, err := add(body)
		if err != nil {
			return audit.Fail(finding.Malformed, "%s: %w", what, err)
		}
		if next, err = follow(resp); err != nil {
			return audit.Fail(finding.Malformed, "%s: %w", what, err)
		}
		// The same page for ever would pass any bound on what is new.
		if total += fresh; next != "" && fresh == 0 {
			return audit.Fail(finding.Malformed, "%s: a page brings nothing new and is not the last", what)
		}
	}
	return nil
}

// follow reads the address of the next page (RFC 8288), which has to be at the same
// registry; "" is the end.
func follow(resp *http.Response) (string, error) {
	link := resp.Header.Get("Link")
	if link == "" {
		return "", nil
	}
	target, params, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.HasPrefix(link, "<") || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
		return "", errors.New("a Link that is none to the next page")
	}
	u, err := resp.Request.URL.Parse(target)
	if err != nil || u.Host != resp.Request.URL.Host || u.Scheme != resp.Request.URL.Scheme || !strings.HasPrefix(u.Path, "/v2/") {
		return "", errors.New("the next page is not at the same registry")
	}
	return u.RequestURI(), nil
}

// collection joins pages.
type collection struct {
	full     bool
	tags     map[string]string // "" while not known
	digests  map[string]string
	children map[string]bool
}

var errTwoDigests = errors.New("a tag stands for two digests")

func (c *collection) add(body []byte) (fresh int, err error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return 0, errors.New("not a list of tags")
	}
	if c.tags == nil {
		c.tags, c.digests, c.children = map[string]string{}, map[string]string{}, map[string]bool{}
	}
	before := len(c.tags) + len(c.digests) + len(c.children)
	c.full = c.full || p.Manifest != nil || p.Child != nil
	for digest, m := range p.Manifest {
		if !manifest.IsDigest(digest) {
			return 0, errors.New("a digest that is none")
		}
		c.digests[digest] = m.MediaType[:min(len(m.MediaType), maxMediaType)]
		for _, tag := range m.Tag {
			if err := c.tag(tag, digest); err != nil {
				return 0, err
			}
		}
	}
	for _, tag := range p.Tags {
		if err := c.tag(tag, c.tags[tag]); err != nil {
			return 0, err
		}
	}
	for _, child := range p.Child {
		if !manifest.IsPath(child) {
			return 0, errors.New("a name below it that is none")
		}
		c.children[child] = true
	}
	return len(c.tags) + len(c.digests) + len(c.children) - before, nil
}

func (c *collection) tag(tag, digest string) error {
	if !manifest.IsTag(tag) {
		return errors.New("a tag that is none")
	}
	if was := c.tags[tag]; was != "" && was != digest {
		return errTwoDigests
	}
	c.tags[tag] = digest
	return nil
}

// listing returns what is known, and the tags whose digest is not.
func (c *collection) listing() (manifest.Listing, []string) {
	l := manifest.Listing{Tags: map[string]string{}, Digests: c.digests, Full: c.full}
	for child := range c.children {
		l.Children = append(l.Children, child)
	}
	slices.Sort(l.Children)
	var open []string
	for tag, digest := range c.tags {
		if digest == "" {
			open = append(open, tag)
			continue
		}
		l.Tags[tag] = digest
	}
	slices.Sort(open)
	return l, open
}

// resolveAll asks for the digests of tags, a few at once. A tag that was listed and is
// gone by now is left out; one that cannot be read is in Unread.
func (r *Registry) resolveAll(ctx context.Context, repo name.Repository, l *manifest.Listing, open []string) {
	var mu sync.Mutex
	pace.Each(open, resolves, func(_ int, tag string) {
		digest, err := r.resolve(ctx, repo, tag)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			l.Tags[tag] = digest
			if _, known := l.Digests[digest]; !known {
				l.Digests[digest] = ""
			}
		case !errors.Is(err, manifest.ErrNoManifest):
			if l.Unread == nil {
				l.Unread = map[string]error{}
			}
			l.Unread[tag] = err
		}
	})
}

// Catalog lists the repositories below a root, HOST or HOST/PATH, relative to it. The
// part of the protocol is optional: manifest.ErrNotOffered says that there is none, or
// none for us.
func (r *Registry) Catalog(ctx context.Context, root string) ([]string, error) {
	at, below, _ := strings.Cut(root, "/")
	reg, err := name.NewRegistry(at, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("%q is not the name of a registry", at)
	}
	if below != "" {
		below += "/"
	}
	names := map[string]bool{}
	err = r.pages(ctx, reg, reg.Scope(""), "/v2/_catalog", func(body []byte) (int, error) {
		before := len(names)
		var p struct {
			Repositories []string `json:"repositories"`
		}
		if json.Unmarshal(body, &p) != nil || p.Repositories == nil {
			return 0, errors.New("not a list of repositories")
		}
		for _, n := range p.Repositories {
			if !manifest.IsPath(n) {
				return 0, errors.New("a name of a repository that is none")
			}
			names[n] = true
		}
		return len(names) - before, nil
	})
	if err != nil {
		return nil, notOffered(err)
	}
	var found []string
	for n := range names {
		if rest, ok := strings.CutPrefix(n, below); ok {
			found = append(found, rest)
		}
	}
	slices.Sort(found)
	return found, nil
}

// notOffered tells an answer that means "not here" from a failure.
func notOffered(err error) error {
	var unread *audit.Unread
	if errors.As(err, &unread) && (unread.Reason == finding.Denied || unread.Reason == finding.NotFound) {
		return &audit.Unread{Reason: unread.Reason, Err: fmt.Errorf("catalog %w: %w", manifest.ErrNotOffered, unread.Err)}
	}
	return err
}

// address is the path of a manifest.
func address(repo name.Repository, reference string) string {
	return "/v2/" + repo.RepositoryStr() + "/manifests/" + url.PathEscape(reference)
}
