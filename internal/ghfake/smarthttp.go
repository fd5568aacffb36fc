// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// gitPath is what git clients ask for: /owner/repo or /owner/repo.git.
var gitPath = regexp.MustCompile(`^/([^/]+)/([^/]+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack)$`)

func isGit(r *http.Request) bool { return gitPath.MatchString(r.URL.Path) }

// serveGit lets git http-backend answer, on a disk that is brought up to date
// first; after a push memory takes over what arrived. It returns the status.
func (s *Server) serveGit(w http.ResponseWriter, c *call) int {
	s.git.Lock()
	defer s.git.Unlock()
	at := gitPath.FindStringSubmatch(c.req.URL.Path)
	pushing := at[3] == "git-receive-pack" || c.query("service") == "git-receive-pack"
	r, err := s.openGit(c, at[1], at[2], pushing)
	if err != nil {
		e := asError(err)
		if e.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
		}
		answer{e.code, "text/plain", []byte(e.Message + "\n")}.send(w, nil)
		return e.code
	}
	backend, err := exec.LookPath("git")
	if err != nil {
		answer{http.StatusInternalServerError, "text/plain", []byte(err.Error())}.send(w, nil)
		return http.StatusInternalServerError
	}
	seen := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	s.backend(backend, c, r, at[3]).ServeHTTP(seen, c.plain(r, at[3]))
	if at[3] == "git-receive-pack" {
		s.pushed(c, r)
	}
	return seen.code
}

// openGit checks who asks for what, and exports.
func (s *Server) openGit(c *call, owner, name string, pushing bool) (*repo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	login, err := s.st.login(c.req)
	if err != nil {
		return nil, err
	}
	c.login = login
	r := s.st.repo(owner, name)
	switch {
	case login == "" && (pushing || r != nil && r.Private):
		return nil, fail(http.StatusUnauthorized, "Authentication required")
	case r == nil || s.st.levelOf(login, r) == none:
		return nil, fail(http.StatusNotFound, "Repository not found.")
	}
	if pushing {
		if err := c.mustHave(write, r); err != nil {
			return nil, err
		}
	}
	return r, s.export()
}

func (s *Server) backend(git string, c *call, r *repo, service string) http.Handler {
	env := append(s.disk.env(), "GIT_PROJECT_ROOT="+s.disk.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+c.login,
		"GIT_PROTOCOL="+c.req.Header.Get("Git-Protocol"), "GIT_COMMITTER_NAME=git", "GIT_COMMITTER_EMAIL=git@localhost")
	return &cgi.Handler{Path: git, Args: []string{"http-backend"}, Root: "/", Dir: s.disk.dir, Env: env, Stderr: io.Discard}
}

// plain is the request as CGI wants it: the body in memory with its length, and
// the path of the directory on disk.
func (c *call) plain(r *repo, service string) *http.Request {
	req := c.req.Clone(c.req.Context())
	req.URL.Path = "/" + r.full() + ".git/" + service
	req.Body, req.ContentLength, req.TransferEncoding = io.NopCloser(bytes.NewReader(c.body)), int64(len(c.body)), nil
	return req
}

// pushed takes new objects and refs from the disk. Refs are moved through
// moveRef, so a push emits what GitHub emits.
func (s *Server) pushed(c *call, r *repo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs, err := s.readRefs(r)
	if err == nil {
		err = s.importObjects()
	}
	if err != nil {
		s.failure = fmt.Errorf("push to %s: %w", r.full(), err)
		return
	}
	for _, ref := range changedRefs(r.Refs, refs) {
		s.wrote(c.actor(), "push", r, 0, 0, ref+" "+orZero(refs[ref]))
		s.moveRef(c.actor(), r, ref, refs[ref])
	}
	r.stale = true // what was pushed to refs/pull/ is undone by the next export
}

// changedRefs lists the refs that differ, in order. Nobody can push to
// refs/pull/, which belongs to GitHub.
func changedRefs(was, is map[string]string) []string {
	all := maps.Clone(was)
	maps.Copy(all, is)
	maps.DeleteFunc(all, func(ref, _ string) bool { return was[ref] == is[ref] || strings.HasPrefix(ref, "refs/pull/") })
	return slices.Sorted(maps.Keys(all))
}

// statusWriter remembers the status for the request log.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}
