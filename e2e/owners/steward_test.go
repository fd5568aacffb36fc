// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"sigs.k8s.io/steward/internal/acl"
)

// stewardLoad reads a repository in the mode that has to equal Prow's.
func stewardLoad(fsys fs.FS, s settings, collaborators []string) (*acl.Tree, error) {
	t, err := acl.Load(fsys, "0123456789abcdef", acl.Options{
		Mode:                acl.Compat,
		Filenames:           acl.Filenames{Owners: s.filenames[0], Aliases: s.filenames[1]},
		MarkdownFrontMatter: s.markdown,
		DirDenylist:         s.denylist,
	})
	if err == nil && collaborators != nil {
		t = t.WithMembers(acl.EveryMember(collaborators...))
	}
	return t, err
}

func stewardAnswers(t *acl.Tree, paths []string) answers {
	a := answers{}
	a.add("TopLevelApprovers", "", sorted(t.TopLevelApprovers()))
	a.add("AllApprovers", "", sorted(t.AllApprovers()))
	a.add("AllReviewers", "", sorted(t.AllReviewers()))
	a.add("AllOwners", "", sorted(t.AllOwners()))
	for _, p := range paths {
		for _, q := range []struct {
			name string
			ask  func(string) (acl.Layers, error)
		}{{"Approvers", t.Approvers}, {"Reviewers", t.Reviewers}} {
			layers, err := q.ask(p)
			a.note(q.name, p, err, setsOf(layers)...)
		}
		for _, q := range []struct {
			name string
			ask  func(string) (acl.Set, error)
		}{
			{"LeafApprovers", t.LeafApprovers}, {"LeafReviewers", t.LeafReviewers},
			{"RequiredReviewers", t.RequiredReviewers}, {"FindLabelsForFile", t.FindLabelsForFile},
		} {
			set, err := q.ask(p)
			a.note(q.name, p, err, sorted(set))
		}
		for _, q := range []struct {
			name string
			ask  func(string) (string, error)
		}{
			{"FindApproverOwnersForFile", t.FindApproverOwnersForFile},
			{"FindReviewersOwnersForFile", t.FindReviewersOwnersForFile},
		} {
			dir, err := q.ask(p)
			a.note(q.name, p, err, []string{dir})
		}
		a.add("IsNoParentOwners", p, []string{yesNo(t.IsNoParentOwners(optionsDir(p)))})
		a.add("IsAutoApproveUnownedSubfolders", p, []string{yesNo(t.IsAutoApproveUnownedSubfolders(optionsDir(p)))})
	}
	return a
}

// note is add for a query that can fail. Prow's cannot, so an error differs from every answer.
func (a answers) note(query, path string, err error, layers ...[]string) {
	if err != nil {
		layers = [][]string{{fmt.Sprintf("error: %v", err)}}
	}
	a.add(query, path, layers...)
}

func setsOf(l acl.Layers) [][]string {
	layers := make([][]string, len(l))
	for i, layer := range l {
		layers[i] = sorted(layer)
	}
	return layers
}

func sorted(s acl.Set) []string { return slices.Sorted(maps.Keys(s)) }
