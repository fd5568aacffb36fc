// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sigs.k8s.io/steward/internal/thread"
)

// maxProposed bounds the open pull requests that are looked through.
const maxProposed = 2000

// Propose opens a pull request for a job, unless its branch has one in any state, or an open one has a branch that
// begins with beside. It returns the address of the one that is there, and whether it was opened now. A client whose
// pull requests are merged without review opens none.
func (c *Client) Propose(ctx context.Context, repo thread.Repo, p thread.Pull, beside string) (address string, opened bool, err error) {
	var me struct {
		Viewer actor `json:"viewer"`
	}
	if err := c.query(ctx, repo.Org, "viewer", "query{viewer{login}}", nil, &me); err != nil {
		return "", false, fmt.Errorf("ask who opens pull requests: %w", err)
	}
	s := &thread.Snapshot{Key: thread.Key{Repo: repo}, Bot: me.Viewer.Login}
	if err := c.mayPropose(s, p); err != nil {
		return "", false, err
	}
	if address, err := c.openBeside(ctx, repo, beside); err != nil || address != "" {
		return address, false, err
	}
	there, err := c.pullOf(ctx, repo, p.Branch)
	if err == nil && !there {
		err = c.createPull(ctx, s, thread.CreatePull{Pull: p})
	}
	if err != nil {
		return "", false, fmt.Errorf("open pull request of %s: %w", p.Branch, err)
	}
	return c.pulls.address(repo, p.Branch), !there, nil
}

// openBeside looks for an open pull request of a branch of the repository itself that begins so.
func (c *Client) openBeside(ctx context.Context, repo thread.Repo, prefix string) (string, error) {
	for page := 1; (page-1)*100 < maxProposed; page++ {
		var listed []listedPull
		query := url.Values{"state": {"open"}, "per_page": {"100"}, "page": {strconv.Itoa(page)}}
		path := repoPath(repo, "pulls") + "?" + query.Encode()
		if _, err := c.call(ctx, request{org: repo.Org, method: http.MethodGet, path: path, route: "/repos/pulls"}, &listed); err != nil {
			return "", fmt.Errorf("list open pull requests of %s: %w", repo, err)
		}
		for _, l := range listed {
			if strings.HasPrefix(l.Head.Ref, prefix) && l.Head.Repo != nil && strings.EqualFold(l.Head.Repo.FullName, repo.String()) {
				return l.HTMLURL, nil
			}
		}
		if len(listed) < 100 {
			return "", nil
		}
	}
	return "", fmt.Errorf("list open pull requests of %s: there are more than %d", repo, maxProposed)
}
