// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// image is a job's image and what is attached to it.
type image struct {
	tree
	attached []attached
	loader   *loader // of all of it
}

// all are the blobs of everything.
func (i *image) all() []descriptor {
	all := i.blobs
	for _, a := range i.attached {
		all = append(all[:len(all):len(all)], a.blobs...)
	}
	return all
}

// attached is a signature, an attestation or the like. One has a subject, which registries
// list, or a tag.
type attached struct {
	tree
	subject string
	tag     string
}

// maxAttachedDepth is how far signatures of signatures are followed.
const maxAttachedDepth = 3

// read reads an image from its source.
func (r *run) read(ctx context.Context, source, digest string) (*image, error) {
	l := newLoader(r.source, r.token)
	img, err := r.readWith(ctx, l, source, digest)
	if err != nil {
		l.release()
	}
	return img, err
}

func (r *run) readWith(ctx context.Context, l *loader, source, digest string) (*image, error) {
	trees, err := l.load(ctx, source, []string{digest})
	if err != nil {
		return nil, err
	}
	img := &image{tree: *trees[0], loader: l}
	if !r.opts.Attached {
		return img, nil
	}
	tags, err := r.digestTags(ctx, source)
	if err != nil {
		return nil, err
	}
	subjects := img.nodes
	seen := map[string]bool{}
	for range maxAttachedDepth {
		var found []attached
		for _, n := range subjects {
			seen[n.Digest] = true
			more, err := r.attachedTo(ctx, l, source, n.Digest, tags)
			if err != nil {
				return nil, err
			}
			found = append(found, more...)
		}
		subjects = nil
		for _, a := range found {
			if !seen[a.top().Digest] {
				subjects = append(subjects, a.top())
			}
		}
		img.attached = append(img.attached, found...)
	}
	// What is attached to something attached comes first: a list then lacks nothing.
	slices.Reverse(img.attached)
	return img, nil
}

// attachedTo finds what is attached to a manifest.
func (r *run) attachedTo(ctx context.Context, l *loader, source, digest string, tags map[string]bool) ([]attached, error) {
	referrers, err := r.source.Referrers(ctx, source, digest)
	if err != nil {
		return nil, err
	}
	trees, err := l.load(ctx, source, referrers)
	if err != nil {
		return nil, err
	}
	var all []attached
	for _, t := range trees {
		all = append(all, attached{tree: *t, subject: digest})
	}
	for _, end := range []string{".sig", ".att", ".sbom"} {
		tag := manifest.DigestTag(digest) + end
		if !tags[tag] {
			continue
		}
		body, _, err := r.source.Manifest(ctx, source, tag)
		if err != nil {
			return nil, err
		}
		trees, err := l.load(ctx, source, []string{manifest.DigestOf(body)})
		if err != nil {
			return nil, err
		}
		all = append(all, attached{tree: *trees[0], tag: tag})
	}
	return all, nil
}

// digestTags are the tags of a source that may be attached to something, read once.
func (r *run) digestTags(ctx context.Context, source string) (map[string]bool, error) {
	r.mu.Lock()
	l := r.tags[source]
	if l == nil {
		l = &lazy[map[string]bool]{}
		r.tags[source] = l
	}
	r.mu.Unlock()
	return l.get(func() (map[string]bool, error) {
		tags, err := r.source.Tags(ctx, source)
		if err != nil {
			return nil, err
		}
		some := map[string]bool{}
		for _, tag := range tags {
			if strings.HasPrefix(tag, "sha256-") {
				some[tag] = true
			}
		}
		return some, nil
	})
}

// attach brings something attached. A tag of it that stands for something else is left as it
// is: whoever signs at the destination adds to what came from the source.
func (t *task) attach(ctx context.Context, a attached) error {
	top := a.top()
	if a.tag != "" {
		return t.attachTag(ctx, a)
	}
	if _, known := t.Known.Digests[top.Digest]; known {
		return nil
	}
	if err := t.tree(ctx, &a.tree, false); err != nil {
		return err
	}
	var listed bool
	err := t.write(ctx, func() (err error) {
		listed, err = t.run.to.PutManifest(ctx, t.Repository, top.Digest, top.MediaType, top.body)
		return err
	})
	if err == nil && !listed {
		err = t.list(ctx, a)
	}
	if err == nil {
		t.count(func(o *Outcome) { o.Attached++ })
	}
	return err
}

// attachTag brings what is attached by a tag, where there is none. In a repository that is
// not new it asks before as well: mostly there is one.
func (t *task) attachTag(ctx context.Context, a attached) error {
	if !t.Known.New {
		if is, err := t.standsFor(ctx, a.tag); err != nil || is != "" {
			return err
		}
	}
	if err := t.tree(ctx, &a.tree, false); err != nil {
		return err
	}
	if is, err := t.standsFor(ctx, a.tag); err != nil || is != "" {
		return err
	}
	t.count(func(o *Outcome) { o.Attached++ })
	return t.put(ctx, a.tag, a.top())
}

// list enters a referrer into the index that stands in for a list where the registry keeps
// none.
func (t *task) list(ctx context.Context, a attached) error {
	t.host.listing.Lock()
	defer t.host.listing.Unlock()
	tag, top := manifest.DigestTag(a.subject), a.top()
	return t.write(ctx, func() error {
		body, _, err := t.run.to.Manifest(ctx, t.Repository, tag)
		if err != nil && !gone(err) {
			return err
		}
		body, err = enter(body, top)
		if err != nil {
			return audit.Fail(finding.Malformed, "%s:%s %w", t.Repository, tag, err)
		}
		if body == nil {
			return nil
		}
		_, err = t.run.to.PutManifest(ctx, t.Repository, tag, ociIndex, body)
		return err
	})
}

// enter adds a manifest to an index, which may be nil; nil where it is there. What else the
// index says is kept.
func enter(index []byte, n *node) ([]byte, error) {
	all := map[string]json.RawMessage{"schemaVersion": json.RawMessage("2"), "mediaType": json.RawMessage(`"` + ociIndex + `"`)}
	var entries []json.RawMessage
	if index != nil {
		if json.Unmarshal(index, &all) != nil || json.Unmarshal(all["manifests"], &entries) != nil {
			return nil, errors.New("is no index")
		}
	}
	for _, e := range entries {
		var d descriptor
		if json.Unmarshal(e, &d) != nil || !manifest.IsDigest(d.Digest) {
			return nil, errors.New("has an entry that is none")
		}
		if d.Digest == n.Digest {
			return nil, nil
		}
	}
	var own struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(n.body, &own); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	entry, err := json.Marshal(struct {
		descriptor
		ArtifactType string            `json:"artifactType,omitempty"`
		Annotations  map[string]string `json:"annotations,omitempty"`
	}{n.descriptor, n.artifact, own.Annotations})
	if err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	if all["manifests"], err = json.Marshal(append(entries, entry)); err != nil {
		return nil, fmt.Errorf("entry: %w", err)
	}
	var out bytes.Buffer
	err = json.NewEncoder(&out).Encode(all)
	return bytes.TrimSpace(out.Bytes()), err
}
