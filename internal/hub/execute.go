// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// ErrRaced says that another process created the same object first. Ours was
// removed; reading the thread again shows the other one.
var ErrRaced = errors.New("another process was faster")

// Execute performs one write of thread.Diff. No write is repeated here: after an
// error whose outcome is unknown the thread must be read again.
func (c *Client) Execute(ctx context.Context, s *thread.Snapshot, w thread.Write) error {
	switch w := w.(type) {
	case thread.PostComment:
		return c.postSticky(ctx, s, w)
	case thread.EditComment:
		return c.write(ctx, s.Repo, http.MethodPatch, commentPath(s.Repo, w.ID), "/repos/issues/comments", map[string]any{"body": c.pulls.fill(s.Repo, w.Body)}, nil)
	case thread.DeleteComment:
		err := c.write(ctx, s.Repo, http.MethodDelete, commentPath(s.Repo, w.ID), "/repos/issues/comments", nil, nil)
		if IsNotFound(err) {
			return nil
		}
		return err
	case thread.PostStatus:
		body := map[string]any{"context": w.Context, "state": w.State, "description": w.Description}
		if w.URL != "" {
			body["target_url"] = w.URL
		}
		return c.write(ctx, s.Repo, http.MethodPost, repoPath(s.Repo, "statuses", w.Head), "/repos/statuses", body, nil)
	case thread.CreateIssue:
		return c.createRecord(ctx, s, w)
	case thread.EditIssue:
		return c.replaceRecord(ctx, s, w.Number, w.Issue)
	case thread.CreatePull:
		return c.createPull(ctx, s, w)
	}
	return fmt.Errorf("execute %T: unknown write", w)
}

func commentPath(r thread.Repo, id int64) string {
	return repoPath(r, "issues", "comments", strconv.FormatInt(id, 10))
}

func (c *Client) write(ctx context.Context, repo thread.Repo, method, path, route string, body, out any) error {
	_, err := c.call(ctx, request{org: repo.Org, method: method, path: path, route: route, body: body}, out)
	return err
}

// raceWindow is how far back a rival's comment is looked for.
const raceWindow = 10 * time.Minute

// postSticky creates a sticky, then looks whether another process did the same
// since the snapshot: the lowest id stays, the others go.
func (c *Client) postSticky(ctx context.Context, s *thread.Snapshot, w thread.PostComment) error {
	var posted struct {
		ID        int64     `json:"id"`
		CreatedAt time.Time `json:"created_at"`
	}
	path := repoPath(s.Repo, "issues", strconv.Itoa(s.Number), "comments")
	if err := c.write(ctx, s.Repo, http.MethodPost, path, "/repos/issues/comments", map[string]any{"body": c.pulls.fill(s.Repo, w.Body)}, &posted); err != nil {
		return err
	}
	since := posted.CreatedAt.Add(-raceWindow).UTC().Format(time.RFC3339)
	var recent []struct {
		ID   int64  `json:"id"`
		Body string `json:"body"`
		User struct {
			Login string `json:"login"`
		} `json:"user"`
	}
	r := request{org: s.Org, method: http.MethodGet, route: "/repos/issues/comments", path: path + "?per_page=100&since=" + url.QueryEscape(since)}
	if _, err := c.call(ctx, r, &recent); err != nil {
		return fmt.Errorf("look for a second sticky: %w", err)
	}
	for _, other := range recent {
		if other.ID < posted.ID && strings.EqualFold(other.User.Login, s.Bot) && thread.StickyTopic(other.Body) == w.Topic {
			return errors.Join(ErrRaced, c.Execute(ctx, s, thread.DeleteComment{ID: posted.ID}))
		}
	}
	return nil
}
