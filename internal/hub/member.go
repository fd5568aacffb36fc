// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// memberFor is how long a membership is believed: somebody who leaves loses
// every right within this time.
const memberFor = 5 * time.Minute

// maxMembers bounds the cache against a crowd of commenters.
const maxMembers = 10_000

type membership struct {
	yes   bool
	until time.Time
}

type memberCache struct {
	mu    sync.Mutex
	found map[string]membership
}

// Member tells whether GitHub lists the login as a collaborator of the
// repository, which includes members of its organization whom the base
// permission or a team gives access. An answer that is neither yes nor no is an
// error: nobody is granted or refused anything because GitHub was unwell.
func (c *Client) Member(ctx context.Context, repo thread.Repo, login string) (bool, error) {
	key := strings.ToLower(repo.String() + "\x00" + login)
	c.members.mu.Lock()
	m, known := c.members.found[key]
	c.members.mu.Unlock()
	if known && time.Now().Before(m.until) {
		return m.yes, nil
	}
	r := request{org: repo.Org, method: http.MethodGet, route: "/repos/collaborators", path: repoPath(repo, "collaborators", login)}
	_, err := c.call(ctx, r, nil)
	var status *StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		err, m.yes = nil, false
	} else {
		m.yes = err == nil
	}
	if err != nil {
		return false, fmt.Errorf("check membership of %s in %s: %w", login, repo, err)
	}
	m.until = time.Now().Add(memberFor)
	c.members.mu.Lock()
	defer c.members.mu.Unlock()
	if len(c.members.found) >= maxMembers {
		clear(c.members.found)
	}
	c.members.found[key] = m
	return m.yes, nil
}
