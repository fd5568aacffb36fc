// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// loadThick reads a manifest that is one file with both registries and images, as the promoter
// takes it by --manifest. Its name is that of the file.
func loadThick(files fs.FS, file string) (*Set, []finding.Finding, error) {
	l := &loader{files: files}
	m := &Manifest{Name: strings.TrimSuffix(path.Base(file), path.Ext(file)), File: file, Images: file, Whole: true}
	d, err := l.open(m, file)
	if err != nil {
		return nil, nil, fmt.Errorf("read manifest %s: %w", file, err)
	}
	if d != nil {
		d.registries(m)
	}
	set := &Set{Manifests: []*Manifest{m}, Dir: file}
	set.assemble()
	finding.Sort(l.problems)
	return set, l.problems, nil
}

// thick tells a manifest that has its images in itself.
func (m *Manifest) thick() bool { return m.File == m.Images }
