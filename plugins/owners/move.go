// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package owners

import (
	"context"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/thread"
)

// move is a file that leaves a restricted folder.
type move struct{ folder, from, to string }

// unapproved returns the moves that no approver of their source stands behind.
// Standing behind is being the author, having approved in a review, or having said
// Prow's /approve; each of them has to be a member still.
func (o owners) unapproved(ctx context.Context, s *thread.Snapshot) ([]move, error) {
	var (
		open    []move
		backers []string
		members map[string]bool
	)
	for _, f := range s.Files {
		m, leaves := leaving(s.Owners, f)
		if !leaves {
			continue
		}
		if members == nil { // the first of them
			backers, members = command.Backers(s), map[string]bool{}
		}
		backed, err := o.backed(ctx, s, m, backers, members)
		if err != nil {
			return nil, err
		}
		if !backed {
			open = append(open, m)
		}
	}
	return open, nil
}

// backed asks for the membership of approvers only, once each.
func (o owners) backed(ctx context.Context, s *thread.Snapshot, m move, backers []string, members map[string]bool) (bool, error) {
	for _, login := range backers {
		if !s.Owners.Explain(login, m.from).Allowed {
			continue
		}
		yes, asked := members[login]
		if !asked {
			var err error
			if yes, err = o.Members.Member(ctx, s.Repo, login); err != nil {
				return false, err
			}
			members[login] = yes
		}
		if yes {
			return true, nil
		}
	}
	return false, nil
}

// leaving tells whether a renamed file leaves a folder with no_parent_owners in
// such a way that people who could not approve a change of the file can approve
// the move.
func leaving(t *acl.Tree, f thread.File) (move, bool) {
	if f.Status != "renamed" || f.Previous == "" {
		return move{}, false
	}
	folder, restricted := restrictedBy(t, f.Previous)
	return move{folder, f.Previous, f.Path}, restricted && !covered(t, f)
}

// restrictedBy returns the nearest folder above the path that shuts out the OWNERS
// above it, or that has an OWNERS file nobody can read.
func restrictedBy(t *acl.Tree, p string) (string, bool) {
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		if t.IsNoParentOwners(dir) {
			return dir, true
		}
		if dir == "." || dir == "/" {
			return "", false
		}
	}
}

// covered tells that the approvers of the destination are approvers of the source:
// the approval that Prow asks for is the one that is needed. A folder that
// approves itself asks for none.
func covered(t *acl.Tree, f thread.File) bool {
	from, errFrom := t.Approvers(f.Previous)
	to, errTo := t.Approvers(f.Path)
	dirFrom, _ := t.FindApproverOwnersForFile(f.Previous) // fails like Approvers
	dirTo, _ := t.FindApproverOwnersForFile(f.Path)
	if errFrom != nil || errTo != nil || dirFrom != dirTo || to.Len() == 0 || t.IsAutoApproveUnownedSubfolders(dirTo) {
		return false
	}
	for login := range to.Set() {
		if !from.Has(login) {
			return false
		}
	}
	return true
}

// movesShown bounds the list in the sticky.
const movesShown = 20

// moves says which files leave which folder, and who may approve that.
func moves(s *thread.Snapshot, open []move) string {
	var b strings.Builder
	b.WriteString("**Files leave a restricted folder.** An approver of the folder has to be the author, approve in a review, or comment `/approve`.\n\n")
	b.WriteString("| folder | from | to | who |\n|---|---|---|---|\n")
	for i, m := range open {
		if i == movesShown {
			fmt.Fprintf(&b, "\nAnd %d more.\n", len(open)-i)
			break
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", markdown.Cell(m.folder), markdown.Cell(m.from), markdown.Cell(m.to), who(s.Owners, m.from))
	}
	return strings.TrimSpace(b.String())
}

// who could approve a change of the path, in a cell.
func who(t *acl.Tree, p string) string {
	layers, err := t.Approvers(p)
	if err != nil {
		return markdown.Text(err.Error())
	}
	if all := approvers(layers, ""); len(all) > 0 {
		return markdown.Logins(all, peopleShown)
	}
	return "nobody: the OWNERS file has to be mended"
}
