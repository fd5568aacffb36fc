// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"encoding/base64"
	"net/http"
	"path"
	"strings"
)

func contentRoutes() []route {
	return []route{
		{"GET", "/repos/{owner}/{repo}/contents", none, getContents},
		{"GET", "/repos/{owner}/{repo}/contents/{path...}", none, getContents},
		{"PUT", "/repos/{owner}/{repo}/contents/{path...}", write, putContents},
		{"DELETE", "/repos/{owner}/{repo}/contents/{path...}", write, putContents},
	}
}

type contentView struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Path     string `json:"path"`
	SHA      string `json:"sha"`
	Size     int    `json:"size"`
	URL      string `json:"url"`
	HTMLURL  string `json:"html_url"`
	GitURL   string `json:"git_url"`
	Encoding string `json:"encoding,omitempty"`
	Content  string `json:"content,omitempty"`
}

// inlineLimit is the size above which contents answers no content.
const inlineLimit = 1 << 20

func (s *Server) contentView(r *repo, ref, at string, e entry) contentView {
	v := contentView{
		Type: map[string]string{"tree": "dir", "blob": "file", "commit": "submodule"}[e.kind()],
		Name: path.Base(at), Path: at, SHA: e.ID, Size: len(s.odb.byID[e.ID].data),
		URL:     "https://api.github.com/repos/" + r.full() + "/contents/" + at + "?ref=" + ref,
		HTMLURL: "https://github.com/" + r.full() + "/blob/" + ref + "/" + at,
		GitURL:  "https://api.github.com/repos/" + r.full() + "/git/blobs/" + e.ID,
	}
	switch {
	case e.Mode == "120000":
		v.Type = "symlink"
	case e.kind() == "tree":
		v.Size = 0
	}
	return v
}

// folded is base64 in lines of 60, as GitHub sends it.
func folded(data []byte) string {
	text := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(text) > 60 {
		b.WriteString(text[:60] + "\n")
		text = text[60:]
	}
	b.WriteString(text + "\n")
	return b.String()
}

func getContents(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	ref := c.query("ref")
	sha, ok := c.srv.resolve(r, ref)
	if !ok {
		return nil, fail(http.StatusNotFound, "No commit found for the ref "+ref)
	}
	if ref == "" {
		ref = r.DefaultBranch
	}
	at := strings.Trim(c.req.PathValue("path"), "/")
	e, ok := c.srv.odb.find(c.srv.odb.treeOf(sha), at)
	if !ok {
		return nil, errNotFound()
	}
	if e.kind() == "tree" {
		return each(c.srv.odb.tree(e.ID), func(x entry) contentView { return c.srv.contentView(r, ref, path.Join(at, x.Name), x) }), nil
	}
	data, _ := c.srv.odb.get("blob", e.ID)
	if accept := c.req.Header.Get("Accept"); strings.Contains(accept, "raw") {
		return reply{code: http.StatusOK, kind: "application/vnd.github.raw; charset=utf-8", raw: data}, nil
	}
	v := c.srv.contentView(r, ref, at, e)
	v.Encoding, v.Content = "base64", folded(data)
	if len(data) > inlineLimit {
		v.Encoding, v.Content = "none", ""
	}
	return v, nil
}

type contentInput struct {
	Message, Content, SHA, Branch string
}

// putContents creates, updates or (for DELETE) removes one file by a commit on a
// branch. An existing file needs the sha of the blob it replaces.
func putContents(c *call) (any, error) {
	r, err := c.repo()
	if err != nil {
		return nil, err
	}
	var in contentInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Branch == "" {
		in.Branch = r.DefaultBranch
	}
	head := r.branch(in.Branch)
	if head == "" {
		return nil, fail(http.StatusNotFound, "Branch "+in.Branch+" not found")
	}
	at := strings.Trim(c.req.PathValue("path"), "/")
	was := c.srv.odb.entryAt(c.srv.odb.treeOf(head), at)
	if err := in.precondition(was, at, c.req.Method); err != nil {
		return nil, err
	}
	return c.commitContents(r, head, at, was, in)
}

func (in contentInput) precondition(was entry, at, method string) error {
	switch {
	case was.ID == "" && method == http.MethodDelete:
		return errNotFound()
	case was.ID != "" && in.SHA == "":
		return fail(http.StatusUnprocessableEntity, `Invalid request. "sha" wasn't supplied.`)
	case was.ID != in.SHA:
		return fail(http.StatusConflict, at+" does not match "+in.SHA)
	case in.Message == "":
		return fail(http.StatusUnprocessableEntity, `Invalid request. "message" wasn't supplied.`)
	}
	return nil
}

func (c *call) commitContents(r *repo, head, at string, was entry, in contentInput) (any, error) {
	kind, next := "file.delete", entry{}
	if c.req.Method == http.MethodPut {
		data, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(in.Content, "\n", ""))
		if err != nil {
			return nil, fail(http.StatusUnprocessableEntity, "content is not valid Base64")
		}
		kind, next = "file.write", entry{Mode: "100644", ID: c.srv.odb.put("blob", data)}
		if was.Mode != "" {
			next.Mode = was.Mode
		}
	}
	tree := c.srv.odb.edit(c.srv.odb.treeOf(head), map[string]entry{at: next})
	sig := c.srv.signature(c.login)
	id := c.srv.odb.putCommit(commit{Tree: tree, Parents: []string{head}, Author: sig, Committer: sig, Message: in.Message})
	c.srv.wrote(c.actor(), kind, r, 0, 0, in.Branch+":"+at)
	c.srv.moveRef(c.actor(), r, "refs/heads/"+in.Branch, id)
	out := map[string]any{"content": nil, "commit": c.srv.gitCommitView(r, id)}
	code := http.StatusOK
	if next.ID != "" {
		out["content"] = c.srv.contentView(r, in.Branch, at, next)
		if was.ID == "" {
			code = http.StatusCreated
		}
	}
	return reply{code: code, body: out}, nil
}
