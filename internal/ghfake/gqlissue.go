// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"strings"

	graphql "github.com/graph-gophers/graphql-go"
)

// issueNode is an Issue, and the part of a PullRequest that is the same.
type issueNode struct {
	s *Server
	r *repo
	i *issue
}

func (n *issueNode) ID() graphql.ID            { return graphID("I", n.i.ID) }
func (n *issueNode) DatabaseID() *int32        { return small(n.i.ID) }
func (n *issueNode) FullDatabaseID() *text     { return big(n.i.ID) }
func (n *issueNode) Number() int32             { return int32(n.i.Number) } //nolint:gosec // small
func (n *issueNode) Title() string             { return n.i.Title }
func (n *issueNode) Body() string              { return n.i.Body }
func (n *issueNode) URL() text                 { return text(n.i.html(n.r)) }
func (n *issueNode) State() string             { return n.i.state() }
func (n *issueNode) Locked() bool              { return n.i.Locked }
func (n *issueNode) CreatedAt() dateTime       { return dateTime{n.i.Created} }
func (n *issueNode) UpdatedAt() dateTime       { return dateTime{n.i.Updated} }
func (n *issueNode) ClosedAt() *dateTime       { return maybeTime(n.i.Closed) }
func (n *issueNode) LastEditedAt() *dateTime   { return maybeTime(n.i.Edited) }
func (n *issueNode) Editor() *actorNode        { return n.s.actorNode(n.i.Editor) }
func (n *issueNode) Author() *actorNode        { return n.s.actorNode(n.i.Author) }
func (n *issueNode) AuthorAssociation() string { return n.s.st.association(n.i.Author, n.r) }

type labelNode struct {
	Name, Color string
	Description *string
}

func (n *issueNode) Labels(in window) (*connection[*labelNode], error) {
	return connect(n.i.Labels, in, func(l *label) string { return l.Name }, func(l *label) *labelNode {
		return &labelNode{l.Name, l.Color, &l.Description}
	})
}

func (n *issueNode) Assignees(in window) (*connection[*account], error) {
	return connect(n.i.Assignees, in, fold, func(login string) *account { return &account{n.s.userView(login)} })
}

func (n *issueNode) Comments(in window) (*connection[*commentNode], error) {
	return connect(n.s.lag.listed(n.r, n.i.Comments), in, func(x *comment) string { return digits(x.ID) }, func(x *comment) *commentNode {
		return &commentNode{n.s, n.r, x}
	})
}

type commentNode struct {
	s *Server
	r *repo
	x *comment
}

func (n *commentNode) ID() graphql.ID            { return graphID("IC", n.x.ID) }
func (n *commentNode) DatabaseID() *int32        { return small(n.x.ID) }
func (n *commentNode) FullDatabaseID() *text     { return big(n.x.ID) }
func (n *commentNode) URL() text                 { return text(n.x.html(n.r)) }
func (n *commentNode) Author() *actorNode        { return n.s.actorNode(n.x.Author) }
func (n *commentNode) AuthorAssociation() string { return n.s.st.association(n.x.Author, n.r) }
func (n *commentNode) Body() string              { return n.x.Body }
func (n *commentNode) CreatedAt() dateTime       { return dateTime{n.x.Created} }
func (n *commentNode) UpdatedAt() dateTime       { return dateTime{n.x.Updated} }
func (n *commentNode) IsMinimized() bool         { return false }
func (n *commentNode) IncludesCreatedEdit() bool { return n.x.Editor != "" }
func (n *commentNode) Editor() *actorNode        { return n.s.actorNode(n.x.Editor) }
func (n *commentNode) LastEditedAt() *dateTime {
	if n.x.Editor == "" {
		return nil
	}
	return &dateTime{n.x.Updated}
}

type pullNode struct {
	issueNode
	p *pull
}

