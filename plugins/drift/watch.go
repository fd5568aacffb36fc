// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package drift

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

// facts is what the status of a pull request needs beside its snapshot.
type facts struct {
	latest
	touches    bool // the pull request may change the acknowledgements
	base, head []byte
	odd        string // why the head's file cannot be read
}

func (d drift) loadWatch(ctx context.Context, s *thread.Snapshot) (facts, error) {
	if s.Where != thread.OpenPull {
		return facts{}, nil
	}
	l, err := d.latest(ctx, s.Repo)
	if err != nil {
		return facts{}, err
	}
	f := facts{latest: l, touches: s.FilesLost > 0 || slices.Contains(s.Changed(), ack.File)}
	if !f.touches {
		return f, nil
	}
	if f.base, err = d.file(ctx, s.Repo, s.BaseCommit); permanent(err) {
		err = nil // then nothing holds yet, and all that the head has is new
	}
	if err != nil {
		return facts{}, err
	}
	if f.head, err = d.file(ctx, s.Repo, s.Head); permanent(err) {
		f.odd, err = "it is no regular file, or too large", nil
	}
	return f, err
}

// watch sets the status, and the standing part of the sticky where the pull request
// writes acknowledgements that do not hold.
func (d drift) watch(s *thread.Snapshot, f facts, now time.Time) []thread.Action {
	if s.Where != thread.OpenPull {
		return nil
	}
	state, problems, told := f.acknowledgements(s, now)
	known, page := d.known(s, f)
	return []thread.Action{
		thread.Status{Context: Context, State: state, Description: plain(strings.Join(append(told, known), "; ")), URL: page},
		thread.Sticky{Topic: Name, Body: table(s, problems)},
	}
}

// known is the part of the description about drift that was known before the pull
// request, and where it can be read. It never changes the state (D-2): who mends drift
// must not be held by it.
func (d drift) known(s *thread.Snapshot, f facts) (text, page string) {
	if f.problem != "" {
		return "The drift report cannot be read: " + f.problem, ""
	}
	if here := f.concerning(s); len(here) > 0 {
		return fmt.Sprintf("Known drift in what this changes: %s (%s drift)", report.Counts(here), command.Prefix), d.Page(s.Repo)
	}
	return "No known drift in what this changes", ""
}

// acknowledgements judges the entries that the pull request adds or changes (D-4): each
// has to be well-formed, about a public finding as it is now, approved by somebody who
// may, and backed by them. Where the report cannot be read nothing can be said about
// new ones, and they wait.
func (f facts) acknowledgements(s *thread.Snapshot, now time.Time) (state thread.State, problems []finding.Finding, told []string) {
	if !f.touches || f.odd == "" && string(f.head) == string(f.base) {
		return thread.Success, nil, nil
	}
	if f.odd != "" {
		return thread.Failure, nil, []string{ack.File + " cannot be read: " + f.odd}
	}
	base, head := ack.Parse(f.base, now), ack.Parse(f.head, now)
	for _, p := range finding.New(base.Problems, head.Problems) {
		if p.Severity >= finding.Error {
			problems = append(problems, p)
		}
	}
	fresh := head.Fresh(base)
	if !s.Own() { // what the account writes itself is backed by the command it answers
		problems = append(problems, ack.Unbacked(fresh, backed(s))...)
	}
	if f.Report != nil && len(fresh) > 0 {
		problems = append(problems, ack.Check(fresh, f.Findings(), may(s))...)
	}
	switch {
	case len(problems) > 0:
		return thread.Failure, problems, []string{fmt.Sprintf("Acknowledgements that do not hold: %s", report.Number(len(problems), "fault"))}
	case f.Report == nil && len(fresh) > 0:
		return thread.Pending, nil, []string{report.Number(len(fresh), "new acknowledgement") + " cannot be checked yet"}
	case len(fresh) > 0:
		return thread.Success, nil, []string{report.Number(len(fresh), "new acknowledgement") + " checked"}
	}
	return thread.Success, nil, nil
}

// may decides by OWNERS at the base commit, as every command does.
func may(s *thread.Snapshot) ack.Approves {
	return func(login, path string) bool { return s.Owners.Explain(login, path).Allowed }
}

func backed(s *thread.Snapshot) func(string) bool {
	backers := command.Backers(s)
	return func(login string) bool { return slices.Contains(backers, acl.NormLogin(login)) }
}

// problemsShown keeps the table readable; its counts are of all.
const problemsShown = 50

func table(s *thread.Snapshot, problems []finding.Finding) string {
	if len(problems) == 0 {
		return ""
	}
	var b strings.Builder
	opts := report.Options{Title: "Acknowledgements that this pull request adds", Commit: s.Head}
	// A string builder does not fail, the format exists, and there is no address.
	_ = report.Write(&b, "markdown", problems[:min(len(problems), problemsShown)], opts)
	if more := len(problems) - problemsShown; more > 0 {
		fmt.Fprintf(&b, "\nAnd %d more.\n", more)
	}
	fmt.Fprintf(&b, "\n`%s` writes entries that hold.", acceptUsage)
	return b.String()
}

// plain keeps what others typed from turning the line of a status.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, text)
}
