// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// Promotion says where images are declared, and where they may go.
type Promotion struct {
	Images  string    `yaml:"images"`  // tree of manifests, relative to the repository
	Mirrors []string  `yaml:"mirrors"` // HOST/PATH: every manifest names all of them and nothing else; none: anything
	Add     []AddRule `yaml:"add"`     // what `steward promote add` proposes; the first rule of a project counts
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
	for i, m := range p.Mirrors {
		switch {
		case !manifest.IsRegistry(m):
			all = append(all, fmt.Errorf("mirrors: %q is not HOST/PATH", m))
		case slices.Contains(p.Mirrors[:i], m):
			all = append(all, fmt.Errorf("mirrors: %s stands twice", m))
		}
	}
	for _, r := range p.Add {
		all = append(all, r.problems()...)
	}
	return all
}
