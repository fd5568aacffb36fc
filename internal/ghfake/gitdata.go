// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

func gitRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/git/ref/{ref...}", none, getRef},
		{"GET", "/repos/{owner}/{repo}/git/refs/{ref...}", none, getRef},
		{"GET", "/repos/{owner}/{repo}/git/matching-refs/{ref...}", none, matchingRefs},
		{"POST", "/repos/{owner}/{repo}/git/refs", write, postRef},
		{"PATCH", "/repos/{owner}/{repo}/git/refs/{ref...}", write, patchRef},
		{"DELETE", "/repos/{owner}/{repo}/git/refs/{ref...}", write, deleteRef},
		{"GET", "/repos/{owner}/{repo}/git/trees/{sha}", none, getTree},
		{"POST", "/repos/{owner}/{repo}/git/trees", write, postTree},
		{"GET", "/repos/{owner}/{repo}/git/blobs/{sha}", none, getBlob},
		{"POST", "/repos/{owner}/{repo}/git/blobs", write, postBlob},
		{"GET", "/repos/{owner}/{repo}/git/commits/{sha}", none, getGitCommit},
		{"POST", "/repos/{owner}/{repo}/git/commits", write, postCommit},
		{"GET", "/repos/{owner}/{repo}/commits", none, listCommits},
		{"GET", "/repos/{owner}/{repo}/commits/{ref}", none, getCommit},
	}
}

type refView struct {
	Ref    string    `json:"ref"`
	URL    string    `json:"url"`
	Object objectRef `json:"object"`
}

type objectRef struct {
	Type string `json:"type"`
	SHA  string `json:"sha"`
}

func (s *Server) refView(r *repo, ref string) refView {
	id := r.Refs[ref]
	return refView{ref, "https://api.github.com/repos/" + r.full() + "/git/" + ref, objectRef{s.odb.byID[id].kind, id}}
}

// namedRef is the ref the path names, without "refs/".
func (c *call) namedRef() (*repo, string, error) {
	r, err := c.repo()
	if err != nil {
		return nil, "", err
	}
	ref := "refs/" + c.req.PathValue("ref")
	if r.Refs[ref] == "" {
		return nil, "", errNotFound()
	}
	return r, ref, nil
}

func getRef(c *call) (any, error) {
	r, ref, err := c.namedRef()
	if err != nil {
		return nil, err
	}
	return c.srv.refView(r, ref), nil
}

func matchingRefs(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var found []string
	for ref := range r.Refs {
		if strings.HasPrefix(ref, "refs/"+c.req.PathValue("ref")) {
			found = append(found, ref)
		}
	}
	slices.Sort(found)
	return list(c, found, func(ref string) refView { return c.srv.refView(r, ref) }), nil
}

type refInput struct {
	Ref, SHA string
	Force    bool
}

func postRef(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in refInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	switch {
	case !strings.HasPrefix(in.Ref, "refs/") || strings.Count(in.Ref, "/") < 2:
		return nil, fail(422, "Reference name must start with 'refs/' and contain at least two slashes.")
	case r.Refs[in.Ref] != "":
		return nil, fail(422, "Reference already exists")
	case c.srv.odb.byID[in.SHA].kind == "":
		return nil, fail(422, "Object does not exist")
	}
	c.srv.wrote(c.actor(), "ref.create", r, 0, 0, in.Ref+" "+in.SHA)
	c.srv.moveRef(c.actor(), r, in.Ref, in.SHA)
	return created(c.srv.refView(r, in.Ref)), nil
}

func patchRef(c *call) (any, error) {
	r, ref, err := c.namedRef()
	if err != nil {
		return nil, err
	}
	var in refInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if c.srv.odb.byID[in.SHA].kind == "" {
		return nil, fail(422, "Object does not exist")
	}
	if !in.Force && !c.srv.odb.reaches(in.SHA, r.Refs[ref]) {
		return nil, fail(422, "Update is not a fast forward")
	}
	c.srv.wrote(c.actor(), "ref.update", r, 0, 0, ref+" "+in.SHA)
	c.srv.moveRef(c.actor(), r, ref, in.SHA)
	return c.srv.refView(r, ref), nil
}

func deleteRef(c *call) (any, error) {
	r, ref, err := c.namedRef()
	if err != nil {
		return nil, err
	}
	c.srv.wrote(c.actor(), "ref.delete", r, 0, 0, ref)
	c.srv.moveRef(c.actor(), r, ref, "")
	return noContent(), nil
}

