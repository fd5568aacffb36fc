// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package finding holds the one result that audits, lints and checks return:
// something that is not as it was declared, where, whose it is and how to mend it.
//
// A finding is a value. It never changes after it is made, two runs over the
// same state make equal findings, and only package report shows them.
package finding

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Severity orders findings. The zero value is Info.
type Severity int

// The severities, least first. `--fail-on` names one of them.
const (
	Info Severity = iota
	Warning
	Error
	Critical
)

var severityNames = [...]string{"info", "warning", "error", "critical"}

// SeverityNames lists what ParseSeverity accepts, least severe first.
func SeverityNames() []string { return slices.Clone(severityNames[:]) }

// String is the lower-case name; a value outside the table prints its number.
func (s Severity) String() string {
	if s < 0 || int(s) >= len(severityNames) {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// ParseSeverity is the inverse of String.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[:], name); i >= 0 {
		return Severity(i), nil
	}
	return Info, fmt.Errorf("parse severity %q: want one of %s", name, strings.Join(severityNames[:], ", "))
}

// MarshalText and UnmarshalText make a severity its name in JSON and YAML.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText refuses names that ParseSeverity refuses.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSeverity(string(text))
	return err
}

// Visibility says who may read a finding's details.
type Visibility string

// A private finding would help an attacker (takeover, leaked key): public output
// carries its id, owners and count, and nothing else.
const (
	Public  Visibility = ""
	Private Visibility = "private"
)

// Finding is one fault of one object. Only Rule, Object and Message are always set.
type Finding struct {
	Rule       string     `json:"rule"` // stable code, for example OWNERS-F1
	Severity   Severity   `json:"severity"`
	Visibility Visibility `json:"visibility,omitempty"`
	Object     string     `json:"object"` // what it is about: a path, a bucket, a record
	// Field is the part of the object, where an object can have several faults of one
	// rule: lifecycle.rule, iam/roles/storage.objectViewer/allUsers. It belongs to the identity.
	Field   string `json:"field,omitempty"`
	File    string `json:"file,omitempty"` // that declares the object, or would
	Line    int    `json:"line,omitempty"` // 1-based; 0 when the whole file is meant
	Message string `json:"message"`
	// Declared and Observed are both sides of a difference as a person reads them;
	// both are empty in a finding that is no difference. They never hold a secret.
	Declared string   `json:"declared,omitempty"`
	Observed string   `json:"observed,omitempty"`
	Fix      string   `json:"fix,omitempty"`
	Owners   []string `json:"owners,omitempty"` // logins, from OWNERS of the declaring file

	// FirstSeen and LastSeen are the runs that found it; zero where nothing is remembered.
	FirstSeen time.Time `json:"firstSeen,omitzero"`
	LastSeen  time.Time `json:"lastSeen,omitzero"`
	// Acknowledged says that owners know of it: it is shown and fails nothing.
	Acknowledged *Acknowledgement `json:"acknowledged,omitempty"`
}

// Acknowledgement is an entry of the acknowledgement file that covers a finding.
type Acknowledgement struct {
	By      string `json:"by"` // login
	Reason  string `json:"reason"`
	Expires string `json:"expires"` // 2006-01-02; the last day on which it holds, in UTC
}

// Fingerprint identifies the finding over runs: it covers rule, object and field
// only, because lines move, values change and messages are reworded while the fault
// stays the same. It is 16 hexadecimal digits.
func (f Finding) Fingerprint() string {
	identity := f.Rule + "\x00" + f.Object
	if f.Field != "" {
		identity += "\x00" + f.Field
	}
	return digest(identity)
}

// State identifies what the fault looks like now: both sides of the difference. An
// acknowledgement holds for one state, so that a fault that gets worse is new.
func (f Finding) State() string {
	return digest(f.Severity.String() + "\x00" + f.Declared + "\x00" + f.Observed)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// Position is file:line, file, or the object where no file declares it.
func (f Finding) Position() string {
	switch {
	case f.File == "":
		return f.Object
	case f.Line == 0:
		return f.File
	default:
		return fmt.Sprintf("%s:%d", f.File, f.Line)
	}
}

// Sort orders by file, line, object, rule, field and message, in place: the order in
// which a person walks through a repository.
func Sort(all []Finding) {
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(
			strings.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			strings.Compare(a.Object, b.Object),
			strings.Compare(a.Rule, b.Rule),
			strings.Compare(a.Field, b.Field),
			strings.Compare(a.Message, b.Message),
		)
	})
}

// AtLeast counts the findings of severity s or above that nobody acknowledged.
func AtLeast(all []Finding, s Severity) int {
	n := 0
	for _, f := range all {
		if f.Severity >= s && f.Acknowledged == nil {
			n++
		}
	}
	return n
}

// New returns the findings of after that before does not have, by fingerprint:
// what a change makes worse.
func New(before, after []Finding) []Finding {
	known := make(map[string]int, len(before))
	for _, f := range before {
		known[f.Fingerprint()]++
	}
	var fresh []Finding
	for _, f := range after {
		if key := f.Fingerprint(); known[key] > 0 {
			known[key]--
		} else {
			fresh = append(fresh, f)
		}
	}
	return fresh
}
