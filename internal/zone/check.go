// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// between checks what zones of one configuration say of each other.
func (l *loader) between() {
	for _, z := range l.config.Zones {
		l.subzones(z)
	}
	l.inherited()
}

// subzones finds records at or below a zone that is configured by itself: they are
// served by its servers, not by those of the zone that declares them.
func (l *loader) subzones(z *Zone) {
	hidden := map[string]bool{}
	for _, r := range z.Records {
		sub := l.subzone(z, r.Name)
		switch {
		case sub == "" || r.Name == sub && (r.Type == "NS" || r.Type == "DS"):
		case r.Name == sub:
			hidden[r.Name] = true
			l.errorf(ruleState, placeOf(r), "%s is a managed sub-zone, so that only NS and DS can be here, not %s", sub, r.Type)
		default:
			hidden[r.Name] = true
			l.errorf(ruleState, placeOf(r), "the name is under the managed sub-zone %s: declare it there", sub)
		}
	}
	if len(hidden) == 0 {
		return
	}
	z.Records = slices.DeleteFunc(z.Records, func(r Record) bool { return hidden[r.Name] })
	for name := range hidden {
		z.Unclear = append(z.Unclear, name)
	}
	slices.Sort(z.Unclear)
}

// subzone is the outermost configured zone below z in which a name is, or "".
func (l *loader) subzone(z *Zone, name string) string {
	sub := ""
	for ; name != z.Name && under(name, z.Name); name = parent(name) {
		if l.config.Zone(name) != nil {
			sub = name
		}
	}
	return sub
}

// inherited finds delegations in a file that several zones read, such as a base file
// that is linked as its canary. The servers that are named serve the one zone only, so
// that under the other one anybody can have the delegation answered.
func (l *loader) inherited() {
	readers := map[string]int{}
	for _, z := range l.config.Zones {
		for _, file := range z.parts {
			readers[file]++
		}
	}
	for _, z := range l.config.Zones {
		for _, r := range z.Records {
			// Each file is reported once, by the zone that it is named for.
			if r.Type != "NS" || r.Name == z.Name || readers[r.File] < 2 || !strings.HasPrefix(path.Base(r.File), z.Name) {
				continue
			}
			l.add(ruleInherited, finding.Error, placeOf(r), "move the record to a file of its own, such as "+z.Name+"_2_delegations.yaml",
				"a delegation in a file of %d zones exists in each of them, and is served in one at most", readers[r.File])
		}
	}
}
