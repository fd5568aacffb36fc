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
	"sync"

	"sigs.k8s.io/steward/internal/thread"
)

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

// records is what a client knows about the records that it writes.
type records struct {
	turn sync.Mutex // held by the one writer; records are rare

	mu     sync.Mutex
	newest map[string]thread.Issue // by repository and key, as this process wrote it last
}

func recordID(repo thread.Repo, key string) string {
	return strings.ToLower(repo.String()) + "\x00" + key
}

func (r *records) wrote(repo thread.Repo, i thread.Issue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have, ok := r.newest[recordID(repo, i.Key)]; !ok || !have.Stamp.After(i.Stamp) {
		r.newest[recordID(repo, i.Key)] = i
	}
}

// Overtaken lists the records that this process wrote and that show an older
// state now: GitHub has no conditional write, so that another process which read
// before us and wrote after us undid ours. Its write makes the event that brings
// us here.
func (c *Client) Overtaken(s *thread.Snapshot) []thread.Action {
	c.records.mu.Lock()
	defer c.records.mu.Unlock()
	var lost []thread.Action
	for _, have := range s.Records {
		ours, known := c.records.newest[recordID(s.Repo, have.Key)]
		foreign := have.Stamp == thread.Stamp{} // what people did to it is for people to mend
		if first, _ := s.Record(have.Key); known && !foreign && first.Number == have.Number && ours.Stamp.After(have.Stamp) {
			lost = append(lost, ours)
		}
	}
	return lost
}

// replaceRecord edits a record unless a newer one has taken its place since the
// snapshot. Threads share their repository's records, so that the looks at two of
// them may write one at the same time: within a process they take turns, and a
// writer of another process that was overtaken between its two reads sees that
// its record is gone, before its command counts as carried out (L-3).
func (c *Client) replaceRecord(ctx context.Context, s *thread.Snapshot, number int, i thread.Issue) error {
	c.records.turn.Lock()
	defer c.records.turn.Unlock()
	return c.overwrite(ctx, s, number, i)
}

// overwrite is replaceRecord for who has the turn.
func (c *Client) overwrite(ctx context.Context, s *thread.Snapshot, number int, i thread.Issue) error {
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
	c.records.wrote(s.Repo, i)
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
	c.records.turn.Lock()
	defer c.records.turn.Unlock()
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
		return c.overwrite(ctx, s, made.Number, w.Issue) // another process may have seen it already
	}
	c.records.wrote(s.Repo, w.Issue)
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
