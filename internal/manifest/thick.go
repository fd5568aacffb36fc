// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// thick reads a manifest that is one file with both registries and images, as the promoter
// takes it by --manifest. Its name is that of the file.
func (l *loader) thick(file string) (*Set, []finding.Finding, error) {
	m := &Manifest{Name: strings.TrimSuffix(path.Base(file), path.Ext(file)), File: file, Images: file, Whole: true}
	d, err := l.open(m, file)
	if err != nil {
		return nil, nil, fmt.Errorf("read manifest %s: %w", file, err)
	}
	if d != nil {
		d.registries(m)
	}
	set := &Set{Manifests: []*Manifest{m}, Dir: file}
	l.assemble(set)
	finding.Sort(l.problems)
	return set, l.problems, nil
}

// thick tells a manifest that has its images in itself.
func (m *Manifest) thick() bool { return m.File == m.Images }
