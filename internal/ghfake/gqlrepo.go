// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	graphql "github.com/graph-gophers/graphql-go"
)

type repository struct {
	s *Server
	r *repo
}

func (q *repository) Name() string          { return q.r.Name }
func (q *repository) NameWithOwner() string { return q.r.full() }
func (q *repository) IsPrivate() bool       { return q.r.Private }
func (q *repository) IsFork() bool          { return q.r.Fork }
func (q *repository) IsArchived() bool      { return false }

func (q *repository) DefaultBranchRef() *refNode { return q.refNode("refs/heads/" + q.r.DefaultBranch) }

// Ref takes refs/heads/x, heads/x or x.
func (q *repository) Ref(in struct{ QualifiedName string }) *refNode {
	for _, prefix := range []string{"", "refs/", "refs/heads/", "refs/tags/"} {
		if n := q.refNode(prefix + in.QualifiedName); n != nil {
			return n
		}
	}
	return nil
}

func (q *repository) refNode(full string) *refNode {
	id := q.r.Refs[full]
	if id == "" || !strings.HasPrefix(full, "refs/") {
		return nil
	}
	parts := strings.SplitN(full, "/", 3)
	return &refNode{parts[2], "refs/" + parts[1] + "/", q.object(id)}
}

type refNode struct {
	Name, Prefix string
	Target       *gitObject
}

// Object takes an id, or an expression like main:path or main.
func (q *repository) Object(in struct {
	Oid        *text
	Expression *string
}) *gitObject {
	if in.Oid != nil {
		return q.object(string(*in.Oid))
	}
	if in.Expression == nil {
		return nil
	}
	rev, path, has := strings.Cut(*in.Expression, ":")
	id, ok := q.s.resolve(q.r, rev)
	if !ok {
		return nil
	}
	if has {
		id = q.s.odb.entryAt(q.s.odb.treeOf(id), path).ID
	}
	return q.object(id)
}

func (q *repository) object(id string) *gitObject {
	kind := q.s.odb.byID[id].kind
	if kind == "" {
		return nil
	}
	return &gitObject{q.s, q.r, kind, id}
}

// find is the issue of a number; too early reads of new ones miss it too.
func (q *repository) find(kind string, number int32) (*issue, error) {
	i := q.r.Issues[int(number)]
	path := "/repos/" + q.r.full() + "/issues/" + strconv.Itoa(int(number))
	wrong := i != nil && (kind == "PullRequest" && i.Pull == nil || kind == "Issue" && i.Pull != nil)
	if i == nil || wrong || q.s.lag.misses(path) {
		return nil, notFoundError(fmt.Sprintf("Could not resolve to %s with the number of %d.", article(kind), number))
	}
	return i, nil
}

func article(kind string) string {
	if strings.HasPrefix(kind, "I") {
		return "an " + kind
	}
	return "a " + kind
}

func (q *repository) PullRequest(in struct{ Number int32 }) (*pullNode, error) {
	i, err := q.find("PullRequest", in.Number)
	if err != nil {
		return nil, err
	}
	return q.pullNode(i), nil
}

func (q *repository) Issue(in struct{ Number int32 }) (*issueNode, error) {
	i, err := q.find("Issue", in.Number)
	if err != nil {
		return nil, err
	}
	return q.issueNode(i), nil
}

func (q *repository) issueNode(i *issue) *issueNode { return &issueNode{q.s, q.r, i} }

func (q *repository) pullNode(i *issue) *pullNode {
	return &pullNode{issueNode{q.s, q.r, i}, i.Pull}
}

// eitherNode is the union of issues and pull requests.
type eitherNode struct {
	i *issueNode
	p *pullNode
}

func (e *eitherNode) ToIssue() (*issueNode, bool)      { return e.i, e.i != nil }
func (e *eitherNode) ToPullRequest() (*pullNode, bool) { return e.p, e.p != nil }

