// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"fmt"
	"slices"
)

// maxFiles is how many files of a pull request GitHub lists, over all pages.
const maxFiles = 3000

type fileView struct {
	SHA         string `json:"sha"`
	Filename    string `json:"filename"`
	Status      string `json:"status"`
	Additions   int    `json:"additions"`
	Deletions   int    `json:"deletions"`
	Changes     int    `json:"changes"`
	BlobURL     string `json:"blob_url"`
	RawURL      string `json:"raw_url"`
	ContentsURL string `json:"contents_url"`
	Patch       string `json:"patch,omitempty"`
	Previous    string `json:"previous_filename,omitempty"`
}

func (s *Server) fileView(r *repo, sha string, x change) fileView {
	patch, plus, minus := s.odb.patch(x)
	at := r.full() + "/blob/" + sha + "/" + x.Path
	return fileView{
		SHA: x.ID, Filename: x.Path, Status: x.Status, Additions: plus, Deletions: minus, Changes: plus + minus, Patch: patch, Previous: x.Previous,
		BlobURL: "https://github.com/" + at, RawURL: "https://github.com/" + r.full() + "/raw/" + sha + "/" + x.Path,
		ContentsURL: "https://api.github.com/repos/" + r.full() + "/contents/" + x.Path + "?ref=" + sha,
	}
}

// baseOf is the commit a pull request is compared with: the merge base with the
// branch's head while open, with the base it was merged into afterwards.
func (s *Server) baseOf(r *repo, i *issue) string {
	base := i.Pull.BaseSHA
	if tip := r.branch(i.Pull.BaseRef); tip != "" && !i.Pull.Merged {
		base = tip
	}
	return s.odb.mergeBase(base, i.Pull.HeadSHA)
}

// files are the changes of a pull request, all of them.
func (s *Server) files(r *repo, i *issue) []change {
	key := [2]string{s.baseOf(r, i), i.Pull.HeadSHA}
	return s.diffs.get(key, func() []change { return s.odb.changes(s.odb.treeOf(key[0]), s.odb.treeOf(key[1])) })
}

func listFiles(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	all := c.srv.files(r, i)
	return list(c, all[:min(len(all), maxFiles)], func(x change) fileView { return c.srv.fileView(r, i.Pull.HeadSHA, x) }), nil
}

// commitsOf lists the commits between base and head, oldest first.
func (s *Server) commitsOf(r *repo, i *issue) []string {
	base, merges := s.baseOf(r, i), false
	var ids []string
	s.odb.ancestors(i.Pull.HeadSHA, func(id string) bool {
		x, _ := s.odb.commit(id)
		merges = merges || len(x.Parents) > 1
		if id != base {
			ids = append(ids, id)
		}
		return id == base
	})
	if merges {
		there := s.odb.reachable(base)
		ids = slices.DeleteFunc(ids, func(id string) bool { return there[id] })
	}
	slices.Reverse(ids)
	return ids
}

func listPullCommits(c *call) (any, error) {
	r, i, err := c.pull()
	if err != nil {
		return nil, err
	}
	return list(c, c.srv.commitsOf(r, i), func(id string) repoCommitView { return c.srv.repoCommitView(r, id) }), nil
}

// diffText is the pull request as one unified diff.
func (s *Server) diffText(r *repo, i *issue) []byte {
	var b bytes.Buffer
	for _, x := range s.files(r, i) {
		before := x.Path
		if x.Previous != "" {
			before = x.Previous
		}
		fmt.Fprintf(&b, "diff --git a/%s b/%s\n", before, x.Path)
		if x.Previous != "" {
			fmt.Fprintf(&b, "rename from %s\nrename to %s\n", before, x.Path)
		}
		if patch, _, _ := s.odb.patch(x); patch != "" {
			fmt.Fprintf(&b, "--- %s\n+++ %s\n%s\n", side("a/", before, x.Status == "added"), side("b/", x.Path, x.Status == "removed"), patch)
		}
	}
	return b.Bytes()
}

func side(prefix, path string, absent bool) string {
	if absent {
		return "/dev/null"
	}
	return prefix + path
}