type treeView struct {
	SHA       string      `json:"sha"`
	URL       string      `json:"url"`
	Tree      []entryView `json:"tree"`
	Truncated bool        `json:"truncated"`
}

type entryView struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	Type string `json:"type"`
	SHA  string `json:"sha"`
	Size *int   `json:"size,omitempty"` // blobs only
	URL  string `json:"url"`
}

func (s *Server) entryView(r *repo, e entry) entryView {
	v := entryView{Path: e.Name, Mode: strings.Repeat("0", 6-len(e.Mode)) + e.Mode, Type: e.kind(), SHA: e.ID}
	v.URL = "https://api.github.com/repos/" + r.full() + "/git/" + v.Type + "s/" + e.ID
	if v.Type == "blob" {
		n := len(s.odb.byID[e.ID].data)
		v.Size = &n
	}
	return v
}

// getTree takes a tree, a commit or a branch; ?recursive with any value walks.
func getTree(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	id, _ := c.srv.resolve(r, c.req.PathValue("sha"))
	tree := c.srv.odb.treeOf(id)
	if tree == "" {
		return nil, errNotFound()
	}
	return c.srv.treeView(r, tree, c.req.URL.Query().Has("recursive")), nil
}

func (s *Server) treeView(r *repo, tree string, recursive bool) treeView {
	v := treeView{SHA: tree, URL: "https://api.github.com/repos/" + r.full() + "/git/trees/" + tree, Tree: []entryView{}}
	if !recursive {
		v.Tree = each(s.odb.tree(tree), func(e entry) entryView { return s.entryView(r, e) })
		return v
	}
	complete := s.odb.walk(tree, "", func(e entry) bool {
		if len(v.Tree) >= s.opts.TreeLimit {
			return false
		}
		v.Tree = append(v.Tree, s.entryView(r, e))
		return true
	})
	v.Truncated = !complete
	return v
}

type treeInput struct {
	Base string `json:"base_tree"`
	Tree []struct {
		Path, Mode, Type string
		SHA, Content     *string
	}
}

// postTree makes a tree of entries on top of base_tree; a null sha deletes.
func postTree(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in treeInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	edits := map[string]entry{}
	for _, e := range in.Tree {
		x := entry{Mode: strings.TrimLeft(e.Mode, "0")}
		switch {
		case e.Content != nil:
			x.ID = c.srv.odb.put("blob", []byte(*e.Content))
		case e.SHA != nil:
			x.ID = *e.SHA
			if c.srv.odb.byID[x.ID].kind == "" && e.Type != "commit" {
				return nil, fail(422, "tree.sha "+x.ID+" is not a valid object")
			}
		}
		edits[e.Path] = x
	}
	id := c.srv.odb.edit(c.srv.odb.treeOf(in.Base), edits)
	c.srv.wrote(c.actor(), "tree.create", r, 0, 0, id)
	return created(c.srv.treeView(r, id, false)), nil
}

func getBlob(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	id := c.req.PathValue("sha")
	data, ok := c.srv.odb.get("blob", id)
	if !ok {
		return nil, errNotFound()
	}
	if strings.Contains(c.req.Header.Get("Accept"), "raw") {
		return reply{code: http.StatusOK, kind: "application/vnd.github.raw; charset=utf-8", raw: data}, nil
	}
	return map[string]any{
		"sha": id, "node_id": "B_" + id, "size": len(data), "encoding": "base64", "content": folded(data),
		"url": "https://api.github.com/repos/" + r.full() + "/git/blobs/" + id,
	}, nil
}

func postBlob(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in struct{ Content, Encoding string }
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	data := []byte(in.Content)
	if in.Encoding == "base64" {
		if data, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(in.Content, "\n", "")); err != nil {
			return nil, fail(422, "content is not valid Base64")
		}
	}
	id := c.srv.odb.put("blob", data)
	c.srv.wrote(c.actor(), "blob.create", r, 0, 0, id)
	return created(map[string]string{"sha": id, "url": "https://api.github.com/repos/" + r.full() + "/git/blobs/" + id}), nil
}

type signatureView struct {
	Name  string    `json:"name"`
	Email string    `json:"email"`
	Date  time.Time `json:"date"`
}

// gitCommitView is a commit as the git data routes show it.
type gitCommitView struct {
	SHA       string        `json:"sha,omitempty"`
	Message   string        `json:"message"`
	Author    signatureView `json:"author"`
	Committer signatureView `json:"committer"`
	Tree      commitLink    `json:"tree"`
	Parents   []commitLink  `json:"parents,omitempty"`
	URL       string        `json:"url"`
}