func (q *repository) IssueOrPullRequest(in struct{ Number int32 }) (*eitherNode, error) {
	i, err := q.find("IssueOrPullRequest", in.Number)
	switch {
	case err != nil:
		return nil, notFoundError(fmt.Sprintf("Could not resolve to an issue or pull request with the number of %d.", in.Number))
	case i.Pull != nil:
		return &eitherNode{p: q.pullNode(i)}, nil
	}
	return &eitherNode{i: q.issueNode(i)}, nil
}

type issueOrder struct{ Field, Direction string }

// ordered sorts by number, or as the query asks.
func ordered(issues []*issue, by *issueOrder) []*issue {
	order := issueOrder{"CREATED_AT", "ASC"}
	if by != nil {
		order = *by
	}
	key := map[string]string{"UPDATED_AT": "updated", "COMMENTS": "comments"}[order.Field]
	sortIssues(issues, key, strings.ToLower(order.Direction))
	return issues
}

func (i *issue) labelled(any *[]string) bool {
	return any == nil || slices.ContainsFunc(*any, func(l string) bool { return i.label(l) >= 0 })
}

func issueKey(i *issue) string { return strconv.Itoa(i.Number) }

func (q *repository) PullRequests(in struct {
	window
	States                   *[]string
	Labels                   *[]string
	HeadRefName, BaseRefName *string
	OrderBy                  *issueOrder
}) (*connection[*pullNode], error) {
	var found []*issue
	for _, i := range q.r.Issues {
		if i.Pull != nil && (in.States == nil || slices.Contains(*in.States, i.state())) && i.labelled(in.Labels) &&
			(in.HeadRefName == nil || *in.HeadRefName == i.Pull.HeadRef) && (in.BaseRefName == nil || *in.BaseRefName == i.Pull.BaseRef) {
			found = append(found, i)
		}
	}
	return connect(ordered(found, in.OrderBy), in.window, issueKey, q.pullNode)
}

func (q *repository) Issues(in struct {
	window
	States  *[]string
	Labels  *[]string
	OrderBy *issueOrder
}) (*connection[*issueNode], error) {
	var found []*issue
	for _, i := range q.r.Issues {
		if i.Pull == nil && (in.States == nil || slices.Contains(*in.States, i.state())) && i.labelled(in.Labels) {
			found = append(found, i)
		}
	}
	return connect(ordered(found, in.OrderBy), in.window, issueKey, q.issueNode)
}

// state is the GraphQL state: merged is one of its own.
func (i *issue) state() string {
	if i.Pull != nil && i.Pull.Merged {
		return "MERGED"
	}
	return strings.ToUpper(i.State)
}

// gitObject is any object; the To methods give its type.
type gitObject struct {
	s    *Server
	r    *repo
	kind string
	id   string
}

func (o *gitObject) Oid() text { return text(o.id) }

func (o *gitObject) ToCommit() (*commitNode, bool) { return &commitNode{o}, o.kind == "commit" }
func (o *gitObject) ToTree() (*treeNode, bool)     { return &treeNode{o}, o.kind == "tree" }
func (o *gitObject) ToBlob() (*blobNode, bool)     { return &blobNode{o}, o.kind == "blob" }
func (o *gitObject) ToTag() (*tagNode, bool)       { return &tagNode{o}, o.kind == "tag" }

type tagNode struct{ *gitObject }

func (t *tagNode) Name() string { return t.id }
func (t *tagNode) Target() *gitObject {
	return (&repository{t.s, t.r}).object(t.s.peel(t.id))
}

type blobNode struct{ *gitObject }

func (b *blobNode) data() []byte    { return b.s.odb.byID[b.id].data }
func (b *blobNode) ByteSize() int32 { return int32(len(b.data())) } //nolint:gosec // bounded by maxBody
func (b *blobNode) IsBinary() *bool { v := b.opaque(); return &v }
func (b *blobNode) opaque() bool    { return binaryText(b.data()) }

