// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// The bounds of an image.
const (
	maxDepth     = 5      // of indexes in indexes
	maxManifests = 1000   // of an image with all that is attached
	maxBlobs     = 1000   // of one manifest
	maxParts     = 10_000 // of all of them
	maxBody      = 4 << 20
	maxBodies    = 64 << 20  // bytes of the manifests of an image
	smallImage   = 256 << 10 // of those, beyond which an image is large: of these there is one in memory
	readsAtOnce  = 8         // manifests of all images
)

// The forms of a manifest.
const (
	ociIndex      = "application/vnd.oci.image.index.v1+json"
	ociManifest   = "application/vnd.oci.image.manifest.v1+json"
	dockerList    = "application/vnd.docker.distribution.manifest.list.v2+json"
	dockerV2      = "application/vnd.docker.distribution.manifest.v2+json"
	dockerV1      = "application/vnd.docker.distribution.manifest.v1+json"
	dockerSigned  = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	foreignDocker = "application/vnd.docker.image.rootfs.foreign."
	foreignOCI    = "application/vnd.oci.image.layer.nondistributable."
)

// descriptor is what a manifest says about something else.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// foreign tells a layer that may not be distributed: clients get it where its urls say.
func (d descriptor) foreign() bool {
	return strings.HasPrefix(d.MediaType, foreignDocker) || strings.HasPrefix(d.MediaType, foreignOCI)
}

// node is one manifest. It is not changed once it is made.
type node struct {
	descriptor
	artifact string // the type of what is attached, for lists of referrers
	body     []byte
	children []descriptor
	blobs    []descriptor
}

// tree is a manifest with all below it.
type tree struct {
	nodes []*node // children before parents, each once; the last is the top
	blobs []descriptor
}

func (t *tree) top() *node { return t.nodes[len(t.nodes)-1] }

// parse reads a manifest whose bytes have been proven. What the registry and the manifest
// itself call it has to be the same: clients choose by either.
func parse(body []byte, served string) (*node, error) {
	if len(body) > maxBody {
		return nil, fmt.Errorf("has more than %d bytes", maxBody)
	}
	var m struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		ArtifactType  string       `json:"artifactType"`
		Config        *descriptor  `json:"config"`
		Layers        []descriptor `json:"layers"`
		Blobs         []descriptor `json:"blobs"`
		Manifests     []descriptor `json:"manifests"`
	}
	if json.Unmarshal(body, &m) != nil {
		return nil, errors.New("is no JSON")
	}
	if err := unambiguous(body); err != nil {
		return nil, err
	}
	if served, _, _ = mime.ParseMediaType(served); served == "application/json" || served == "text/plain" {
		served = "" // what servers say that know no better
	}
	kind := m.MediaType
	if kind == "" {
		kind = served
	}
	n := &node{descriptor: descriptor{kind, manifest.DigestOf(body), int64(len(body))}, artifact: m.ArtifactType, body: body}
	index := kind == ociIndex || kind == dockerList
	switch {
	case kind == dockerV1 || kind == dockerSigned || m.SchemaVersion == 1:
		return nil, errors.New("is an image of schema 1, which clients do not read any more: build it anew")
	case m.SchemaVersion != 2:
		return nil, errors.New("is not a manifest of schema 2")
	case served != "" && served != kind:
		return nil, errors.New("is called something else by the registry than by itself")
	case !index && kind != ociManifest && kind != dockerV2:
		return nil, errors.New("is neither an image nor an index of OCI or Docker")
	case index && (m.Config != nil || len(m.Layers)+len(m.Blobs) > 0), !index && len(m.Manifests) > 0:
		return nil, errors.New("is an image and an index at once")
	case !index && m.Config == nil:
		return nil, errors.New("is an image without a config")
	case len(m.Layers)+len(m.Blobs) >= maxBlobs || len(m.Manifests) > maxManifests:
		return nil, fmt.Errorf("has more than %d parts", maxBlobs)
	}
	if index {
		n.children = m.Manifests
	} else {
		n.blobs = append(append([]descriptor{*m.Config}, m.Layers...), m.Blobs...)
		if n.artifact == "" {
			n.artifact = m.Config.MediaType
		}
	}
	return n, n.check()
}

func (n *node) check() error {
	for _, d := range slices.Concat(n.children, n.blobs) {
		if !manifest.IsDigest(d.Digest) {
			return errors.New("has a part whose digest is not sha256")
		}
		if d.Size < 0 || d.Size == 0 && d.Digest != manifest.DigestOf(nil) {
			return errors.New("has a part of as many bytes as it cannot have")
		}
	}
	return nil
}

// load reads manifests and all below them, level by level. Each tree is for one of the
// digests, in their order.
func (l *loader) load(ctx context.Context, source string, digests []string) ([]*tree, error) {
	level := digests
	for depth := 0; len(level) > 0; depth++ {
		if depth == maxDepth {
			return nil, fmt.Errorf("%s@%s: indexes in indexes, more than %d deep", source, digests[0], maxDepth)
		}
		var err error
		if level, err = l.read(ctx, source, level); err != nil {
			return nil, err
		}
	}
	var trees []*tree
	for _, d := range digests {
		t := &tree{}
		if err := l.collect(l.nodes[d], t, map[string]int64{}, map[string]bool{}); err != nil {
			return nil, fmt.Errorf("%s@%s: %w", source, d, err)
		}
		trees = append(trees, t)
	}
	return trees, nil
}

