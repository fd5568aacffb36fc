// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads what a community declares about its container images: which
// digests, under which tags, in which registries.
//
// It is the one parser of the promoter's thin manifests, and it is strict where the
// promoter is not: every problem of a tree is a finding with its line and a fix, all at
// once. The files mean what they mean to the promoter; docs/manifests.md numbers the
// rules. What a registry really holds has its words here too (observed.go), so that
// whoever compares both needs no adapter.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// The rules, as docs/manifests.md numbers them.
const (
	ruleLayout    = "MANIFEST-1" // a file is missing, misplaced or too large
	ruleShape     = "MANIFEST-2" // not YAML of the expected shape
	ruleDuplicate = "MANIFEST-3" // one key twice in a mapping
	ruleRegistry  = "MANIFEST-4" // source or destinations that do not work
	ruleName      = "MANIFEST-5" // not a name of an image
	ruleDigest    = "MANIFEST-6" // not a digest
	ruleTag       = "MANIFEST-7" // not a tag
	ruleConflict  = "MANIFEST-8" // one tag of one image on two digests
	ruleRedundant = "MANIFEST-9" // the same promotion twice
)

// The names of the files, and the bounds of a tree.
const (
	manifestFile = "promoter-manifest.yaml"
	imagesFile   = "images.yaml"

	maxFile         = 8 << 20 // bytes; the largest that exists has 1.2 MB
	maxFolders      = 5000
	maxDestinations = 1000   // of a manifest; Kubernetes has 44
	maxPlaces       = 50_000 // of a manifest: its images, times the paths below a mirror where they go
)

// Set is what a tree declares. It is immutable.
type Set struct {
	Manifests []*Manifest // by name
	// Mirrors are the roots, HOST/PATH, below which the same images are to be found at
	// the same paths; sorted.
	Mirrors []string
	Images  []*Image // by path
	Dir     string   // of the tree, or the file of a thick manifest
}

// Manifest is one pair of promoter-manifest.yaml and images.yaml, or a thick manifest,
// whose one file is both.
type Manifest struct {
	Name         string // of the folder, or of the file without its extension
	File, Images string // both paths
	Source       string // registry; "" where none is declared
	Destinations []Destination
	Entries      []*Entry // in order of first appearance, one for each name
	// Whole is false if a part of a file could not be understood: then more may be
	// declared than stands here.
	Whole bool
}

// Destination is a registry that a manifest's images are promoted to.
type Destination struct {
	Name           string // HOST/PATH
	ServiceAccount string
	Line           int
	Mirror         int    // index into Set.Mirrors
	Below          string // path below the mirror's root; "" is the root itself
}

// Entry is one image name of an images.yaml. A name that stands several times in the
// file is one entry.
type Entry struct {
	Name    string
	Line    int
	Digests []Digest // in order of first appearance
	// Lost are those whose digest is none. Nothing can be promoted for them, but their
	// tags are declared all the same.
	Lost []Digest
}

// Digest is a manifest or index and its tags, which may be none.
type Digest struct {
	Digest string
	Line   int
	Tags   []Tag
}

// Tag is a tag as it is written: 1.10 keeps its zero.
type Tag struct {
	Name string
	Line int
}

// loader collects the problems of a tree.
type loader struct {
	files    fs.FS
	mirrors  []string // that images may go below; none: anywhere
	problems []finding.Finding
}

// Load reads DIR/manifests/*/promoter-manifest.yaml and DIR/images/*/images.yaml, or
// the one thick manifest that dir is where it is a file. Below mirrors, HOST/PATH each, images may go, and nowhere else; where
// none are named they are found from the destinations (MF-7). Findings are about what the files say, in the order of files and
// lines; the set holds all that could be understood. An error is one of reading, or says that dir
// holds no manifests.
func Load(files fs.FS, dir string, mirrors ...string) (*Set, []finding.Finding, error) {
	l := &loader{files: files, mirrors: mirrors}
	if info, err := fs.Stat(files, dir); err == nil && info.Mode().IsRegular() {
		return l.thick(dir)
	}
	names, err := l.projects(path.Join(dir, "manifests"))
	if err != nil {
		return nil, nil, fmt.Errorf("read manifests: %w", err)
	}
	set := &Set{Dir: dir}
	for _, name := range names {
		m := &Manifest{
			Name: name, Whole: true,
			File:   path.Join(dir, "manifests", name, manifestFile),
			Images: path.Join(dir, "images", name, imagesFile),
		}
		if err := l.manifest(m); err != nil {
			return nil, nil, fmt.Errorf("read manifest %s: %w", name, err)
		}
		set.Manifests = append(set.Manifests, m)
	}
	if err := l.orphans(path.Join(dir, "images"), names); err != nil {
		return nil, nil, fmt.Errorf("read manifests: %w", err)
	}
	l.assemble(set)
	l.conflicts(set)
	finding.Sort(l.problems)
	return set, l.problems, nil
}

