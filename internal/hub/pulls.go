// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/steward/internal/thread"
)

// pulls remembers the pull requests that answers are about to name.
type pulls struct {
	mu    sync.Mutex
	links map[string]listedPull // by repository and branch
}

// maxPulls bounds the memory. What is forgotten is looked up again, because the
// write that names a pull request follows the one that finds it.
const maxPulls = 1000

func (p *pulls) found(repo thread.Repo, branch string, pull listedPull) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.links) >= maxPulls {
		clear(p.links)
	}
	p.links[recordID(repo, branch)] = pull
}

// address of the pull request of a branch; "" where it is not known.
func (p *pulls) address(repo thread.Repo, branch string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.links[recordID(repo, branch)].HTMLURL
}

// fill puts links into a comment.
func (p *pulls) fill(repo thread.Repo, body string) string {
	return thread.FillLinks(body, func(branch string) (string, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		pull, ok := p.links[recordID(repo, branch)]
		return fmt.Sprintf("[pull request %d](%s)", pull.Number, pull.HTMLURL), ok
	})
}

// createPull opens a pull request unless its branch has one, in any state. Every
// step asks first what is there, so that a run that broke off goes on where it was:
// objects that nothing refers to are nothing, a branch without a pull request gets
// its own. A branch that is there is never moved.
//
// The pull request is looked up by its head. k8s.io/test-infra's pr-creator looks in
// GitHub's search, which lags, through a client that repeats writes.
func (c *Client) createPull(ctx context.Context, s *thread.Snapshot, w thread.CreatePull) error {
	if err := c.mayPropose(s, w.Pull); err != nil {
		return err
	}
	if there, err := c.pullOf(ctx, s.Repo, w.Branch); err != nil || there {
		return err
	}
	if err := c.ensureBranch(ctx, s.Repo, w.Pull); err != nil {
		return fmt.Errorf("branch %s: %w", w.Branch, err)
	}
	body := map[string]any{"title": w.Title, "body": w.Text, "head": w.Branch, "base": w.Base}
	var opened listedPull
	err := c.write(ctx, s.Repo, http.MethodPost, repoPath(s.Repo, "pulls"), "/repos/pulls", body, &opened)
	if isRefused(err) { // another process may have been faster
		there, again := c.pullOf(ctx, s.Repo, w.Branch)
		if there || again != nil {
			return again
		}
	}
	if err == nil {
		c.pulls.found(s.Repo, w.Branch, opened)
	}
	return err
}

// mayPropose refuses what would bypass a review, or leave the bounds of a branch of
// our own.
func (c *Client) mayPropose(s *thread.Snapshot, p thread.Pull) error {
	if !thread.LegalBranch(p.Branch) || len(p.Files) == 0 {
		return fmt.Errorf("branch %q: not one that may be made", p.Branch)
	}
	if c.opts.Unreviewed == nil {
		return nil
	}
	if slices.ContainsFunc(c.opts.Unreviewed(), func(login string) bool { return strings.EqualFold(login, s.Bot) }) {
		return fmt.Errorf("branch %s: pull requests of %s are merged without review, so it opens none", p.Branch, s.Bot)
	}
	return nil
}

// isRefused tells that GitHub understood a request and found that it cannot be done.
func isRefused(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Status == http.StatusUnprocessableEntity
}

type listedPull struct {
	Number  int    `json:"number"`
	HTMLURL string `json:"html_url"`
	State   string `json:"state"`
	Head    struct {
		Ref  string `json:"ref"`
		Repo *struct {
			FullName string `json:"full_name"`
		} `json:"repo"`
	} `json:"head"`
}

// pullOf looks for the pull request of a branch of the repository itself: an open one,
// else the newest.
func (c *Client) pullOf(ctx context.Context, repo thread.Repo, branch string) (there bool, err error) {
	var listed []listedPull
	path := repoPath(repo, "pulls") + "?state=all&per_page=100&head=" + url.QueryEscape(repo.Org+":"+branch)
	if _, err := c.call(ctx, request{org: repo.Org, method: http.MethodGet, path: path, route: "/repos/pulls"}, &listed); err != nil {
		return false, fmt.Errorf("look for the pull request of %s: %w", branch, err)
	}
	var best listedPull
	for _, p := range listed {
		if p.Head.Ref != branch || p.Head.Repo == nil || !strings.EqualFold(p.Head.Repo.FullName, repo.String()) {
			continue // GitHub ignores a head that it does not understand
		}
		if best.Number == 0 || best.State != "open" && (p.State == "open" || p.Number > best.Number) {
			best = p
		}
	}
	if best.Number != 0 {
		c.pulls.found(repo, branch, best)
	}
	return best.Number != 0, nil
}

