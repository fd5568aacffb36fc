// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
		return c.write(ctx, s.Repo, http.MethodPatch, commentPath(s.Repo, w.ID), "/repos/issues/comments", map[string]any{"body": w.Body}, nil)
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
	if err := c.write(ctx, s.Repo, http.MethodPost, path, "/repos/issues/comments", map[string]any{"body": w.Body}, &posted); err != nil {
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

type issueBody struct {
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	Labels []string `json:"labels,omitempty"`
	State  string   `json:"state,omitempty"`
}

func bodyOf(i thread.Issue) issueBody {
	state := "closed"
	if i.Open {
		state = "open"
	}
	return issueBody{Title: i.Title, Body: i.Render(), Labels: []string{thread.RecordLabel}, State: state}
}

func (c *Client) editRecord(ctx context.Context, repo thread.Repo, number int, i thread.Issue) error {
	return c.write(ctx, repo, http.MethodPatch, repoPath(repo, "issues", strconv.Itoa(number)), "/repos/issues", bodyOf(i), nil)
}

// replaceRecord edits a record unless a newer one has taken its place since the
// snapshot. Threads share their repository's records, so that the looks at two of
// them may write one at the same time: within a process they take turns, and a
// writer of another process that was overtaken between its two reads sees that
// its record is gone, before its command counts as carried out (L-3).
func (c *Client) replaceRecord(ctx context.Context, s *thread.Snapshot, number int, i thread.Issue) error {
	c.records.Lock()
	defer c.records.Unlock()
	have, err := c.stampOf(ctx, s, number)
	if err != nil {
		return err
	}
	if have.After(i.Stamp) {
		return ErrRaced
	}
	if err := c.editRecord(ctx, s.Repo, number, i); err != nil {
		return err
	}
	if have, err = c.stampOf(ctx, s, number); err != nil {
		return err
	}
	if i.Stamp.After(have) {
		return ErrRaced
	}
	return nil
}

// stampOf reads the stamp that a record has now; an issue that is no record any
// more has the zero stamp.
func (c *Client) stampOf(ctx context.Context, s *thread.Snapshot, number int) (thread.Stamp, error) {
	var issue struct {
		Title string `json:"title"`
		Body  string `json:"body"`
	}
	r := request{org: s.Org, method: http.MethodGet, path: repoPath(s.Repo, "issues", strconv.Itoa(number)), route: "/repos/issues"}
	if _, err := c.call(ctx, r, &issue); err != nil {
		return thread.Stamp{}, fmt.Errorf("read record #%d: %w", number, err)
	}
	record, _ := thread.ParseRecord(number, issue.Title, issue.Body, true)
	for _, known := range s.Records {
		if known.Number == number && known.Body == record.Body {
			return known.Stamp, nil // none, where somebody else wrote over it
		}
	}
	return record.Stamp, nil
}

// anyNumber is above that of every issue.
const anyNumber = math.MaxInt

// createRecord opens a record's issue unless there is one by now, then looks for a
// rival of another process: the lowest number stays, and our own is closed with
// its label removed.
func (c *Client) createRecord(ctx context.Context, s *thread.Snapshot, w thread.CreateIssue) error {
	c.records.Lock()
	defer c.records.Unlock()
	if exists, err := c.rivalRecord(ctx, s, w.Key, anyNumber); err != nil || exists {
		return cmp.Or(err, ErrRaced)
	}
	body := bodyOf(w.Issue)
	body.State = ""
	var made struct {
		Number int `json:"number"`
	}
	if err := c.write(ctx, s.Repo, http.MethodPost, repoPath(s.Repo, "issues"), "/repos/issues", body, &made); err != nil {
		return err
	}
	rival, err := c.rivalRecord(ctx, s, w.Key, made.Number)
	if err != nil {
		return err
	}
	if rival {
		gone := map[string]any{"title": w.Title, "body": "A duplicate that two processes made at the same time.", "labels": []string{}, "state": "closed"}
		path := repoPath(s.Repo, "issues", strconv.Itoa(made.Number))
		return errors.Join(ErrRaced, c.write(ctx, s.Repo, http.MethodPatch, path, "/repos/issues", gone, nil))
	}
	if !w.Open { // an issue is born open
		return c.editRecord(ctx, s.Repo, made.Number, w.Issue)
	}
	return nil
}

// rivalRecord tells whether there is an issue for the record with a lower number.
func (c *Client) rivalRecord(ctx context.Context, s *thread.Snapshot, key string, below int) (bool, error) {
	var issues []struct {
		Number int    `json:"number"`
		Title  string `json:"title"`
		Body   string `json:"body"`
		User   struct {
			Login string `json:"login"`
		} `json:"user"`
	}
	path := repoPath(s.Repo, "issues") + "?state=all&sort=created&direction=desc&per_page=100&labels=" + url.QueryEscape(thread.RecordLabel)
	if _, err := c.call(ctx, request{org: s.Org, method: http.MethodGet, path: path, route: "/repos/issues"}, &issues); err != nil {
		return false, fmt.Errorf("look for a second record %s: %w", key, err)
	}
	for _, i := range issues {
		if i.Number >= below || !strings.EqualFold(i.User.Login, s.Bot) {
			continue
		}
		if r, ok := thread.ParseRecord(i.Number, i.Title, i.Body, true); ok && r.Key == key {
			return true, nil
		}
	}
	return false, nil
}
