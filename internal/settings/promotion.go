// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// Promotion says where images are declared, and where they may go.
type Promotion struct {
	Images  string   `yaml:"images"`  // tree of manifests, relative to the repository; DefaultImages if empty
	Mirrors []string `yaml:"mirrors"` // HOST/PATH: every manifest names all of them and nothing else; none: anything
}

// DefaultImages is where Kubernetes has its tree.
const DefaultImages = "registry.k8s.io"

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
	return all
}
