// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/manifest"
)

// Promotion says where images are declared, and where they may go.
type Promotion struct {
	Images   string     `yaml:"images"`    // tree of manifests, relative to the repository
	Mirrors  []string   `yaml:"mirrors"`   // HOST/PATH: every manifest names all of them and nothing else; none: anything
	Add      []AddRule  `yaml:"add"`       // what `steward promote add` proposes; the first rule of a project counts
	Signing  Signing    `yaml:"signing"`   // of production
	SignedBy []SignedBy `yaml:"signed-by"` // of staging; the first rule of a project counts
	// Files are trees of file manifests, and Stores where files may go; none: anywhere.
	Files  []string `yaml:"files"`
	Stores []string `yaml:"stores"`
	// Blobs are buckets that get the blobs of what is in production, in the layout of registry.k8s.io.
	Blobs []string `yaml:"blobs"`
	// Sources are patterns of the hosts that steward-hook may ask about staging images.
	Sources   []string `yaml:"sources"`
	Retention Duration `yaml:"retention"` // how long staging keeps an image; 0: not known
}

// Hosts are the registries that may be asked about staging images, without any credential.
func (p Promotion) Hosts() []string {
	if p.Sources == nil {
		return []string{"gcr.io", "*.gcr.io", "*.pkg.dev"}
	}
	return p.Sources
}

// FileTrees are where the file manifests are.
func (p Promotion) FileTrees() []string {
	if p.Files == nil {
		return []string{"artifacts"}
	}
	return p.Files
}

// defaultImages is where Kubernetes has its tree.
const defaultImages = "registry.k8s.io"

// Tree is where the manifests are.
func (p Promotion) Tree() string { return cmp.Or(p.Images, defaultImages) }

func (p Promotion) problems() []error {
	var all []error
	if p.Images != "" && (!fs.ValidPath(p.Images) || p.Images == ".") {
		all = append(all, fmt.Errorf("images: %q is not a folder of the repository", p.Images))
	}
	for _, f := range p.Files {
		if !fs.ValidPath(f) || f == "." {
			all = append(all, fmt.Errorf("files: %q is not a folder of the repository", f))
		}
	}
	for key, bases := range map[string][]string{"stores": p.Stores, "blobs": p.Blobs} {
		for i, s := range bases {
			same := func(other string) bool { return strings.TrimSuffix(other, "/") == strings.TrimSuffix(s, "/") }
			switch {
			case !manifest.IsStore(s):
				all = append(all, fmt.Errorf("%s: %q is not gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIR", key, s))
			case slices.ContainsFunc(bases[:i], same):
				all = append(all, fmt.Errorf("%s: %s stands twice", key, s))
			}
		}
	}
	for i, m := range p.Mirrors {
		switch {
		case !manifest.IsRegistry(m):
			all = append(all, fmt.Errorf("mirrors: %q is not HOST/PATH", m))
		case slices.Contains(p.Mirrors[:i], m):
			all = append(all, fmt.Errorf("mirrors: %s stands twice", m))
		case slices.ContainsFunc(p.Mirrors, func(other string) bool { return strings.HasPrefix(m, other+"/") }):
			all = append(all, fmt.Errorf("mirrors: %s lies below another mirror: then one repository would be two", m))
		}
	}
	for _, s := range p.Sources {
		if _, err := path.Match(s, ""); err != nil || s == "" || strings.Contains(s, "/") {
			all = append(all, fmt.Errorf("sources: %q is no host, or a pattern such as *.pkg.dev", s))
		}
	}
	if p.Retention < 0 {
		all = append(all, fmt.Errorf("retention %v is negative", time.Duration(p.Retention)))
	}
	all = append(all, p.Signing.problems(p.Mirrors)...)
	for _, r := range p.SignedBy {
		all = append(all, r.problems()...)
	}
	for _, r := range p.Add {
		all = append(all, r.problems()...)
	}
	return all
}
