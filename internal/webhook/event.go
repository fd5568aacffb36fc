// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// Delivery is what a verified webhook asks for: look at this thread. It carries
// no content; the thread is read afresh, at least as new as Expect.
type Delivery struct {
	GUID   string
	Event  string // GitHub's event type
	Plugin string // the path it came by; "" for all
	Thread thread.Key
	Expect Expect
}

// Expect is what the sender already saw. GitHub's API may lag behind its
// webhooks; a snapshot that does not have this yet is read again.
type Expect struct {
	Comment int64     `json:"comment,omitempty"` // a comment that was created
	Updated time.Time `json:"updated,omitzero"`  // the thread's updated_at
}

// threadEvents are the events about one pull request or issue. Every other event
// is answered and dropped before its body is read.
var threadEvents = map[string]bool{
	"issue_comment":               true,
	"issues":                      true,
	"pull_request":                true,
	"pull_request_review":         true,
	"pull_request_review_comment": true,
}

type envelope struct {
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Organization struct {
		Login string `json:"login"`
	} `json:"organization"`
}

// fullName is the scope whose secret signed the event: an event of a whole
// organization has no repository.
func (e envelope) scope() string {
	if e.Repository.FullName != "" {
		return e.Repository.FullName
	}
	return e.Organization.Login
}

type numbered struct {
	Number    int       `json:"number"`
	UpdatedAt time.Time `json:"updated_at"`
}

type payload struct {
	Action      string    `json:"action"`
	Issue       *numbered `json:"issue"`
	PullRequest *numbered `json:"pull_request"`
	Comment     *struct {
		ID int64 `json:"id"`
	} `json:"comment"`
	Sender struct {
		Login string `json:"login"`
	} `json:"sender"`
}

// parseEvent reads a verified body of one of threadEvents.
func parseEvent(event, guid string, env envelope, body []byte) (d Delivery, sender string, err error) {
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return Delivery{}, "", fmt.Errorf("decode %s: %w", event, err)
	}
	repo, err := thread.ParseRepo(env.Repository.FullName)
	if err != nil {
		return Delivery{}, "", fmt.Errorf("decode %s: %w", event, err)
	}
	about := p.Issue
	if p.PullRequest != nil {
		about = p.PullRequest
	}
	if about == nil || about.Number <= 0 {
		return Delivery{}, "", fmt.Errorf("decode %s: it names neither an issue nor a pull request", event)
	}
	d = Delivery{GUID: guid, Event: event, Thread: thread.Key{Repo: repo, Number: about.Number}}
	d.Expect.Updated = about.UpdatedAt
	if event == "issue_comment" && p.Action == "created" && p.Comment != nil {
		d.Expect.Comment = p.Comment.ID
	}
	return d, p.Sender.Login, nil
}
