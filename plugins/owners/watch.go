// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/thread"
)

// facts is what the decision about a pull request needs beside its snapshot.
type facts struct {
	head  *acl.Tree // nil where no OWNERS file changes
	moved []move    // out of restricted folders, without anybody's approval
}

func (o owners) load(ctx context.Context, s *thread.Snapshot) (facts, error) {
	if s.Where != thread.OpenPull || s.FilesLost > 0 {
		return facts{}, nil
	}
	moved, err := o.unapproved(ctx, s)
	if err != nil || len(rules(s)) == 0 {
		return facts{moved: moved}, err
	}
	head, err := o.Trees.Owners(ctx, s.Repo, s.Head)
	if err != nil {
		return facts{}, fmt.Errorf("read OWNERS at head %s: %w", s.Head, err)
	}
	return facts{head: head, moved: moved}, nil
}

// rules lists the changed paths that are OWNERS or aliases files, before or after
// a rename.
func rules(s *thread.Snapshot) []string {
	names := s.Owners.Filenames()
	return slices.DeleteFunc(s.Changed(), func(p string) bool {
		return path.Base(p) != names.Owners && path.Base(p) != names.Aliases
	})
}

// watch sets the status and the standing part of the sticky, which is empty where
// nothing is wrong.
func (o owners) watch(s *thread.Snapshot, f facts, _ time.Time) []thread.Action {
	switch {
	case s.Where != thread.OpenPull:
		return nil
	case s.FilesLost > 0:
		text := fmt.Sprintf("GitHub does not list %d of the changed files, so they cannot be checked: split the pull request", s.FilesLost)
		return verdict(thread.Failure, text, text+".")
	case f.head == nil && len(f.moved) == 0:
		return verdict(thread.Success, "Not applicable: no OWNERS file changes", "")
	}
	var body, described []string
	state := thread.Success
	if worse := worsened(s, f.head); len(worse) > 0 {
		if finding.AtLeast(worse, finding.Error) > 0 {
			state = thread.Failure
		}
		described = append(described, "In OWNERS files: "+report.Counts(worse))
		body = append(body, table(s, worse))
	}
	if len(f.moved) > 0 {
		state = thread.Failure
		described = append(described, fmt.Sprintf("%d files leave a restricted folder without its owners' approval", len(f.moved)))
		body = append(body, moves(s, f.moved))
	}
	if len(described) == 0 {
		described = []string{"Nothing gets worse in OWNERS files"}
	}
	return verdict(state, strings.Join(described, "; "), strings.Join(body, "\n\n"))
}

func verdict(state thread.State, description, standing string) []thread.Action {
	return []thread.Action{
		thread.Status{Context: Context, State: state, Description: description},
		thread.Sticky{Topic: Name, Body: standing},
	}
}

// worsened returns the warnings and errors that the head has and the base has
// not. The head may be older than the base, so faults of files that the pull
// request leaves alone count only where it changes the aliases they use.
func worsened(s *thread.Snapshot, head *acl.Tree) []finding.Finding {
	if head == nil {
		return nil
	}
	touched := rules(s)
	aliases := slices.Contains(touched, s.Owners.Filenames().Aliases)
	return slices.DeleteFunc(finding.New(acl.Lint(s.Owners), acl.Lint(head)), func(f finding.Finding) bool {
		return f.Severity < finding.Warning || !aliases && !slices.Contains(touched, f.File)
	})
}

// findingsShown keeps the table readable; the description counts all of them.
const findingsShown = 50

func table(s *thread.Snapshot, worse []finding.Finding) string {
	var b strings.Builder
	rest := len(worse) - findingsShown
	opts := report.Options{Title: "OWNERS files, what this pull request makes worse", Commit: s.Head}
	// A string builder does not fail and the format exists.
	_ = report.Write(&b, "markdown", worse[:min(len(worse), findingsShown)], opts)
	if rest > 0 {
		fmt.Fprintf(&b, "\nAnd %d more: `steward owners lint` lists all.\n", rest)
	}
	fmt.Fprintf(&b, "\nCompared %s with %s; rebase where a line is not yours.", markdown.Code(command.Short(s.Head)), markdown.Code(command.Short(s.BaseCommit)))
	return b.String()
}
