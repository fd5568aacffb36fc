// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// Listed is a thread as a listing shows it: enough to tell whether it needs a look.
type Listed struct {
	Key      thread.Key
	Updated  time.Time
	Contexts map[string]thread.State // commit statuses of the head; nil in UpdatedSince
}

// openQuery pages through the open pull requests with the states of the contexts
// that their heads have.
const openQuery = `query($org:String!,$repo:String!,$after:String){
  repository(owner:$org,name:$repo){
    defaultBranchRef{target{oid}}
    pullRequests(states:[OPEN],first:100,after:$after,orderBy:{field:CREATED_AT,direction:ASC}){
      pageInfo{hasNextPage endCursor}
      nodes{number updatedAt commits(last:1){nodes{commit{status{contexts{context state}}}}}}
    }
  }
}`

// maxListed bounds one pass over one repository.
const maxListed = 20_000

// OpenPulls lists every open pull request, 100 a query, and tells the commit that
// the default branch points to.
func (c *Client) OpenPulls(ctx context.Context, repo thread.Repo) (all []Listed, commit string, err error) {
	vars := map[string]any{"org": repo.Org, "repo": repo.Name}
	for {
		var answer struct {
			Repository struct {
				DefaultBranch branch `json:"defaultBranchRef"`
				Pulls         struct {
					PageInfo struct {
						HasNextPage bool   `json:"hasNextPage"`
						EndCursor   string `json:"endCursor"`
					} `json:"pageInfo"`
					Nodes []openPull `json:"nodes"`
				} `json:"pullRequests"`
			} `json:"repository"`
		}
		if err := c.query(ctx, repo.Org, "open pulls", openQuery, vars, &answer); err != nil {
			return nil, "", fmt.Errorf("list open pull requests of %s: %w", repo, err)
		}
		page := answer.Repository.Pulls
		for _, n := range page.Nodes {
			all = append(all, n.listed(repo))
		}
		if !page.PageInfo.HasNextPage {
			return all, answer.Repository.DefaultBranch.Target.OID, nil
		}
		if len(all) >= maxListed {
			return nil, "", fmt.Errorf("list open pull requests of %s: there are more than %d", repo, maxListed)
		}
		vars["after"] = page.PageInfo.EndCursor
	}
}

type openPull struct {
	Number    int       `json:"number"`
	UpdatedAt time.Time `json:"updatedAt"`
	Commits   struct {
		Nodes []struct {
			Commit struct {
				Status *struct {
					Contexts []struct {
						Context string `json:"context"`
						State   string `json:"state"`
					} `json:"contexts"`
				} `json:"status"`
			} `json:"commit"`
		} `json:"nodes"`
	} `json:"commits"`
}

func (p openPull) listed(repo thread.Repo) Listed {
	l := Listed{Key: thread.Key{Repo: repo, Number: p.Number}, Updated: p.UpdatedAt, Contexts: map[string]thread.State{}}
	for _, n := range p.Commits.Nodes {
		if n.Commit.Status == nil {
			continue
		}
		for _, s := range n.Commit.Status.Contexts {
			l.Contexts[s.Context] = thread.State(strings.ToLower(s.State))
		}
	}
	return l
}

// UpdatedSince lists issues and pull requests in any state that changed at or
// after a moment, oldest change first, 100 a request. It pages by time and not by
// page number, because a thread that changes meanwhile moves to the end and
// would pull another one over the edge of a page.
func (c *Client) UpdatedSince(ctx context.Context, repo thread.Repo, since time.Time) ([]Listed, error) {
	var all []Listed
	seen := map[int]bool{}
	for page := 1; ; {
		part, err := c.updatedPage(ctx, repo, since, page)
		if err != nil {
			return nil, fmt.Errorf("list changes of %s: %w", repo, err)
		}
		for _, l := range part {
			if !seen[l.Key.Number] {
				seen[l.Key.Number] = true
				all = append(all, l)
			}
		}
		if len(part) < perPage {
			return all, nil
		}
		if len(all) >= maxListed {
			return nil, fmt.Errorf("list changes of %s: there are more than %d", repo, maxListed)
		}
		if last := part[len(part)-1].Updated; last.After(since) {
			since, page = last, 1
		} else {
			page++ // a whole page of one second
		}
	}
}

const perPage = 100

func (c *Client) updatedPage(ctx context.Context, repo thread.Repo, since time.Time, page int) ([]Listed, error) {
	var issues []struct {
		Number    int       `json:"number"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	path := repoPath(repo, "issues") + fmt.Sprintf("?state=all&sort=updated&direction=asc&per_page=%d&page=%d&since=%s",
		perPage, page, url.QueryEscape(since.UTC().Format(time.RFC3339)))
	if _, err := c.call(ctx, request{org: repo.Org, method: http.MethodGet, path: path, route: "/repos/issues"}, &issues); err != nil {
		return nil, err
	}
	out := make([]Listed, len(issues))
	for i, n := range issues {
		out[i] = Listed{Key: thread.Key{Repo: repo, Number: n.Number}, Updated: n.UpdatedAt}
	}
	return out, nil
}