func (s *Server) gitCommitView(r *repo, id string) gitCommitView {
	x, _ := s.odb.commit(id)
	api := "https://api.github.com/repos/" + r.full() + "/git/"
	return gitCommitView{
		SHA: id, Message: x.Message, Author: signatureView(x.Author), Committer: signatureView(x.Committer),
		Tree:    commitLink{x.Tree, api + "trees/" + x.Tree},
		Parents: each(x.Parents, func(p string) commitLink { return commitLink{p, api + "commits/" + p} }),
		URL:     api + "commits/" + id,
	}
}

func getGitCommit(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	if _, ok := c.srv.odb.get("commit", c.req.PathValue("sha")); !ok {
		return nil, errNotFound()
	}
	return c.srv.gitCommitView(r, c.req.PathValue("sha")), nil
}

type commitInput struct {
	Message, Tree string
	Parents       []string
	Author        *signatureView
}

func postCommit(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in commitInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if _, ok := c.srv.odb.get("tree", in.Tree); !ok {
		return nil, fail(422, "Tree SHA does not exist")
	}
	for _, p := range in.Parents {
		if _, ok := c.srv.odb.get("commit", p); !ok {
			return nil, fail(422, "Parent SHA does not exist or is not a commit object")
		}
	}
	x := commit{Tree: in.Tree, Parents: in.Parents, Message: in.Message, Author: c.srv.signature(c.login), Committer: c.srv.signature(c.login)}
	if in.Author != nil {
		x.Author = signature(*in.Author)
		if x.Author.Date.IsZero() {
			x.Author.Date = x.Committer.Date
		}
	}
	id := c.srv.odb.putCommit(x)
	c.srv.wrote(c.actor(), "commit.create", r, 0, 0, id+" "+in.Message)
	return created(c.srv.gitCommitView(r, id)), nil
}

// repoCommitView is a commit with GitHub's view of who made it.
type repoCommitView struct {
	SHA     string        `json:"sha"`
	NodeID  string        `json:"node_id"`
	HTMLURL string        `json:"html_url"`
	URL     string        `json:"url"`
	Commit  gitCommitView `json:"commit"`
	Author  *userView     `json:"author"`
	Parents []commitLink  `json:"parents"`
}

func (s *Server) repoCommitView(r *repo, id string) repoCommitView {
	x := s.gitCommitView(r, id)
	v := repoCommitView{
		SHA: id, NodeID: "C_" + id, HTMLURL: "https://github.com/" + r.full() + "/commit/" + id,
		URL: "https://api.github.com/repos/" + r.full() + "/commits/" + id, Parents: x.Parents, Author: s.authorOf(x.Author.Email),
	}
	x.SHA, x.Parents = "", nil
	v.Commit = x
	return v
}

// authorOf finds the account of a commit's mail address.
func (s *Server) authorOf(email string) *userView {
	login, _, _ := strings.Cut(email, "@users.noreply.github.com")
	u := s.st.user(login)
	for _, other := range s.st.users {
		if u == nil && email != "" && other.Email == email {
			u = other
		}
	}
	if u == nil {
		return nil
	}
	v := s.userView(u.Login)
	return &v
}

func getCommit(c *call) (any, error) {
	r, sha, err := c.shaOf()
	if err != nil {
		return nil, err
	}
	if strings.Contains(c.req.Header.Get("Accept"), "github.sha") || strings.Contains(c.req.Header.Get("Accept"), "v3.sha") {
		return reply{code: http.StatusOK, kind: "application/vnd.github.sha; charset=utf-8", raw: []byte(sha)}, nil
	}
	return c.srv.repoCommitView(r, sha), nil
}

// listCommits walks from ?sha, newest first; ?path keeps commits that changed it.
func listCommits(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	head, ok := c.srv.resolve(r, c.query("sha"))
	if !ok {
		return nil, errNotFound()
	}
	var ids []string
	c.srv.odb.ancestors(head, func(id string) bool {
		if c.query("path") == "" || c.srv.odb.touches(id, c.query("path")) {
			ids = append(ids, id)
		}
		return false
	})
	return list(c, ids, func(id string) repoCommitView { return c.srv.repoCommitView(r, id) }), nil
}

// touches tells whether a commit changed a path against its first parent.
func (o *objects) touches(id, path string) bool {
	x, _ := o.commit(id)
	before := entry{}
	if len(x.Parents) > 0 {
		before = o.entryAt(o.treeOf(x.Parents[0]), path)
	}
	return o.entryAt(x.Tree, path).ID != before.ID
}
