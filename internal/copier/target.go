// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// partsAtOnce are on their way from one image to one repository.
const partsAtOnce = 16

// task is one image on its way to one repository.
type task struct {
	Target
	run    *run
	job    int
	host   *host
	source string
	digest string

	using  bool    // the image of the job
	loader *loader // of the repository's own image, or nil

	mu  sync.Mutex
	out Outcome
	// none says that the registry answered that there is no such repository. It saves
	// questions about blobs, and decides nothing else.
	none bool
}

// do copies the image.
func (t *task) do(ctx context.Context) {
	if t.out.Err = context.Cause(ctx); t.out.Err != nil {
		return
	}
	t.out.Err = t.copy(ctx)
	if ended := context.Cause(ctx); t.out.Err != nil && ended != nil {
		t.out.Err = ended
	}
	t.host.judge(t.out.Err)
}

// copy brings everything in the order in which nothing that is there lacks what it stands
// for: blobs, the manifests of the index, the image by its digest, what is attached, tags.
func (t *task) copy(ctx context.Context) error {
	if err := t.claim(); err != nil {
		return err
	}
	there, err := t.there(ctx)
	if err != nil {
		return err
	}
	img, err := t.run.image(t)
	switch {
	case err == nil:
		err = t.contents(ctx, img, there)
	case there && gone(err):
		// It is there, and has aged out where it came from.
		img, err = t.own(ctx)
	default:
		err = errSource{err, t.source}
	}
	if err != nil {
		return err
	}
	if err := t.tag(ctx, img.top()); err != nil {
		return err
	}
	return t.prove(ctx)
}

// gone tells that a registry said there is no such manifest.
func gone(err error) bool {
	return errors.Is(err, manifest.ErrNoManifest) || errors.Is(err, manifest.ErrNoRepository)
}

