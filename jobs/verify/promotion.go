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
			found, err := limits(base, head)
			if err != nil || errors.Is(before.err, fs.ErrNotExist) {
				return found, err // the trees are new
			}
			if before.err != nil {
				return nil, before.err
			}
			found = append(found, manifest.Change(before.images, after.images)...)
			for folder, set := range after.files {
				if old := before.files[folder]; old != nil {
					found = append(found, manifest.ChangeFiles(old, set)...)
				}
			}
			return found, nil
		},
	}
}

// promotion are the settings, or what holds without any. Where images and files may go is what it was before the change: who
// proposes one does not say what it is measured by.
func (t tree) promotion() (settings.Promotion, error) {
	p, there, err := t.settings()
	if err == nil && !there && t.pointedConfig && t.commit == "" {
		err = fmt.Errorf("flag --config: there is no %s", t.config)
	}
	if err != nil || t.before == nil {
		return p, err
	}
	if was, there, err := t.before.settings(); err == nil && there {
		p.Mirrors, p.Stores = was.Mirrors, was.Stores
	}
	return p, nil
}

// settings are what steward.yaml says of promotion, if it is there.
func (t tree) settings() (p settings.Promotion, there bool, err error) {
	content, err := t.read(t.config)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	s, err := settings.Parse(content)
	if err != nil {
		return p, false, fmt.Errorf("%s: %w", t.config, err)
	}
	return s.Promotion, true, nil
}

// ruleLimits is a change of where images and files may go, as docs/manifests.md has it.
const ruleLimits = "MANIFEST-14"

// limits finds what a change does to where images and files may go. Taken away whole, they may go anywhere.
func limits(base, head tree) ([]finding.Finding, error) {
	before, there, err := base.settings()
	if err != nil || !there {
		return nil, err
	}
	after, _, err := head.settings()
	if err != nil {
		return nil, err
	}
	var found []finding.Finding
	for key, lists := range map[string][2][]string{"mirrors": {before.Mirrors, after.Mirrors}, "stores": {before.Stores, after.Stores}} {
		more, less := without(lists[1], lists[0]), without(lists[0], lists[1])
		f := finding.Finding{Rule: ruleLimits, Severity: finding.Warning, Object: head.config, Field: "promotion." + key, File: head.config}
		switch {
		case len(more)+len(less) == 0:
			continue
		case len(lists[1]) == 0:
			f.Severity, f.Message = finding.Error, "without "+f.Field+" manifests may promote to anywhere"
			f.Fix = "keep the list"
		default:
			f.Message = fmt.Sprintf("where manifests may promote to changes: %s", strings.Join(slices.Concat(signed("+", more), signed("-", less)), " "))
			f.Fix = "make sure that this is meant; manifests are still measured by the list from before, so change them in a pull request after this"
		}
		found = append(found, f)
	}
	return found, nil
}

// without are those of a list that another has not.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func signed(sign string, list []string) (all []string) {
	for _, s := range list {
		all = append(all, sign+s)
	}
	return all
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
