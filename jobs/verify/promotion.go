// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/settings"
)

func promotionPart() part {
	loaded := map[string]declared{} // by commit; "" is the working tree
	return part{
		name: "promotion", short: "Find what is wrong with promoter manifests",
		long: `Find faults of the promoter's manifests of images and files, which the promoter
itself notices when it runs or never: digests that are none, tags on two digests,
destinations outside of steward.yaml (promotion.mirrors, promotion.stores),
mirrors that are left out, files under two contents. With --base also tags that a
change moves, files that it overwrites, and what it takes away in vain. No
registry and no store is asked. The codes are explained in docs/manifests.md.`,
		example: `  steward verify promotion --dir ~/k8s.io
  steward verify promotion --base "$PULL_BASE_SHA"`,
		applies: tree.hasManifests, special: true,
		check: func(t tree) ([]finding.Finding, error) {
			d := t.declared()
			loaded[t.commit] = d
			return d.found, d.err
		},
		change: func(base, head tree) ([]finding.Finding, error) {
			before, after := loaded[base.commit], loaded[head.commit]
			if errors.Is(before.err, fs.ErrNotExist) {
				return nil, nil // the trees are new
			}
			if before.err != nil {
				return nil, before.err
			}
			found := manifest.Change(before.images, after.images)
			for folder, set := range after.files {
				if old := before.files[folder]; old != nil {
					found = append(found, manifest.ChangeFiles(old, set)...)
				}
			}
			return found, nil
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

// hasManifests tells whether there is a tree of manifests, of images or of files. Settings that cannot be read are not
// passed over in silence.
func (t tree) hasManifests() (bool, error) {
	p, err := t.promotion()
	if err != nil {
		return true, nil // the check says what is wrong
	}
	for _, folder := range append([]string{path.Join(p.Tree(), "manifests")}, stores(p)...) {
		if there, err := t.has(folder); there || err != nil {
			return there, err
		}
	}
	return false, nil
}

// stores are the folders that make a tree one of file manifests.
func stores(p settings.Promotion) (folders []string) {
	for _, dir := range p.FileTrees() {
		folders = append(folders, path.Join(dir, "filestores"))
	}
	return folders
}

func (t tree) has(folder string) (bool, error) {
	_, err := fs.Stat(t.files, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// declared are the manifests of a commit, what is wrong with them, or why they cannot be read.
type declared struct {
	images *manifest.Set                // empty where there is no tree of images
	files  map[string]*manifest.FileSet // by tree
	found  []finding.Finding
	err    error
}

func (t tree) declared() (d declared) {
	p, err := t.promotion()
	if err != nil {
		return declared{err: err}
	}
	d.images, d.files = &manifest.Set{}, map[string]*manifest.FileSet{}
	var there bool
	if there, d.err = t.has(path.Join(p.Tree(), "manifests")); there && d.err == nil {
		if d.images, d.found, d.err = manifest.Load(t.files, p.Tree(), p.Mirrors...); d.err == nil {
			d.found = append(d.found, d.images.Halves(p.Mirrors)...)
		}
	}
	for i, folder := range stores(p) {
		if there, err := t.has(folder); !there || err != nil || d.err != nil {
			d.err = errors.Join(d.err, err)
			continue
		}
		set, found, err := manifest.LoadFiles(t.files, p.FileTrees()[i])
		if d.err = err; err == nil {
			d.files[folder] = set
			d.found = slices.Concat(d.found, found, set.Allowed(p.Stores))
		}
	}
	if d.err == nil && !there && len(d.files) == 0 {
		d.err = fmt.Errorf("there is neither %s/manifests nor %s: %w", p.Tree(), strings.Join(stores(p), ", "), fs.ErrNotExist)
	}
	return d
}
