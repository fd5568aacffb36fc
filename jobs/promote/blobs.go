// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/blobs"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

// buckets are where blobs of production are kept for clients that are nearer to them than to a registry.
type buckets struct {
	*blobs.Buckets
	names []string // as repositories
	bases []string // of names
	// records are the images that each is known to have; nil where nothing is known.
	records []map[string]string

	copier    *copier.Copier
	canonical string
}

// openBuckets opens the buckets of the settings; nil where there are none. They are used until done is called.
func openBuckets(ctx context.Context, deps Deps, bases []string) (b *buckets, done func() error, err error) {
	stores := map[string]filestore.Store{}
	var ends []func() error
	done = func() error {
		var errs []error
		for _, end := range ends {
			errs = append(errs, end())
		}
		return errors.Join(errs...)
	}
	if len(bases) == 0 {
		return nil, done, nil
	}
	b = &buckets{bases: bases}
	for _, base := range bases {
		store, end, err := deps.Files(ctx, base)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("promotion.blobs: %w", err), done())
		}
		stores[base], ends = store, append(ends, end)
		b.names = append(b.names, blobs.Name(base))
	}
	b.Buckets = blobs.New(stores)
	return b, done, nil
}

// read lists what each bucket has. Of one that cannot be read nothing is known, and production does not wait for it.
func (b *buckets) read(ctx context.Context) finding.Coverage {
	cover := finding.Coverage{Part: "buckets", Units: len(b.names)}
	for n, name := range b.names {
		records, err := b.Records(ctx, name)
		if err != nil {
			cover.Gaps = append(cover.Gaps, audit.GapOf(b.bases[n], err))
		} else {
			cover.Read++
			cover.Objects += len(records)
		}
		b.records = append(b.records, records)
	}
	return cover
}

// lacks tells whether a bucket is known not to have an image.
func (b *buckets) lacks(digest string) bool {
	return slices.ContainsFunc(b.records, func(records map[string]string) bool {
		_, has := records[digest]
		return records != nil && !has
	})
}

// bring is the phase that copies the blobs of images from production into the buckets. An image is read once for all of them.
func (b *buckets) bring(ctx context.Context, w work, images []pending) []error {
	var targets []copier.Target
	for n, name := range b.names {
		t := copier.Target{Repository: name}
		if b.records != nil {
			t.Known.Digests = b.records[n]
		}
		targets = append(targets, t)
	}
	errs := make([]error, len(images))
	var list []copier.Job
	var owners []int // of list, in images
	for i, p := range images {
		source, err := b.source(w, p.Path)
		if errs[i] = err; err == nil {
			list, owners = append(list, copier.Job{Source: source, Digest: p.Digest, Targets: targets}), append(owners, i)
		}
	}
	outcomes := b.copier.Copy(ctx, list, func(e copier.Event) { w.tell(e.Done/len(targets), len(images)) })
	for _, o := range outcomes {
		errs[owners[o.Job]] = errors.Join(errs[owners[o.Job]], o.Err)
	}
	return errs
}

// source is the repository of production that an image is read from: that which has its signatures, where it is there.
func (b *buckets) source(w work, path string) (string, error) {
	image := w.set.Image(path)
	if image == nil || len(image.On()) == 0 {
		return "", errors.New("no mirror is declared for it")
	}
	mirror := w.set.Mirrors[image.On()[0]]
	for _, m := range image.On() {
		if w.set.Mirrors[m] == b.canonical {
			mirror = b.canonical
		}
	}
	return mirror + "/" + path, nil
}

// gather reports images of production that a bucket has no record of, for each project and bucket.
func (b *buckets) gather(production *tagged, set *manifest.Set) (found []finding.Finding) {
	for n, base := range b.bases {
		if b.records[n] == nil {
			continue
		}
		all, lacking := map[*manifest.Manifest]int{}, map[*manifest.Manifest][]string{}
		production.promoted(set, func(m *manifest.Manifest, path string, d manifest.Digest) {
			all[m]++
			if _, has := b.records[n][d.Digest]; !has {
				lacking[m] = append(lacking[m], path+"@"+d.Digest)
			}
		})
		for m, images := range lacking {
			found = append(found, finding.Finding{
				Rule: promotion.RuleBlobs, Severity: finding.Error, Object: m.Name, Field: base, File: m.Images,
				Message: fmt.Sprintf("the bucket has no record of %d of %s in production: %s", len(images), report.Number(all[m], "image"), images[0]),
				Fix:     "steward promote run --repair brings their blobs there",
			})
		}
	}
	return found
}
