// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's ids
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/thread"
)

// objects caches git objects by id over all repositories: an id names its
// content. Each map is emptied when it is full, which costs one cold read.
type objects struct {
	mu    sync.Mutex
	trees map[string][]gitfs.Entry
	roots map[string]string // tree id by commit id
	blobs map[string][]byte
	large map[string]int       // sizes of blobs that are not read
	warm  map[thread.Repo]bool // repositories whose tree was read whole once
}

// The bounds hold a few repositories of the size of kubernetes/kubernetes.
const (
	maxTrees    = 200_000
	maxRoots    = 10_000
	maxBlobs    = 50_000
	maxBlobSize = 1 << 20
)

func newObjects() *objects {
	return &objects{
		trees: map[string][]gitfs.Entry{}, roots: map[string]string{},
		blobs: map[string][]byte{}, large: map[string]int{}, warm: map[thread.Repo]bool{},
	}
}

// store puts v into a map of at most limit entries, and load reads it back.
func store[V any](o *objects, m map[string]V, limit int, id string, v V) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(m) >= limit {
		clear(m)
		clear(o.warm) // one listing is cheaper than one per directory
	}
	m[id] = v
}

func load[V any](o *objects, m map[string]V, id string) (V, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	v, ok := m[id]
	return v, ok
}

// FS is the tree of a commit. The first commit of a repository is read in one
// recursive listing, with the contents of all files whose name prefetch accepts
// in a few GraphQL queries; of later commits only the directories that changed
// are listed, and all at once again where those are many: whoever opens a pull
// request decides how many it has.
func (c *Client) FS(ctx context.Context, repo thread.Repo, commit string, prefetch func(name string) bool) (fs.FS, error) {
	src := &source{ctx: ctx, c: c, repo: repo, prefetch: prefetch}
	root, known := load(c.objects, c.objects.roots, commit)
	if !known {
		c.objects.mu.Lock()
		warm := c.objects.warm[repo]
		c.objects.mu.Unlock()
		listing, err := src.list(commit, !warm)
		if err != nil {
			return nil, fmt.Errorf("read tree of %s at %s: %w", repo, commit, err)
		}
		root = listing.SHA
		store(c.objects, c.objects.roots, maxRoots, commit, root)
		c.objects.mu.Lock()
		c.objects.warm[repo] = true // a truncated listing will not get shorter
		c.objects.mu.Unlock()
	}
	src.root = root
	return gitfs.New(src, root), nil
}

type treeListing struct {
	SHA  string `json:"sha"`
	Tree []struct {
		Path string `json:"path"`
		Mode string `json:"mode"`
		Type string `json:"type"`
		SHA  string `json:"sha"`
		Size int    `json:"size"` // of blobs
	} `json:"tree"`
	Truncated bool `json:"truncated"`
}

func (t treeListing) entries() []gitfs.Entry {
	out := make([]gitfs.Entry, len(t.Tree))
	for i, e := range t.Tree {
		out[i] = gitfs.Entry{Name: e.Path, Mode: gitfs.ParseMode(e.Mode), ID: e.SHA}
	}
	return out
}

func (c *Client) listing(ctx context.Context, repo thread.Repo, id string, recursive bool) (treeListing, error) {
	r := request{org: repo.Org, method: http.MethodGet, path: repoPath(repo, "git", "trees", id), route: "/repos/git/trees"}
	if recursive {
		r.path += "?recursive=1"
	}
	var answer treeListing
	_, err := c.call(ctx, r, &answer)
	for _, e := range answer.Tree {
		if e.Size > maxBlobSize {
			store(c.objects, c.objects.large, maxBlobs, e.SHA, e.Size)
		}
	}
	return answer, err
}

// keepTrees splits a recursive listing into its directories.
func (c *Client) keepTrees(t treeListing) {
	ids := map[string]string{".": t.SHA}
	dirs := map[string][]gitfs.Entry{".": nil}
	for _, e := range t.Tree {
		if e.Type == "tree" {
			ids[e.Path] = e.SHA
			dirs[e.Path] = nil
		}
	}
	for _, e := range t.Tree {
		dir := path.Dir(e.Path)
		dirs[dir] = append(dirs[dir], gitfs.Entry{Name: path.Base(e.Path), Mode: gitfs.ParseMode(e.Mode), ID: e.SHA})
	}
	for dir, entries := range dirs {
		if id, ok := ids[dir]; ok {
			store(c.objects, c.objects.trees, maxTrees, id, entries)
		}
	}
}

// blobsPerQuery keeps a GraphQL query below GitHub's limits on nodes and time.
const blobsPerQuery = 100

func (c *Client) prefetch(ctx context.Context, repo thread.Repo, t treeListing, want func(string) bool) error {
	var missing []string
	asked := map[string]bool{}
	for _, e := range t.Tree {
		if e.Type != "blob" || e.Size > maxBlobSize || !want(path.Base(e.Path)) || asked[e.SHA] {
			continue
		}
		if _, known := load(c.objects, c.objects.blobs, e.SHA); !known {
			asked[e.SHA] = true
			missing = append(missing, e.SHA)
		}
	}
	for len(missing) > 0 {
		n := min(blobsPerQuery, len(missing))
		if err := c.readBlobs(ctx, repo, missing[:n]); err != nil {
			return err
		}
		missing = missing[n:]
	}
	return nil
}

