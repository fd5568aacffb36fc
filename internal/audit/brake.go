// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/plan"
)

// The brake (AU-6). Declared objects that vanish in numbers are more often a reader that
// is blind (another project, a credential that sees less) than a loss, and a report of a
// thousand losses that are none is what people learn to ignore.
const (
	brakeMax     = 20 // absences that are always too many
	brakePercent = 5  // of the declared objects
	brakeLeast   = 5  // absences that a small community may have all the same
)

// RuleBrake is the finding that stands for absences that are held back.
const RuleBrake = "AUDIT-BRAKE"

// Held is a brake that holds the absences of a part.
type Held struct {
	Absent, Declared int
	Hash             string // releases exactly these absences
}

// brake returns all findings, or in place of the absences one that stands for them.
func brake(part string, c Comparison, opts Options) ([]finding.Finding, *Held, error) {
	absent := slices.Clone(c.Absent)
	finding.Sort(absent)
	steps := make([]plan.Step[string], len(absent))
	for i, f := range absent {
		steps[i] = plan.Step[string]{Key: f.Fingerprint(), Verb: plan.Delete, Change: f.Object}
	}
	// The commit is left out of the hash: another commit in the same state is the same loss.
	gone, err := plan.New("", steps)
	if err != nil {
		return nil, nil, fmt.Errorf("absences: %w", err)
	}
	held := plan.Check(gone, []plan.Brake{
		{Name: part, Verb: plan.Delete, Max: brakeMax},
		{Name: part, Verb: plan.Delete, Percent: brakePercent, Of: c.Declared, Least: brakeLeast},
	})
	if len(held) == 0 {
		return slices.Concat(c.Found, absent), nil, nil
	}
	hash, err := held[0].Exceed.Hash()
	if err != nil {
		return nil, nil, err
	}
	released := func(release string) bool {
		return len(release) >= shortHash && strings.HasPrefix(hash, strings.ToLower(release))
	}
	if slices.ContainsFunc(opts.Release, released) {
		return slices.Concat(c.Found, absent), nil, nil
	}
	h := &Held{Absent: len(absent), Declared: c.Declared, Hash: hash[:shortHash]}
	return append(slices.Clone(c.Found), h.finding(part, absent)), h, nil
}

// shortHash is how much of a hash people copy: 64 bits.
const shortHash = 16

func (h *Held) gap(part string) finding.Gap {
	return finding.Gap{Scope: "absences of " + part, Reason: finding.Held, Detail: fmt.Sprintf("%d of %d declared objects seem to be gone; hash %s", h.Absent, h.Declared, h.Hash)}
}

func (h *Held) finding(part string, absent []finding.Finding) finding.Finding {
	var some []string
	for _, f := range absent[:min(len(absent), 5)] {
		if f.Visibility == finding.Public {
			some = append(some, f.Object)
		}
	}
	return finding.Finding{
		Rule: RuleBrake, Severity: finding.Critical, Object: part, File: absent[0].File,
		Message: fmt.Sprintf("%d of %d declared objects seem to be gone, for example %s: too many to be believed, so they are not reported one by one",
			h.Absent, h.Declared, strings.Join(some, ", ")),
		Declared: fmt.Sprintf("%d objects", h.Declared), Observed: fmt.Sprintf("%d gone, hash %s", h.Absent, h.Hash),
		Fix: fmt.Sprintf("look whether the auditor reads the right place with its usual rights; if they are gone indeed, run again with --release %s", h.Hash),
	}
}
