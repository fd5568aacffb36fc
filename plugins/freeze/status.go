// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/thread"
)

// status is pending while something that the pull request changes is frozen: the
// change is not at fault, it has to wait.
func (f freezer) status(s *thread.Snapshot, set freeze.Set) thread.Status {
	status := thread.Status{Context: Context, State: thread.Success, Description: "Nothing is frozen."}
	if len(set.All()) == 0 {
		return status
	}
	status.Description = "Nothing that this changes is frozen."
	holding := set.Holding(s.Changed())
	if s.FilesLost > 0 {
		holding = set.All() // which files those are is not known
	}
	if len(holding) == 0 {
		return status
	}
	status.State = thread.Pending
	status.Description = held(holding)
	status.URL = f.link(s, holding[0])
	return status
}

// held is plain text, which GitHub does not render.
func held(holding []freeze.Freeze) string {
	var scopes []string
	for _, z := range holding {
		if !slices.Contains(scopes, z.Scope) {
			scopes = append(scopes, z.Scope)
		}
	}
	verb := "is"
	if len(scopes) > 1 {
		verb = "are"
	}
	text := fmt.Sprintf("%s %s frozen: %s", strings.Join(scopes, ", "), verb, holding[0].Reason)
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, text)
}

// link leads to the record or to the line of the file on the branch. The commit
// is left out: the address would change with every merge.
func (f freezer) link(s *thread.Snapshot, z freeze.Freeze) string {
	base := strings.TrimSuffix(f.Links(), "/") + "/" + s.Repo.String()
	switch {
	case z.Issue > 0:
		return fmt.Sprintf("%s/issues/%d", base, z.Issue)
	case z.Issue == 0:
		branch := (&url.URL{Path: s.Base}).EscapedPath()
		return fmt.Sprintf("%s/blob/%s/%s#L%d", base, branch, freeze.File, max(z.Line, 1))
	}
	return ""
}
