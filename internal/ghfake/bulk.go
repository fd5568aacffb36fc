// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// Bulk is a big synthetic world: many alike pull requests, made in memory in
// microseconds each, without webhooks and audit entries.
type Bulk struct {
	Repo    string   `json:"repo"`
	Pulls   int      `json:"pulls"`
	Author  string   `json:"author,omitempty"` // default "author"
	Base    string   `json:"base,omitempty"`
	Files   int      `json:"files,omitempty"`  // changed files each, default 1
	Prefix  string   `json:"prefix,omitempty"` // of their paths, default "bulk/"
	Labels  []string `json:"labels,omitempty"`
	Comment string   `json:"comment,omitempty"` // one comment each, by the author, if set
}

// Bulk adds pull requests and returns the first and the last number.
func (s *Server) Bulk(b Bulk) (first, last int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, name, _ := strings.Cut(b.Repo, "/")
	r := s.st.repo(owner, name)
	if r == nil {
		return 0, 0, fmt.Errorf("bulk: no repository %q", b.Repo)
	}
	b.Author, b.Base, b.Prefix = cmp.Or(b.Author, "author"), cmp.Or(b.Base, r.DefaultBranch), cmp.Or(b.Prefix, "bulk/")
	if r.branch(b.Base) == "" {
		return 0, 0, fmt.Errorf("bulk: no branch %q in %s", b.Base, b.Repo)
	}
	s.ensureUser(b.Author)
	from := s.fork(r, b.Author)
	first = r.Last + 1
	for range b.Pulls {
		if err := s.bulkPull(r, from, b); err != nil {
			return first, r.Last, err
		}
	}
	return first, r.Last, nil
}

func (s *Server) bulkPull(r, from *repo, b Bulk) error {
	n := r.Last + 1
	files := map[string]string{}
	for f := range max(b.Files, 1) {
		files[fmt.Sprintf("%s%d/file-%d.yaml", b.Prefix, n, f)] = fmt.Sprintf("pull: %d\nfile: %d\n", n, f)
	}
	title, ref := fmt.Sprintf("Bulk change %d", n), fmt.Sprintf("bulk-%d", n)
	id, err := s.commitContent(b.Author, r.branch(b.Base), title, content{files: files})
	if err != nil {
		return err
	}
	from.Refs["refs/heads/"+ref], from.stale = id, true
	i := s.newPull(r, n, b.Author, pullInput{Title: title, Base: b.Base}, pull{HeadRepo: from.full(), HeadRef: ref, HeadSHA: id})
	for _, l := range b.Labels {
		i.Labels = append(i.Labels, s.ensureLabel(r, l))
	}
	if b.Comment != "" {
		s.storeComment(r, i, b.Author, b.Comment)
	}
	return nil
}

// addBulk is the control for Bulk.
func addBulk(s *Server, _ *http.Request, body []byte) (any, error) {
	var b Bulk
	if err := strict(body, &b); err != nil {
		return nil, err
	}
	first, last, err := s.Bulk(b)
	return map[string]int{"first": first, "last": last}, err
}