type graphBlob struct {
	Text      *string `json:"text"`
	IsBinary  bool    `json:"isBinary"`
	Truncated bool    `json:"isTruncated"`
}

// readBlobs asks for many small text files in one query. What GraphQL cannot
// give whole is left to the REST API, one by one, when it is needed.
func (c *Client) readBlobs(ctx context.Context, repo thread.Repo, ids []string) error {
	var q strings.Builder
	q.WriteString("query($org:String!,$repo:String!){repository(owner:$org,name:$repo){")
	for i, id := range ids {
		fmt.Fprintf(&q, "b%d:object(oid:%q){...on Blob{text isBinary isTruncated}}\n", i, id)
	}
	q.WriteString("}}")
	var answer struct {
		Repository map[string]*graphBlob `json:"repository"`
	}
	if err := c.query(ctx, repo.Org, "blobs", q.String(), map[string]any{"org": repo.Org, "repo": repo.Name}, &answer); err != nil {
		return err
	}
	for i, id := range ids {
		b := answer.Repository[fmt.Sprintf("b%d", i)]
		// The text may have been transcoded: it is the blob only if it has its id.
		if b != nil && b.Text != nil && !b.IsBinary && !b.Truncated && blobID(*b.Text) == id {
			store(c.objects, c.objects.blobs, maxBlobs, id, []byte(*b.Text))
		}
	}
	return nil
}

// blobID is git's name for a content.
func blobID(content string) string {
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))) //nolint:gosec // git's ids
}

// source reads objects of one repository for one FS, within one context.
type source struct {
	ctx      context.Context //nolint:containedctx // io/fs has no contexts
	c        *Client
	repo     thread.Repo
	prefetch func(string) bool

	root  string
	trees atomic.Int32 // listings that were not in the cache; a walk may be concurrent
}

// A walk that needs more listings than manyTrees reads the whole tree at once,
// and is given up at mostTrees where GitHub does not list it whole.
const (
	manyTrees = 30
	mostTrees = 2000
)

// list reads one tree, or with recursive all below it as well, into the cache.
func (s *source) list(id string, recursive bool) (treeListing, error) {
	listing, err := s.c.listing(s.ctx, s.repo, id, recursive)
	switch {
	case err != nil:
		return listing, err
	case recursive && listing.Truncated:
		return listing, nil // its directories may be incomplete
	case recursive:
		s.c.keepTrees(listing)
		return listing, s.c.prefetch(s.ctx, s.repo, listing, s.prefetch)
	case listing.Truncated:
		return listing, fmt.Errorf("tree %s has more entries than GitHub lists", id)
	}
	store(s.c.objects, s.c.objects.trees, maxTrees, listing.SHA, listing.entries())
	return listing, nil
}

func (s *source) Tree(id string) ([]gitfs.Entry, error) {
	if entries, known := load(s.c.objects, s.c.objects.trees, id); known {
		return entries, nil
	}
	switch n := s.trees.Add(1); {
	case n == manyTrees:
		if _, err := s.list(s.root, true); err != nil {
			return nil, err
		}
		return s.Tree(id)
	case n > mostTrees:
		return nil, fmt.Errorf("more than %d directories are not known yet", mostTrees)
	}
	listing, err := s.list(id, false)
	if err != nil {
		return nil, err
	}
	return listing.entries(), nil
}

// SizeError refuses a blob that is not kept in memory. Nothing is wrong with the
// repository or the connection: reading it again would not help.
type SizeError struct {
	ID   string
	Size int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("blob %s has %d bytes, more than %d", e.ID, e.Size, maxBlobSize)
}

// TooLarge tells readers that know no GitHub that the content is out of bounds.
func (e *SizeError) TooLarge() bool { return true }

func (s *source) Blob(id string) ([]byte, error) {
	if content, known := load(s.c.objects, s.c.objects.blobs, id); known {
		return content, nil
	}
	if size, known := load(s.c.objects, s.c.objects.large, id); known {
		return nil, &SizeError{ID: id, Size: size}
	}
	var answer struct {
		Content  string `json:"content"`
		Encoding string `json:"encoding"`
		Size     int    `json:"size"`
	}
	r := request{org: s.repo.Org, method: http.MethodGet, path: repoPath(s.repo, "git", "blobs", id), route: "/repos/git/blobs"}
	if _, err := s.c.call(s.ctx, r, &answer); err != nil {
		return nil, err
	}
	if answer.Size > maxBlobSize {
		store(s.c.objects, s.c.objects.large, maxBlobs, id, answer.Size)
		return nil, &SizeError{ID: id, Size: answer.Size}
	}
	if answer.Encoding != "base64" {
		return nil, fmt.Errorf("blob %s is in encoding %q, which is not read", id, answer.Encoding)
	}
	content, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(answer.Content, "\n", ""))
	if err != nil {
		return nil, fmt.Errorf("decode blob %s: %w", id, err)
	}
	store(s.c.objects, s.c.objects.blobs, maxBlobs, id, content)
	return content, nil
}
