// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/thread"
)

// cancels finds Prow's ways to take an approval back. They count wherever they
// stand and whoever edited them: in doubt, there is no approval.
var cancels = regexp.MustCompile(`(?im)^[ \t]*/(approve[ \t]+cancel|remove-approve)\b`)

// Backers lists who stands behind a pull request: its author, who approves in a
// review, and who approves by a comment that was not edited. Whoever took an approval
// back or asks for changes does not. Whether they may is another question.
func Backers(s *thread.Snapshot) []string {
	backs := map[string]bool{acl.NormLogin(s.Author): true}
	for _, r := range s.Reviews {
		if r.State == "APPROVED" {
			backs[acl.NormLogin(r.Author)] = true
		}
	}
	for _, c := range s.Comments {
		switch login := acl.NormLogin(c.Author); {
		case cancels.MatchString(c.Body):
			backs[login] = false
		case !c.Bot && !c.Edited && saysApprove(c.Body):
			backs[login] = true
		}
	}
	for _, r := range s.Reviews {
		if r.State == "CHANGES_REQUESTED" {
			backs[acl.NormLogin(r.Author)] = false
		}
	}
	delete(backs, "") // accounts that were deleted
	maps.DeleteFunc(backs, func(_ string, yes bool) bool { return !yes })
	return slices.Sorted(maps.Keys(backs))
}

func saysApprove(body string) bool {
	if !strings.Contains(strings.ToLower(body), "/approve") {
		return false
	}
	return slices.ContainsFunc(Plain(body), func(line string) bool {
		words := strings.Fields(line)
		return len(words) > 0 && strings.EqualFold(words[0], "/approve")
	})
}
