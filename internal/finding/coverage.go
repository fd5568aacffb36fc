// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package finding

// Coverage says how much of what a run wanted to read it did read. Findings speak
// only of what was read: an object in a gap is neither there nor missing.
type Coverage struct {
	Part    string `json:"part"`    // the collector: gcs, images, dns
	Units   int    `json:"units"`   // wanted
	Read    int    `json:"read"`    // whole, without a gap
	Objects int    `json:"objects"` // found in what was read
	Gaps    []Gap  `json:"gaps,omitempty"`
}

// Complete tells that nothing is missing from what a run wanted to read.
func (c Coverage) Complete() bool { return len(c.Gaps) == 0 && c.Read == c.Units }

// Gap is something that could not be read.
type Gap struct {
	Scope  string `json:"scope"`  // what: projects/k8s-infra-x, gs://bucket iam
	Reason Reason `json:"reason"` // stable, for programs
	Detail string `json:"detail"` // for people; holds no secret
}

// Reason is why something could not be read.
type Reason string

// The reasons.
const (
	Denied      Reason = "denied"      // 401, 403, REFUSED: a permission is missing
	NotFound    Reason = "not-found"   // 404 of something that has to be there, such as a project
	Throttled   Reason = "throttled"   // 429, over all attempts
	Unavailable Reason = "unavailable" // 5xx, SERVFAIL, no connection, over all attempts
	TimedOut    Reason = "timed-out"
	Malformed   Reason = "malformed" // an answer that is not what the protocol says
	TooLarge    Reason = "too-large" // an answer beyond the bounds, or a list that does not end
	Interrupted Reason = "interrupted"
	Held        Reason = "held" // read, but more than a brake lets be reported
)

// Complete tells whether all parts are.
func Complete(all []Coverage) bool {
	for _, c := range all {
		if !c.Complete() {
			return false
		}
	}
	return true
}