func (n *pullNode) ID() graphql.ID       { return graphID("PR", n.i.ID) }
func (n *pullNode) IsDraft() bool        { return n.p.Draft }
func (n *pullNode) Merged() bool         { return n.p.Merged }
func (n *pullNode) MergedAt() *dateTime  { return maybeTime(n.p.MergedAt) }
func (n *pullNode) HeadRefOid() text     { return text(n.p.HeadSHA) }
func (n *pullNode) HeadRefName() string  { return n.p.HeadRef }
func (n *pullNode) BaseRefName() string  { return n.p.BaseRef }
func (n *pullNode) BaseRefOid() text     { return text(n.p.BaseSHA) }
func (n *pullNode) repo() *repository    { return &repository{n.s, n.r} }
func (n *pullNode) BaseRef() *refNode    { return n.repo().refNode("refs/heads/" + n.p.BaseRef) }
func (n *pullNode) ChangedFiles() int32  { return int32(len(n.s.files(n.r, n.i))) } //nolint:gosec // bounded by memory
func (n *pullNode) node(c string) string { return c }

func (n *pullNode) Mergeable() string {
	if n.i.State != "open" {
		return "UNKNOWN"
	}
	if _, ok := n.s.mergeEdits(n.r, n.i); !ok {
		return "CONFLICTING"
	}
	return "MERGEABLE"
}

func (n *pullNode) HeadRepository() *repository {
	owner, name, _ := strings.Cut(n.p.HeadRepo, "/")
	if r := n.s.st.repo(owner, name); r != nil {
		return &repository{n.s, r}
	}
	return nil
}

func (n *pullNode) MergeCommit() *commitNode {
	if n.p.MergeSHA == "" {
		return nil
	}
	return n.commit(n.p.MergeSHA)
}

func (n *pullNode) commit(id string) *commitNode {
	return &commitNode{&gitObject{n.s, n.r, "commit", id}}
}

type fileNode struct {
	s *Server
	x change
}

func (n *fileNode) Path() string     { return n.x.Path }
func (n *fileNode) Additions() int32 { _, plus, _ := n.s.odb.patch(n.x); return int32(plus) }   //nolint:gosec // lines of a file
func (n *fileNode) Deletions() int32 { _, _, minus := n.s.odb.patch(n.x); return int32(minus) } //nolint:gosec // lines of a file
func (n *fileNode) ChangeType() string {
	if n.x.Status == "removed" {
		return "DELETED"
	}
	return strings.ToUpper(n.x.Status)
}

func (n *pullNode) Files(in window) (*connection[*fileNode], error) {
	return connect(n.s.files(n.r, n.i), in, func(x change) string { return x.Path }, func(x change) *fileNode { return &fileNode{n.s, x} })
}

type pullCommitNode struct{ Commit *commitNode }

func (n *pullNode) Commits(in window) (*connection[*pullCommitNode], error) {
	return connect(n.s.commitsOf(n.r, n.i), in, n.node, func(id string) *pullCommitNode { return &pullCommitNode{n.commit(id)} })
}

type reviewNode struct {
	n *pullNode
	x *review
}

func (v *reviewNode) DatabaseID() *int32        { return small(v.x.ID) }
func (v *reviewNode) Author() *actorNode        { return v.n.s.actorNode(v.x.Author) }
func (v *reviewNode) AuthorAssociation() string { return v.n.s.st.association(v.x.Author, v.n.r) }
func (v *reviewNode) Body() string              { return v.x.Body }
func (v *reviewNode) State() string             { return v.x.State }
func (v *reviewNode) SubmittedAt() *dateTime    { return maybeTime(v.x.Submitted) }
func (v *reviewNode) CreatedAt() dateTime       { return dateTime{v.x.Submitted} }
func (v *reviewNode) Commit() *commitNode       { return v.n.commit(v.x.Commit) }

func reviewKey(x *review) string { return digits(x.ID) }

func (n *pullNode) Reviews(in window) (*connection[*reviewNode], error) {
	return connect(n.p.Reviews, in, reviewKey, func(x *review) *reviewNode { return &reviewNode{n, x} })
}

// LatestOpinionatedReviews is each login's last approval, rejection or dismissal.
func (n *pullNode) LatestOpinionatedReviews(in window) (*connection[*reviewNode], error) {
	last := map[string]*review{}
	for _, x := range n.p.Reviews {
		if x.State == "APPROVED" || x.State == "CHANGES_REQUESTED" || x.State == "DISMISSED" {
			last[fold(x.Author)] = x
		}
	}
	return connect(sorted(last), in, reviewKey, func(x *review) *reviewNode { return &reviewNode{n, x} })
}