// loader reads the manifests of one image. Those of a large one are read when the token is free: it takes it, and whoever
// uses the image gives it back.
type loader struct {
	from  manifests
	token chan struct{}

	mu    sync.Mutex
	nodes map[string]*node
	bytes int
	parts int
	full  bool // it cannot take more without the token
	large bool // it has it
}

// manifests is what a loader needs of a registry.
type manifests interface {
	Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error)
}

func newLoader(from manifests, token chan struct{}) *loader {
	return &loader{from: from, token: token, nodes: map[string]*node{}}
}

// read reads manifests that were not read yet, and returns the digests of the level below.
func (l *loader) read(ctx context.Context, source string, digests []string) (below []string, err error) {
	if len(l.nodes)+len(digests) > maxManifests {
		return nil, fmt.Errorf("%s@%s: more than %d manifests", source, digests[0], maxManifests)
	}
	if err := l.some(ctx, source, digests); err != nil {
		return nil, err
	}
	if l.full && !l.large {
		if err := l.grow(ctx); err != nil {
			return nil, err
		}
		if err := l.some(ctx, source, digests); err != nil {
			return nil, err
		}
	}
	return l.below(digests), nil
}

// below are the children of manifests that were not read yet.
func (l *loader) below(digests []string) (below []string) {
	seen := map[string]bool{}
	for _, digest := range digests {
		for _, c := range l.nodes[digest].children {
			if l.nodes[c.Digest] == nil && !seen[c.Digest] {
				seen[c.Digest] = true
				below = append(below, c.Digest)
			}
		}
	}
	return below
}

// some reads the manifests that it lacks, until it is full.
func (l *loader) some(ctx context.Context, source string, digests []string) error {
	return all(ctx, digests, readsAtOnce, func(ctx context.Context, digest string) error {
		if !l.lacks(digest) {
			return nil
		}
		return l.one(ctx, source, digest)
	})
}

func (l *loader) lacks(digest string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[digest] == nil && (l.large || !l.full)
}

// grow waits for the token. Nobody who has it waits for one who has not: what is read so far is all that is held meanwhile.
func (l *loader) grow(ctx context.Context) error {
	select {
	case l.token <- struct{}{}:
		l.large = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// release gives the token back.
func (l *loader) release() {
	if l.large {
		<-l.token
	}
}

func (l *loader) one(ctx context.Context, source, digest string) error {
	body, served, err := l.from.Manifest(ctx, source, digest)
	if err != nil {
		return err
	}
	if manifest.DigestOf(body) != digest {
		return audit.Fail(finding.Malformed, "%s@%s: the bytes have another digest", source, digest)
	}
	n, err := parse(body, served)
	if err != nil {
		return audit.Fail(finding.Malformed, "%s@%s %w", source, digest, err)
	}
	if err := l.keep(n); err != nil {
		return audit.Fail(finding.TooLarge, "%s@%s: the manifests of the image %w", source, digest, err)
	}
	return nil
}

// keep takes a manifest, unless it is full: then it is to be read again.
func (l *loader) keep(n *node) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	bytes, parts := l.bytes+len(n.body), l.parts+len(n.children)+len(n.blobs)
	l.full = l.full || bytes > smallImage
	switch {
	case l.full && !l.large:
	case bytes > maxBodies:
		return fmt.Errorf("have more than %d bytes", maxBodies)
	case parts > maxParts:
		return fmt.Errorf("have more than %d parts", maxParts)
	default:
		l.nodes[n.Digest], l.bytes, l.parts = n, bytes, parts
	}
	return nil
}

// weight is about how many bytes of memory an image takes, with what is known of its blobs at many hosts.
func (l *loader) weight() int { return l.bytes + 2<<10*l.parts }

// collect puts a manifest into a tree, after those below it. sizes holds what was said of
// the size of each digest so far, done what the tree has.
func (l *loader) collect(n *node, t *tree, sizes map[string]int64, done map[string]bool) error {
	for _, d := range slices.Concat(n.children, n.blobs) {
		if size, said := sizes[d.Digest]; said && size != d.Size {
			return audit.Fail(finding.Malformed, "%s is said to have %d bytes and %d", d.Digest, size, d.Size)
		}
		sizes[d.Digest] = d.Size
	}
	for _, d := range n.children {
		child := l.nodes[d.Digest]
		if child.Size != d.Size {
			return audit.Fail(finding.Malformed, "%s has %d bytes, its index says %d", d.Digest, child.Size, d.Size)
		}
		if !done[d.Digest] {
			if err := l.collect(child, t, sizes, done); err != nil {
				return err
			}
		}
	}
	for _, d := range n.blobs {
		if blob := "blob " + d.Digest; !done[blob] && !d.foreign() {
			done[blob] = true
			t.blobs = append(t.blobs, d)
		}
	}
	done[n.Digest] = true
	t.nodes = append(t.nodes, n)
	return nil
}
