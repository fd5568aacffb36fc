// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/finding"
)

// Route sets the owners of findings that have none, in place: who may approve a change
// of the file that declares the object (AU-5).
func Route(found []finding.Finding, owners *acl.Tree) {
	known := map[string][]string{}
	for i, f := range found {
		if len(f.Owners) > 0 || f.File == "" {
			continue
		}
		people, ok := known[f.File]
		if !ok {
			people = owners.Responsible(f.File)
			known[f.File] = people
		}
		found[i].Owners = people
	}
}