func (l *loader) found(f finding.Finding, format string, args ...any) {
	f.Message = fmt.Sprintf(format, args...)
	l.problems = append(l.problems, f)
}

// projects lists the folders that hold a manifest, sorted. Anything else named so is
// where the promoter would refuse the whole tree.
func (l *loader) projects(root string) ([]string, error) {
	var names []string
	seen := 0
	err := fs.WalkDir(l.files, root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > maxFolders {
			return fmt.Errorf("%s: more than %d files and folders", root, maxFolders)
		}
		name := strings.TrimPrefix(path.Dir(p), root+"/")
		switch {
		case entry.IsDir() || path.Base(p) != manifestFile:
		case !visible(name):
			l.unseen(p, ruleLayout)
		case path.Dir(path.Dir(p)) != root:
			l.found(finding.Finding{Rule: ruleLayout, Severity: finding.Error, Object: p, File: p,
				Fix: fmt.Sprintf("move it to %s/PROJECT/%s", root, manifestFile)},
				"the promoter refuses the tree for a manifest at this depth")
		default:
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no manifests found", root)
	}
	slices.Sort(names)
	return names, l.empties(root, names)
}

// empties reports folders without a manifest, which the promoter skips with a warning
// that nobody sees.
func (l *loader) empties(root string, names []string) error {
	entries, err := fs.ReadDir(l.files, root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(root, e.Name())
		if e.Type()&fs.ModeSymlink != 0 {
			l.found(finding.Finding{Rule: ruleLayout, Severity: finding.Error, Object: at, File: at, Fix: "make it a folder"},
				"a link is not followed, so nothing of it is promoted")
		}
		if _, has := slices.BinarySearch(names, e.Name()); e.IsDir() && !has && visible(e.Name()) {
			l.found(finding.Finding{Rule: ruleLayout, Severity: finding.Warning, Object: at, File: at,
				Fix: "add a " + manifestFile + " or remove the folder"}, "the folder has no %s and is skipped", manifestFile)
		}
	}
	return nil
}

// unseen reports a folder whose name has characters that drive terminals or cannot be seen: nobody could tell what is meant.
func (l *loader) unseen(file, rule string) {
	l.found(finding.Finding{Rule: rule, Severity: finding.Error, Object: file, File: file, Fix: "name the folder in characters that can be seen"},
		"the name of the folder has characters that cannot be seen, so nothing of it is promoted")
}

// orphans reports lists that no manifest reads.
func (l *loader) orphans(root string, names []string) error {
	entries, err := fs.ReadDir(l.files, root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at := path.Join(root, e.Name(), imagesFile)
		if _, has := slices.BinarySearch(names, e.Name()); has || !e.IsDir() || !visible(e.Name()) {
			continue
		}
		switch _, err := fs.Stat(l.files, at); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			l.found(finding.Finding{Rule: ruleLayout, Severity: finding.Warning, Object: at, File: at,
				Fix: fmt.Sprintf("add manifests/%s/%s", e.Name(), manifestFile)},
				"no manifest reads this list: nothing in it is promoted")
		}
	}
	return nil
}

func (l *loader) manifest(m *Manifest) error {
	registries, err := l.open(m, m.File)
	if err != nil {
		return err
	}
	if registries != nil {
		registries.registries(m)
	}
	images, err := l.open(m, m.Images)
	if err != nil {
		return err
	}
	if images != nil {
		images.images(m, images.root)
	}
	return nil
}

// open reads and parses a file of a manifest; nil says that a finding tells why not.
func (l *loader) open(m *Manifest, file string) (*document, error) {
	misplaced := func(fix, format string, args ...any) {
		m.Whole = false
		l.found(finding.Finding{Rule: ruleLayout, Severity: finding.Error, Object: file, File: file, Fix: fix}, format, args...)
	}
	if at := path.Dir(file); at != "." {
		if info, err := fs.Lstat(l.files, at); err == nil && !info.IsDir() {
			misplaced("make it a folder", "%s is no folder, and a link is not followed", at)
			return nil, nil
		}
	}
	info, err := fs.Lstat(l.files, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		misplaced("add the file, empty if there are no images yet", "%s does not exist, and manifest %s needs it", file, m.Name)
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		misplaced("put a file there", "%s is not a regular file", file)
		return nil, nil
	}
	raw, err := readBounded(l.files, file)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxFile {
		misplaced("split the manifest", "the file has more than %d bytes", maxFile)
		return nil, nil
	}
	return l.parse(m, file, raw), nil
}

func readBounded(files fs.FS, file string) ([]byte, error) {
	f, err := files.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return raw, nil
}
