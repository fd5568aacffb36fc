// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import "sigs.k8s.io/steward/internal/finding"

// The stable codes of faults and denials. F1 to F12 number the cases in which
// Prow fails open (docs/owners.md); F8, F9 and F10 are faults of its loading and
// have no code, because there is nothing a repository could do about them.
const (
	CodeMalformed   = "OWNERS-F1"  // a file cannot be read as OWNERS
	CodeMixed       = "OWNERS-F2"  // people or labels beside filters
	CodeUnmatched   = "OWNERS-F3"  // restricted, and no filter with approvers matches
	CodeVacant      = "OWNERS-F4"  // restricted, and nobody is left to approve
	CodeUnverified  = "OWNERS-F5"  // membership of the user is unknown
	CodePattern     = "OWNERS-F6"  // a filter's regular expression is unusable
	CodeAliases     = "OWNERS-F7"  // OWNERS_ALIASES is malformed
	CodeUnknownKey  = "OWNERS-F11" // a key nobody reads
	CodePath        = "OWNERS-F12" // a path that could mean another one
	CodeNotApprover = "OWNERS-DENIED"
	CodeNotMember   = "OWNERS-NOT-MEMBER"
	CodeNotLogin    = "OWNERS-NOT-LOGIN"

	CodeUndefinedAlias  = "OWNERS-UNDEFINED-ALIAS"
	CodeNearAlias       = "OWNERS-NEAR-ALIAS"
	CodeUnusedAlias     = "OWNERS-UNUSED-ALIAS"
	CodeNestedAlias     = "OWNERS-NESTED-ALIAS"
	CodeEmptyAlias      = "OWNERS-EMPTY-ALIAS"
	CodeAliasAsLogin    = "OWNERS-ALIAS-SHADOWS-LOGIN"
	CodeDuplicate       = "OWNERS-DUPLICATE"
	CodeRedundant       = "OWNERS-REDUNDANT"
	CodeBadLogin        = "OWNERS-BAD-LOGIN"
	CodeEmpty           = "OWNERS-EMPTY"
	CodeNoApprovers     = "OWNERS-NO-APPROVERS"
	CodeNoRootApprovers = "OWNERS-NO-ROOT-APPROVERS"
	CodeDeadFilter      = "OWNERS-DEAD-FILTER"
	CodeEmeritus        = "OWNERS-EMERITUS-ACTIVE"
	CodeEmeritusBelow   = "OWNERS-EMERITUS-BELOW"
	CodeSpelling        = "OWNERS-SPELLING"
	CodeStrayAliases    = "OWNERS-STRAY-ALIASES"
	CodeSoleApprover    = "OWNERS-SOLE-APPROVER"
)

// Rule describes one code: what it means, and how grave it is in lint and when
// met at run time.
type Rule struct {
	Code    string
	Lint    finding.Severity
	RunTime finding.Severity
	About   string
}

// Rules lists every code, in the order of docs/owners.md.
func Rules() []Rule {
	return []Rule{
		{CodeMalformed, finding.Error, finding.Error, "the file cannot be read; it denies everything below its directory"},
		{CodeMixed, finding.Error, finding.Error, "people or labels stand beside filters, where Prow drops the filters"},
		{CodeUnmatched, finding.Warning, finding.Warning, "a restricted directory has files that no filter with approvers matches"},
		{CodeVacant, finding.Error, finding.Error, "a restricted directory has nobody who may approve"},
		{CodeUnverified, finding.Error, finding.Error, "membership could not be read, so a grant cannot be trusted"},
		{CodePattern, finding.Error, finding.Error, "a filter is not a usable regular expression"},
		{CodeAliases, finding.Error, finding.Error, "the aliases file cannot be read; no alias grants anything"},
		{CodeUnknownKey, finding.Error, finding.Warning, "a key that nobody reads, often a misspelt one"},
		{CodePath, finding.Error, finding.Error, "a path that is not clean, relative and printable"},
		{CodeNotApprover, finding.Error, finding.Error, "the user is not an approver of the path"},
		{CodeNotMember, finding.Error, finding.Error, "the user is listed, but is no longer a member"},
		{CodeNotLogin, finding.Error, finding.Error, "the name is an alias or not a legal login"},
		{CodeUndefinedAlias, finding.Error, finding.Warning, "a name that looks like an alias is not defined"},
		{CodeNearAlias, finding.Warning, finding.Info, "a login that is one slip of the finger away from an alias"},
		{CodeUnusedAlias, finding.Info, finding.Info, "an alias that no OWNERS file mentions"},
		{CodeNestedAlias, finding.Error, finding.Warning, "an alias as member of an alias is not expanded"},
		{CodeEmptyAlias, finding.Warning, finding.Info, "an alias without members"},
		{CodeAliasAsLogin, finding.Warning, finding.Info, "an alias that has the name of one of its members"},
		{CodeDuplicate, finding.Warning, finding.Info, "the same entry twice in one list"},
		{CodeRedundant, finding.Info, finding.Info, "a login that an alias in the same list already contains"},
		{CodeBadLogin, finding.Error, finding.Warning, "an entry that is neither an alias nor a legal login"},
		{CodeEmpty, finding.Warning, finding.Info, "a file that says nothing"},
		{CodeNoApprovers, finding.Info, finding.Info, "a file that names no approvers: those above decide"},
		{CodeNoRootApprovers, finding.Error, finding.Error, "no approvers at the root of the repository"},
		{CodeDeadFilter, finding.Warning, finding.Info, "a filter that matches no file"},
		{CodeEmeritus, finding.Warning, finding.Info, "an approver who is also listed as emeritus"},
		{CodeEmeritusBelow, finding.Info, finding.Info, "an approver whom a file above lists as emeritus"},
		{CodeSpelling, finding.Warning, finding.Info, "a form Prow reads, but not the canonical one"},
		{CodeStrayAliases, finding.Warning, finding.Info, "an aliases file outside the root is not read"},
		{CodeSoleApprover, finding.Info, finding.Info, "a restricted directory that hangs on one person"},
	}
}

// severity looks a code up; an unknown one is an error, so that a code missing
// from the table cannot hide a fault.
func severity(code string, pick func(Rule) finding.Severity) finding.Severity {
	for _, r := range Rules() {
		if r.Code == code {
			return pick(r)
		}
	}
	return finding.Error
}

// fault is something wrong in one file, before it is known which path the file
// has: parsed files are shared between directories by their blob id.
type fault struct {
	code   string
	line   int
	msg    string
	fix    string
	detail string // tells two faults of one code in one file apart
	denies bool   // in Strict mode nothing in the file is used
}

// at makes the fault a finding about file.
func (f fault) at(file string, pick func(Rule) finding.Severity) finding.Finding {
	object := file
	if f.detail != "" {
		object += "#" + f.detail
	}
	return finding.Finding{
		Rule: f.code, Severity: severity(f.code, pick), Object: object,
		File: file, Line: f.line, Message: f.msg, Fix: f.fix,
	}
}

func lintSeverity(r Rule) finding.Severity    { return r.Lint }
func runTimeSeverity(r Rule) finding.Severity { return r.RunTime }
