// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"sigs.k8s.io/steward/internal/finding"
)

// Problems are the faults of the files themselves, with their severity at run
// time, sorted. Lint finds more. In Compat mode there are none: Prow sees none.
func (t *Tree) Problems() []finding.Finding {
	all := t.faults(runTimeSeverity)
	finding.Sort(all)
	return all
}

func (t *Tree) faults(pick func(Rule) finding.Severity) []finding.Finding {
	var all []finding.Finding
	t.each(func(file string, f *ownersFile) {
		for _, x := range f.faults {
			all = append(all, x.at(file, pick))
		}
	})
	for _, x := range t.aliases.faults {
		all = append(all, x.at(t.opts.Filenames.Aliases, pick))
	}
	return all
}