// contents brings an image without its tags. Where it is to have some they bring its own manifest, which nothing else needs
// but what is attached.
func (t *task) contents(ctx context.Context, img *image, there bool) error {
	if !there {
		if err := t.tree(ctx, &img.tree, len(t.Tags) == 0 || len(img.attached) > 0); err != nil {
			return err
		}
	}
	for _, a := range img.attached {
		if err := t.attach(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// tree brings blobs and manifests; the top only if it is to have no tag. What belongs to a
// manifest that is there is there.
func (t *task) tree(ctx context.Context, tr *tree, top bool) error {
	blobs := t.run.spool.need(tr.blobs, 1)
	defer t.run.spool.done(blobs, 1)
	if len(t.Known.Digests) > 0 {
		known := map[string]bool{}
		for _, n := range tr.nodes {
			if _, is := t.Known.Digests[n.Digest]; is {
				for _, b := range n.blobs {
					known[b.Digest] = true
				}
			}
		}
		t.run.spool.has(blobs, known, t.host.name, t.Repository)
	}
	if err := all(ctx, blobs, partsAtOnce, t.bring); err != nil {
		return err
	}
	nodes := tr.nodes
	if !top {
		nodes = nodes[:len(nodes)-1]
	}
	return t.manifests(ctx, nodes)
}

// manifests puts manifests by their digests. Those that stand for others come after all
// that come before them.
func (t *task) manifests(ctx context.Context, nodes []*node) error {
	for len(nodes) > 0 {
		n := 0
		for n < len(nodes) && len(nodes[n].children) == 0 {
			n++
		}
		n = max(n, 1)
		if err := all(ctx, nodes[:n], partsAtOnce, func(ctx context.Context, n *node) error { return t.put(ctx, n.Digest, n) }); err != nil {
			return err
		}
		nodes = nodes[n:]
	}
	return nil
}

// all does something with everything, a few at once; the first failure ends it.
func all[T any](ctx context.Context, items []T, atOnce int, do func(context.Context, T) error) error {
	if len(items) == 1 {
		return do(ctx, items[0])
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pace.Each(items, atOnce, func(_ int, item T) {
		if ctx.Err() != nil {
			return
		}
		if err := do(ctx, item); err != nil {
			cancel(err)
		}
	})
	return context.Cause(ctx)
}

// put puts a manifest, unless a list has it.
func (t *task) put(ctx context.Context, reference string, n *node) error {
	if _, known := t.Known.Digests[reference]; known {
		return nil
	}
	return t.write(ctx, func() error {
		_, err := t.run.to.PutManifest(ctx, t.Repository, reference, n.MediaType, n.body)
		if err == nil {
			t.count(func(o *Outcome) { o.Manifests++ })
		}
		return err
	})
}

func (t *task) count(do func(*Outcome)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	do(&t.out)
}

// write asks the host for something, or writes it, when there is a place.
func (t *task) write(ctx context.Context, do func() error) error {
	return t.host.write(ctx, groupOf(t.source), do)
}

// claim takes the tags, which no other image of the same copy may get then. One of which it is known already that it stands
// for something else spares all that would be in vain.
func (t *task) claim() error {
	for _, tag := range t.Tags {
		name := t.Repository + ":" + tag
		if other := t.run.claim(name, t.digest); other != "" {
			return fmt.Errorf("%s: %w: two images are to get it, %s and %s", name, ErrTagMove, other, t.digest)
		}
		if is := t.Known.Tags[tag]; is != "" && is != t.digest {
			return t.moved(tag, is)
		}
	}
	return nil
}

func (t *task) moved(tag, is string) error {
	return fmt.Errorf("%s:%s: %w: %s, and it is to be %s", t.Repository, tag, ErrTagMove, is, t.digest)
}

// tag puts the tags that are not there.
func (t *task) tag(ctx context.Context, top *node) error {
	missing, err := t.missingTags(ctx)
	if err != nil {
		return err
	}
	for _, tag := range missing {
		if err := t.put(ctx, tag, top); err != nil {
			return err
		}
		t.out.Written = append(t.out.Written, tag)
	}
	return nil
}

// missingTags are the tags that are not there yet. One that stands for something else fails all. Somebody may have put one
// since the copy began, so they are asked for in the last moment.
func (t *task) missingTags(ctx context.Context) ([]string, error) {
	var missing []string
	for _, tag := range t.Tags {
		if t.Known.Tags[tag] == t.digest {
			continue
		}
		is, err := t.standsFor(ctx, tag)
		switch {
		case err != nil:
			return nil, err
		case is == "":
			missing = append(missing, tag)
		case is != t.digest:
			return nil, t.moved(tag, is)
		}
	}
	return missing, nil
}

// standsFor is the digest of a tag or digest in the repository; "" is none.
func (t *task) standsFor(ctx context.Context, reference string) (digest string, err error) {
	err = t.write(ctx, func() (err error) {
		digest, err = t.run.to.Resolve(ctx, t.Repository, reference)
		return err
	})
	if gone(err) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.none = errors.Is(err, manifest.ErrNoRepository)
		return "", nil
	}
	return digest, err
}

// asks tells whether a blob may be there already.
func (t *task) asks() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.Known.New && !t.none
}

// there tells whether the repository has the image by its digest.
func (t *task) there(ctx context.Context) (bool, error) {
	if _, known := t.Known.Digests[t.digest]; known {
		return true, nil
	}
	if t.Known.New || t.Known.Digests != nil {
		return false, nil
	}
	is, err := t.standsFor(ctx, t.digest)
	return is != "", err
}

// own reads the image's manifest from the repository that has it.
func (t *task) own(ctx context.Context) (*image, error) {
	t.loader = newLoader(ownManifests{t}, t.run.token)
	if _, err := t.loader.read(ctx, t.Repository, []string{t.digest}); err != nil {
		return nil, err
	}
	return &image{tree: tree{nodes: []*node{t.loader.nodes[t.digest]}}}, nil
}

// ownManifests are those of the task's host.
type ownManifests struct{ *task }

func (t ownManifests) Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error) {
	err = t.write(ctx, func() error {
		body, mediaType, err = t.run.to.Manifest(ctx, repository, reference)
		return err
	})
	return body, mediaType, err
}

// prove asks for every tag, or for the digest, what the repository has there now.
func (t *task) prove(ctx context.Context) error {
	references := t.Tags
	if len(references) == 0 {
		references = []string{t.digest}
	}
	return all(ctx, references, partsAtOnce, func(ctx context.Context, reference string) error {
		return t.write(ctx, func() error {
			is, err := t.run.to.Resolve(ctx, t.Repository, reference)
			if err == nil && is != t.digest {
				err = audit.Fail(finding.Malformed, "%s:%s stands for %s after the copy, not for %s", t.Repository, reference, is, t.digest)
			}
			return err
		})
	})
}
