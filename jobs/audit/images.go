// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"io/fs"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/imageaudit"
	"sigs.k8s.io/steward/internal/manifest"
)

// imageTree is where a repository like k8s.io has its promoter manifests.
const imageTree = "registry.k8s.io"

func openImages(deps Deps, reach Reach, files fs.FS) (audit.Collector, []finding.Finding, error) {
	set, problems, err := manifest.Load(files, imageTree)
	if err != nil {
		return nil, nil, err
	}
	registry, err := deps.Registry(reach)
	if err != nil {
		return nil, nil, fmt.Errorf("registries: %w", err)
	}
	return imageaudit.New(set, registry, nil), problems, nil
}