// textLimit is where GitHub truncates a blob's text.
const textLimit = 512_000

func (b *blobNode) IsTruncated() bool { return len(b.data()) > textLimit }

func (b *blobNode) Text() *string {
	if b.opaque() {
		return nil
	}
	t := strings.ToValidUTF8(string(b.data()[:min(len(b.data()), textLimit)]), "\ufffd")
	return &t
}

func binaryText(data []byte) bool { return isBinary(data) || !utf8.Valid(data) }

type treeNode struct{ *gitObject }

func (t *treeNode) Entries() *[]*treeEntry {
	out := each(t.s.odb.tree(t.id), func(e entry) *treeEntry { return &treeEntry{t.gitObject, e} })
	return &out
}

type treeEntry struct {
	in *gitObject
	e  entry
}

func (t *treeEntry) Name() string  { return t.e.Name }
func (t *treeEntry) Path() *string { return &t.e.Name }
func (t *treeEntry) Type() string  { return t.e.kind() }
func (t *treeEntry) Oid() text     { return text(t.e.ID) }
func (t *treeEntry) Mode() int32 {
	n, _ := strconv.ParseInt(t.e.Mode, 8, 32)
	return int32(n)
}
func (t *treeEntry) Size() int32 {
	if t.e.kind() != "blob" {
		return 0
	}
	return int32(len(t.in.s.odb.byID[t.e.ID].data)) //nolint:gosec // bounded by maxBody
}
func (t *treeEntry) Object() *gitObject { return (&repository{t.in.s, t.in.r}).object(t.e.ID) }

type commitNode struct{ *gitObject }

func (c *commitNode) commit() commit          { x, _ := c.s.odb.commit(c.id); return x }
func (c *commitNode) Message() string         { return c.commit().Message }
func (c *commitNode) MessageHeadline() string { h, _, _ := strings.Cut(c.Message(), "\n"); return h }
func (c *commitNode) CommittedDate() dateTime { return dateTime{c.commit().Committer.Date} }
func (c *commitNode) Tree() *treeNode {
	return &treeNode{&gitObject{c.s, c.r, "tree", c.commit().Tree}}
}

// Status is null for a commit without statuses.
func (c *commitNode) Status() *statusNode {
	all := latest(c.r.Statuses[c.id])
	if len(all) == 0 {
		return nil
	}
	return &statusNode{c.s, all}
}

// AssociatedPullRequests are those whose head the commit is; GitHub adds those
// that merely contain it.
func (c *commitNode) AssociatedPullRequests(in struct{ window }) (*connection[*pullNode], error) {
	var found []*issue
	for _, i := range c.r.Issues {
		if i.Pull != nil && i.Pull.HeadSHA == c.id {
			found = append(found, i)
		}
	}
	return connect(ordered(found, nil), in.window, issueKey, (&repository{c.s, c.r}).pullNode)
}

func (c *commitNode) StatusCheckRollup() *statusNode { return c.Status() }

type statusNode struct {
	s   *Server
	all []*status
}

func (n *statusNode) State() string { return strings.ToUpper(rollup(n.all)) }
func (n *statusNode) Contexts() []*contextNode {
	return each(n.all, func(x *status) *contextNode { return &contextNode{n.s, x} })
}

type contextNode struct {
	s *Server
	x *status
}

func (n *contextNode) Context() string      { return n.x.Context }
func (n *contextNode) State() string        { return strings.ToUpper(n.x.State) }
func (n *contextNode) Description() *string { return &n.x.Description }
func (n *contextNode) CreatedAt() dateTime  { return dateTime{n.x.Created} }
func (n *contextNode) Creator() *actorNode  { return n.s.actorNode(n.x.Creator) }
func (n *contextNode) TargetURL() *text {
	if n.x.Target == "" {
		return nil
	}
	t := text(n.x.Target)
	return &t
}

func graphID(kind string, id int64) graphql.ID { return graphql.ID(nodeID(kind, id)) }
