// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
)

// Delegation is what the name servers of a declared delegation say of the child.
type Delegation struct {
	Hosts []Host `json:"hosts"`
}

// Host is one name server of a delegation.
type Host struct {
	Name string `json:"name"`
	// Fault is why it does not serve the child, in a few words; "" where it does, or
	// could not be asked (Unread).
	Fault  string   `json:"fault,omitempty"`
	Unread bool     `json:"unread,omitempty"`
	NS     []string `json:"ns,omitempty"` // that it names for the child, sorted
}

// CompareDelegation judges a declared delegation by what its servers say.
func CompareDelegation(r Record, d Delegation) []finding.Finding {
	var bad, sides []string
	var good, unread int
	for _, h := range d.Hosts {
		switch {
		case h.Unread:
			unread++
		case h.Fault != "":
			bad = append(bad, strings.TrimSuffix(h.Name, ".")+": "+h.Fault)
		default:
			good++
			if len(h.NS) > 0 && !slices.Equal(h.NS, r.Values) {
				sides = append(sides, strings.TrimSuffix(h.Name, ".")+": "+strings.Join(h.NS, ", "))
			}
		}
	}
	var found []finding.Finding
	if len(bad) > 0 {
		severity := finding.Error
		if good == 0 && unread == 0 {
			severity = finding.Critical
		}
		f := finding.Finding{
			Rule: ruleDangling, Severity: severity, Visibility: finding.Private,
			Object: r.Key().String(), File: r.File, Line: r.Line, Declared: show(&r.RRset), Observed: strings.Join(bad, "; "),
			Message: fmt.Sprintf("%d of %d name servers of the delegation do not serve it", len(bad), len(d.Hosts)),
			Fix:     "remove the delegation, or make its servers serve it",
		}
		if i := slices.IndexFunc(r.Values, func(v string) bool { return claim("NS", v) != "" }); i >= 0 {
			f.Message += ", and whoever adds the zone at " + claim("NS", r.Values[i]) + " may own it"
		}
		found = append(found, f)
	}
	if len(sides) > 0 {
		found = append(found, childDiffers(r, strings.Join(sides, "; ")))
	}
	return found
}

func childDiffers(r Record, observed string) finding.Finding {
	return finding.Finding{
		Rule: ruleChild, Severity: finding.Error, Object: r.Key().String(), File: r.File, Line: r.Line,
		Message: "the child zone names other name servers than the delegation", Declared: show(&r.RRset), Observed: observed,
	}
}
