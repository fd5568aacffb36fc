// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit compares what a repository declares with what exists.
//
// A Collector reads one kind of objects in units that succeed or fail alone. What it
// read is journaled, so that a run whose machine dies goes on where it was; what it
// found is a pure function of the declared files and the readings. A unit that could
// not be read is a gap in the coverage: nothing in it is ever reported as missing.
// The rules are AU-1 … in docs/audit.md.
package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/secret"
)

// Collector is one part of an audit. It is made for one declared state; its methods
// are called in the order Units, Read, Compare.
type Collector interface {
	// Name is the word on the command line, such as gcs.
	Name() string
	// Units lists what is to be read, each once, in a stable order. They follow from
	// the declared state alone, so that a resumed run has the same ones. An error ends
	// the part: its coverage is unknown.
	Units(ctx context.Context) ([]string, error)
	// Read reads one unit. It is called concurrently and repeats nothing that failed:
	// adapters do. An error means that nothing of the unit was read; what is missing
	// from a unit that was read otherwise is a Gap of the reading.
	Read(ctx context.Context, unit string) (Reading, error)
	// Compare is pure. It is given the readings of the units that were read, also of
	// those with gaps, and has to treat what they do not cover as unknown.
	Compare(readings map[string]Reading) (Comparison, error)
}

// Reading is what was read of a unit.
type Reading struct {
	// Data is the collector's own form. It is journaled as it is, so it must not hold
	// anything that was not to be kept: secrets are redacted before (package secret).
	Data    json.RawMessage `json:"data,omitempty"`
	Objects int             `json:"objects"`
	Gaps    []finding.Gap   `json:"gaps,omitempty"`
}

// Comparison is what a collector found.
type Comparison struct {
	Found []finding.Finding // all but Absent
	// Absent are declared objects that do not exist, each proven by a complete list
	// that does not have it. They are what a brake counts (AU-6).
	Absent   []finding.Finding
	Declared int // declared objects in what was read; Absent are a share of these
	// Notes are limits of what could be seen at all, for people: they make no run
	// incomplete.
	Notes []string
}

// Unread is the error of a reader that knows why it failed. Adapters return it,
// wrapped or not.
type Unread struct {
	Reason finding.Reason
	Err    error
}

func (u *Unread) Error() string { return string(u.Reason) + ": " + u.Err.Error() }

// Unwrap returns the cause.
func (u *Unread) Unwrap() error { return u.Err }

// Fail is an Unread error with a text.
func Fail(reason finding.Reason, format string, args ...any) error {
	return &Unread{reason, fmt.Errorf(format, args...)}
}

// GapOf makes the gap of a scope from what its reader returned. An error that does
// not say why is one of the network.
func GapOf(scope string, err error) finding.Gap {
	gap := finding.Gap{Scope: clip(scope), Reason: finding.Unavailable, Detail: clip(err.Error())}
	var unread *Unread
	switch {
	case errors.As(err, &unread):
		gap.Reason, gap.Detail = unread.Reason, clip(unread.Err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		gap.Reason = finding.TimedOut
	case errors.Is(err, context.Canceled):
		gap.Reason = finding.Interrupted
	}
	return gap
}

// detailLimit bounds what a hostile answer can put into a report.
const detailLimit = 300

// scanner keeps what a server put into an error, or into a name, out of the gap.
var scanner = secret.NewScanner()

func clip(s string) string {
	s, _ = scanner.Redact(s)
	if len(s) <= detailLimit {
		return s
	}
	return strings.ToValidUTF8(s[:detailLimit], "") + "…"
}
