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
)

// task is one image on its way to one repository.
type task struct {
	Target
	run    *run
	job    int
	host   *host
	source string
	digest string

	mu  sync.Mutex
	out Outcome
	// none says that the registry answered that there is no such repository. It saves
	// questions about blobs, and decides nothing else.
	none bool
}

// one copies a job to one of its targets.
func (r *run) one(ctx context.Context, h *host, job, target int) Outcome {
	j := r.jobs[job]
	t := &task{Target: j.Targets[target], run: r, job: job, host: h, source: j.Source, digest: j.Digest}
	if err := context.Cause(ctx); err != nil {
		t.out.Err = err
		return t.out
	}
	t.out.Err = t.copy(ctx)
	if ended := context.Cause(ctx); t.out.Err != nil && ended != nil {
		t.out.Err = ended
	}
	h.judge(t.out.Err)
	return t.out
}

// copy brings everything in the order in which nothing that is there lacks what it stands
// for: blobs, the manifests of the index, the image by its digest, what is attached, tags.
func (t *task) copy(ctx context.Context) error {
	tags, err := t.missingTags(ctx)
	if err != nil {
		return err
	}
	there, err := t.there(ctx)
	if err != nil {
		return err
	}
	img, err := t.run.image(t.job)
	switch {
	case err == nil:
		err = t.contents(ctx, img, there, len(tags) == 0)
	case there && gone(err):
		// It is there, and has aged out where it came from.
		img, err = t.own(ctx)
	default:
		err = errSource{err}
	}
	if err != nil {
		return err
	}
	top := img.top()
	for _, tag := range tags {
		if err := t.put(ctx, tag, top); err != nil {
			return err
		}
		t.out.Written = append(t.out.Written, tag)
	}
	return t.prove(ctx)
}

// gone tells that a registry said there is no such manifest.
func gone(err error) bool {
	return errors.Is(err, manifest.ErrNoManifest) || errors.Is(err, manifest.ErrNoRepository)
}

// contents brings an image without its tags. byDigest says that there are none to be put.
func (t *task) contents(ctx context.Context, img *image, there, byDigest bool) error {
	if !there {
		if err := t.tree(ctx, &img.tree, byDigest || len(img.attached) > 0); err != nil {
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
	if err := all(ctx, blobs, t.bring); err != nil {
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
		if err := all(ctx, nodes[:n], func(ctx context.Context, n *node) error { return t.put(ctx, n.Digest, n) }); err != nil {
			return err
		}
		nodes = nodes[n:]
	}
	return nil
}

// all does something with everything at once; the first failure ends it.
func all[T any](ctx context.Context, items []T, do func(context.Context, T) error) error {
	if len(items) == 1 {
		return do(ctx, items[0])
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	for _, item := range items {
		wait.Go(func() {
			if err := do(ctx, item); err != nil {
				cancel(err)
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// put puts a manifest, unless a list has it.
func (t *task) put(ctx context.Context, reference string, n *node) error {
	if _, known := t.Known.Digests[reference]; known {
		return nil
	}
	return t.host.write(ctx, func() error {
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

// missingTags are the tags that are not there yet. One that stands for something else, or is
// to get something else in the same copy, fails all.
func (t *task) missingTags(ctx context.Context) ([]string, error) {
	var missing []string
	for _, tag := range t.Tags {
		name := t.Repository + ":" + tag
		if other := t.run.claim(name, t.digest); other != "" {
			return nil, fmt.Errorf("%s: %w: two images are to get it, %s and %s", name, ErrTagMove, other, t.digest)
		}
		is, err := t.standsFor(ctx, tag)
		switch {
		case err != nil:
			return nil, err
		case is == "":
			missing = append(missing, tag)
		case is != t.digest:
			return nil, fmt.Errorf("%s: %w: %s, and it is to be %s", name, ErrTagMove, is, t.digest)
		}
	}
	return missing, nil
}

// standsFor is the digest of a tag or digest in the repository; "" is none.
func (t *task) standsFor(ctx context.Context, reference string) (digest string, err error) {
	switch {
	case t.Known.New && !manifest.IsTag(reference):
		return "", nil
	case t.Known.Tags != nil && manifest.IsTag(reference):
		return t.Known.Tags[reference], nil
	}
	err = t.host.write(ctx, func() (err error) {
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
	var n *node
	err := t.host.write(ctx, func() error {
		body, served, err := t.run.to.Manifest(ctx, t.Repository, t.digest)
		if err != nil {
			return err
		}
		if n, err = parse(body, served); err != nil {
			return audit.Fail(finding.Malformed, "%s@%s %w", t.Repository, t.digest, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &image{tree: tree{nodes: []*node{n}}}, nil
}

// prove asks for every tag, or for the digest, what the repository has there now.
func (t *task) prove(ctx context.Context) error {
	references := t.Tags
	if len(references) == 0 {
		references = []string{t.digest}
	}
	return all(ctx, references, func(ctx context.Context, reference string) error {
		return t.host.write(ctx, func() error {
			is, err := t.run.to.Resolve(ctx, t.Repository, reference)
			if err == nil && is != t.digest {
				err = audit.Fail(finding.Malformed, "%s:%s stands for %s after the copy, not for %s", t.Repository, reference, is, t.digest)
			}
			return err
		})
	})
}
