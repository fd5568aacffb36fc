// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"io/fs"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
)

// part is one kind of objects. It is audited where the repository has its folder.
type part struct {
	name, short string
	folder      string
	// open makes the collector for a declared state. Problems are what is wrong with
	// the declaring files themselves.
	open func(deps Deps, reach Reach, files fs.FS) (c audit.Collector, problems []finding.Finding, err error)
}

// parts is the visible list.
func parts() []part {
	return []part{
		{"gcs", "buckets: settings, IAM, lifecycle, retention, logging", "audit/projects", openGCS},
		{"images", "images: digests and tags on every mirror", imageTree + "/manifests", openImages},
		{"dns", "DNS: records as every authoritative server gives them", "dns/zone-configs", openDNS},
	}
}
