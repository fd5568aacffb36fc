// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package acl

import (
	"maps"
	"path"
)

// Approvers returns everybody who may approve a change of p, from leaf to root.
// A login is in the result if and only if Explain allows it.
func (t *Tree) Approvers(p string) (Layers, error) { return t.collect(p, approverRole(), false) }

// Reviewers is Approvers for the reviewers lists.
func (t *Tree) Reviewers(p string) (Layers, error) { return t.collect(p, reviewerRole(), false) }

// LeafApprovers returns the approvers of the nearest file that has any.
func (t *Tree) LeafApprovers(p string) (Set, error) {
	layers, err := t.collect(p, approverRole(), true)
	return layers.Set(), err
}

// LeafReviewers returns the reviewers of the nearest file that has any.
func (t *Tree) LeafReviewers(p string) (Set, error) {
	layers, err := t.collect(p, reviewerRole(), true)
	return layers.Set(), err
}

// RequiredReviewers returns everybody whose review a change of p needs. In
// Strict mode it fails where a file on the way cannot be read, because fewer
// demands than declared would be too few.
func (t *Tree) RequiredReviewers(p string) (Set, error) {
	layers, err := t.collect(p, requiredRole(), false)
	if err != nil {
		return nil, err
	}
	if err := t.unreadable(p); err != nil {
		return nil, err
	}
	return layers.Set(), nil
}

// FindLabelsForFile returns the labels for a change of p, as Prow's owners-label
// plugin sets them. Labels grant nothing; the rule of Prow holds in both modes.
func (t *Tree) FindLabelsForFile(p string) (Set, error) {
	layers, err := t.collect(p, labelRole(), false)
	return layers.Set(), err
}

// TopLevelApprovers returns the approvers of the root directory.
func (t *Tree) TopLevelApprovers() Set {
	set, _ := t.LeafApprovers(".") // "." is a legal path
	return set
}

// FindApproverOwnersForFile returns the directory whose OWNERS file decides
// about p: the nearest with approvers for it, strictly also the nearest that is
// broken or restricted. "" means the root, or none.
func (t *Tree) FindApproverOwnersForFile(p string) (string, error) {
	return t.deciding(p, approverRole())
}

// FindReviewersOwnersForFile is the same for reviewers.
func (t *Tree) FindReviewersOwnersForFile(p string) (string, error) {
	return t.deciding(p, reviewerRole())
}

func (t *Tree) deciding(p string, r role) (string, error) {
	p, err := CheckPath(p)
	if err != nil {
		return "", err
	}
	var buf [shortChain]step
	for _, s := range t.chain(p, buf[:0]) {
		out := Layers{Set{}}
		t.gather(&out, s, r)
		if out.Len() > 0 || t.broken(s) || t.opts.Mode == Strict && s.owners.noParent {
			return s.dir, nil
		}
	}
	return "", nil
}

// IsNoParentOwners reports whether dir ("" or "." for the root) has an OWNERS
// file that shuts out those above. A broken file does, too.
func (t *Tree) IsNoParentOwners(dir string) bool {
	f := t.ownersAt(dir)
	return f != nil && (f.noParent || t.opts.Mode == Strict && f.denies != nil)
}

// IsAutoApproveUnownedSubfolders reports the option of the same name, which
// approves changes in sub-folders without an OWNERS file. Never in a broken file.
func (t *Tree) IsAutoApproveUnownedSubfolders(dir string) bool {
	f := t.ownersAt(dir)
	return f != nil && f.autoApprove && !(t.opts.Mode == Strict && f.denies != nil)
}

// ownersAt returns the file of exactly this directory, or front matter.
func (t *Tree) ownersAt(dir string) *ownersFile {
	p, err := CheckPath(orDot(dir))
	if err != nil {
		return nil
	}
	var buf [shortChain]step
	chain := t.chain(p, buf[:0])
	if len(chain) == 0 || chain[0].layer != 0 {
		return nil
	}
	return chain[0].owners
}

// AllApprovers returns every login that approves anything.
func (t *Tree) AllApprovers() Set { return t.everyone(approverRole()) }

// AllReviewers returns every login that reviews anything.
func (t *Tree) AllReviewers() Set { return t.everyone(reviewerRole()) }

// AllOwners is the union of AllApprovers and AllReviewers.
func (t *Tree) AllOwners() Set {
	all := t.AllApprovers()
	maps.Copy(all, t.AllReviewers())
	return all
}

func (t *Tree) everyone(r role) Set {
	all := Set{}
	t.each(func(_ string, f *ownersFile) {
		if t.opts.Mode == Strict && f.denies != nil {
			return
		}
		for i := range f.sections {
			list := r.list(&f.sections[i])
			for _, e := range list {
				for login := range t.expand(list, e, r) {
					all[login] = struct{}{}
				}
			}
		}
	})
	return all
}

// each visits every file with its path, in no particular order.
func (t *Tree) each(visit func(file string, f *ownersFile)) {
	t.root.each(func(n *node) {
		if n.owners != nil {
			visit(path.Join(n.path, t.opts.Filenames.Owners), n.owners)
		}
		for name, f := range n.markdown {
			visit(path.Join(n.path, name), f)
		}
	})
}

func (n *node) each(visit func(*node)) {
	visit(n)
	for _, child := range n.children {
		child.each(visit)
	}
}