// ensureBranch makes the branch with its one commit unless it is there as we made it.
func (c *Client) ensureBranch(ctx context.Context, repo thread.Repo, p thread.Pull) error {
	there, err := c.ownBranch(ctx, repo, p.Branch)
	if err != nil || there {
		return err
	}
	commit, err := c.makeCommit(ctx, repo, p)
	if err != nil {
		return err
	}
	body := map[string]any{"ref": "refs/heads/" + p.Branch, "sha": commit}
	err = c.write(ctx, repo, http.MethodPost, repoPath(repo, "git", "refs"), "/repos/git/refs", body, nil)
	if isRefused(err) { // another process may have been faster
		if there, again := c.ownBranch(ctx, repo, p.Branch); there || again != nil {
			return again
		}
	}
	return err
}

// keyLine marks our commits: whoever moves a branch of ours by hand leaves another
// commit at its tip.
func keyLine(branch string) string { return "\nSteward-Branch: " + branch }

// ownBranch tells whether the branch is there. One whose tip is not our commit is an
// error: somebody works on it, and nothing of that must be lost or taken for ours.
func (c *Client) ownBranch(ctx context.Context, repo thread.Repo, branch string) (bool, error) {
	var ref struct {
		Object struct {
			SHA string `json:"sha"`
		} `json:"object"`
	}
	path := repoPath(repo, append([]string{"git", "ref", "heads"}, strings.Split(branch, "/")...)...)
	_, err := c.call(ctx, request{org: repo.Org, method: http.MethodGet, path: path, route: "/repos/git/ref"}, &ref)
	if IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	tip, err := c.commit(ctx, repo, ref.Object.SHA)
	if err == nil && !strings.HasSuffix(strings.TrimSpace(tip.Message), keyLine(branch)) {
		err = errors.New("it is there and somebody else has moved it: open the pull request by hand, or delete the branch")
	}
	return err == nil, err
}

type gitCommit struct {
	Message string `json:"message"`
	Tree    struct {
		SHA string `json:"sha"`
	} `json:"tree"`
}

func (c *Client) commit(ctx context.Context, repo thread.Repo, id string) (gitCommit, error) {
	var commit gitCommit
	r := request{org: repo.Org, method: http.MethodGet, path: repoPath(repo, "git", "commits", id), route: "/repos/git/commits"}
	_, err := c.call(ctx, r, &commit)
	return commit, err
}

// makeCommit writes the files on top of the tree of p.Commit. The message is the title
// and nothing that anybody typed: GitHub acts on some words in it, and notifies who is
// named.
func (c *Client) makeCommit(ctx context.Context, repo thread.Repo, p thread.Pull) (id string, err error) {
	base, err := c.commit(ctx, repo, p.Commit)
	if err != nil {
		return "", err
	}
	var entries []map[string]string
	for _, f := range p.Files {
		entries = append(entries, map[string]string{"path": f.Path, "mode": "100644", "type": "blob", "content": f.Data})
	}
	var made struct {
		SHA string `json:"sha"`
	}
	tree := map[string]any{"base_tree": base.Tree.SHA, "tree": entries}
	if err := c.write(ctx, repo, http.MethodPost, repoPath(repo, "git", "trees"), "/repos/git/trees", tree, &made); err != nil {
		return "", err
	}
	commit := map[string]any{"message": p.Title + "\n" + keyLine(p.Branch) + "\n", "tree": made.SHA, "parents": []string{p.Commit}}
	err = c.write(ctx, repo, http.MethodPost, repoPath(repo, "git", "commits"), "/repos/git/commits", commit, &made)
	return made.SHA, err
}
