// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/markdown"
)

// The most that a denial lists (rule C-10).
const (
	pathsShown  = 5
	peopleShown = 5
)

// Refusal is the answer to a call whose author may not approve the given paths:
// what decides, by which file, and who could (rule C-10). The explanations are
// denials of one tree.
func Refusal(login string, denied []acl.Explanation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Denied: %s may not approve what this command is about%s.\n", markdown.Login(login), at(denied))
	for i, e := range denied {
		if i == pathsShown {
			fmt.Fprintf(&b, "- and %d more\n", len(denied)-i)
			break
		}
		fmt.Fprintf(&b, "- %s: %s. %s\n", shownPath(e.Path), markdown.Text(e.Reason), Advice(e))
	}
	return strings.TrimSpace(b.String())
}

// at names the commit, which is part of every decision.
func at(all []acl.Explanation) string {
	if len(all) == 0 || all[0].Commit == "" {
		return ""
	}
	return ", by OWNERS at " + markdown.Code(Short(all[0].Commit))
}

// Short is a commit id as people quote it.
func Short(commit string) string { return commit[:min(len(commit), 12)] }

func shownPath(path string) string {
	if path == "." {
		return "the root of the repository"
	}
	return markdown.Code(path)
}

// Advice tells who could grant what the explanation denies, and which file has
// to be mended first.
func Advice(e acl.Explanation) string {
	people := grantors(e.Grants)
	switch {
	case e.Mend != "" && people == "":
		return fmt.Sprintf("Nobody may before %s is mended, and no OWNERS file above it names anybody who could: ask the administrators of the repository.", markdown.Code(e.Mend))
	case e.Mend != "":
		return fmt.Sprintf("Nobody may before %s is mended; that can be approved by %s.", markdown.Code(e.Mend), people)
	case people == "":
		return "No OWNERS file names anybody who may."
	}
	return fmt.Sprintf("It can be approved by %s.", people)
}

// grantors lists people once, nearest file first, each file after its people.
func grantors(grants []acl.Grant) string {
	var parts, seen []string
	for _, g := range grants {
		fresh := slices.DeleteFunc(slices.Clone(g.People), func(p string) bool { return slices.Contains(seen, p) })
		if len(fresh) == 0 || len(seen) >= peopleShown {
			continue
		}
		most := peopleShown - len(seen)
		seen = append(seen, fresh...)
		parts = append(parts, fmt.Sprintf("%s (%s)", markdown.Logins(fresh, most), markdown.Code(g.File)))
	}
	return strings.Join(parts, ", ")
}
