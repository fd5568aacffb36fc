// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/settings"
)

func promotionPart() part {
	loaded := map[string]images{} // by commit; "" is the working tree
	return part{
		name: "promotion", short: "Find what is wrong with promoter manifests",
		long: `Find faults of the promoter's manifests of images, which the promoter itself
notices when it runs or never: digests that are none, tags on two digests,
destinations outside the mirrors of steward.yaml (promotion.mirrors), mirrors
that are left out. With --base also tags that a change moves, and what it takes
away in vain. No registry is asked. The codes are explained in
docs/manifests.md.`,
		example: `  steward verify promotion --dir ~/k8s.io
  steward verify promotion --base "$PULL_BASE_SHA"`,
		applies: tree.hasImages, special: true,
		check: func(t tree) ([]finding.Finding, error) {
			i := t.images()
			loaded[t.commit] = i
			return i.found, i.err
		},
		change: func(base, head tree) ([]finding.Finding, error) {
			before := loaded[base.commit]
			if errors.Is(before.err, fs.ErrNotExist) {
				return nil, nil // the tree is new
			}
			if before.err != nil {
				return nil, before.err
			}
			return manifest.Change(before.set, loaded[head.commit].set), nil
		},
	}
}

// promotion are the settings, or what holds without any.
func (t tree) promotion() (settings.Promotion, error) {
	content, err := t.read(t.config)
	if errors.Is(err, fs.ErrNotExist) && !t.pointed {
		return settings.Promotion{}, nil
	}
	if err != nil {
		return settings.Promotion{}, err
	}
	s, err := settings.Parse(content)
	if err != nil {
		return settings.Promotion{}, fmt.Errorf("%s: %w", t.config, err)
	}
	return s.Promotion, nil
}

// hasImages tells whether there is a tree of manifests. Settings that cannot be read are not passed over in silence.
func (t tree) hasImages() (bool, error) {
	p, err := t.promotion()
	if err != nil {
		return true, nil // the check says what is wrong
	}
	_, err = fs.Stat(t.files, path.Join(p.Tree(), "manifests"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// images is a tree of manifests, what is wrong with it, or why it cannot be read.
type images struct {
	set   *manifest.Set
	found []finding.Finding
	err   error
}

func (t tree) images() (i images) {
	p, err := t.promotion()
	if err != nil {
		return images{err: err}
	}
	if i.set, i.found, i.err = manifest.Load(t.files, p.Tree()); i.err == nil {
		i.found = append(i.found, i.set.Allowed(p.Mirrors)...)
	}
	return i
}
