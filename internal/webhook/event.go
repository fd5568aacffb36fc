// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
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

// envelope selects the secret: it is all that is read of a body before its signature holds.
type envelope struct{ repository, organization string }

func parseEnvelope(body []byte) (e envelope, err error) {
	top, err := pick(body, "repository", "organization")
	if err != nil {
		return e, err
	}
	if err := decodeMember(top[0], "full_name", &e.repository); err != nil {
		return e, err
	}
	return e, decodeMember(top[1], "login", &e.organization)
}

// scope is whose secret signed the event: an event of a whole organization has no
// repository.
func (e envelope) scope() string {
	if e.repository != "" {
		return e.repository
	}
	return e.organization
}

func decodeMember(object []byte, name string, into any) error {
	found, err := pick(object, name)
	if err != nil {
		return err
	}
	return decode(found[0], into)
}

// payload is what is read of a body once its signature holds.
type payload struct {
	action, sender string
	number         int // of the pull request, else of the issue
	updated        time.Time
	comment        int64
}

func parsePayload(body []byte) (p payload, err error) {
	top, err := pick(body, "action", "sender", "comment", "pull_request", "issue")
	if err != nil {
		return p, err
	}
	about := top[3]
	if about == nil {
		about = top[4]
	}
	numbered, err := pick(about, "number", "updated_at")
	if err != nil {
		return p, err
	}
	return p, errors.Join(
		decode(top[0], &p.action), decodeMember(top[1], "login", &p.sender), decodeMember(top[2], "id", &p.comment),
		decode(numbered[0], &p.number), decode(numbered[1], &p.updated),
	)
}

// parseEvent reads a verified body of one of threadEvents.
func parseEvent(event, guid string, env envelope, body []byte) (d Delivery, sender string, err error) {
	p, err := parsePayload(body)
	if err != nil {
		return Delivery{}, "", fmt.Errorf("decode %s: %w", event, err)
	}
	repo, err := thread.ParseRepo(env.repository)
	if err != nil {
		return Delivery{}, "", fmt.Errorf("decode %s: %w", event, err)
	}
	if p.number <= 0 {
		return Delivery{}, "", fmt.Errorf("decode %s: it names neither an issue nor a pull request", event)
	}
	d = Delivery{GUID: guid, Event: event, Thread: thread.Key{Repo: repo, Number: p.number}}
	d.Expect.Updated = p.updated
	if event == "issue_comment" && p.action == "created" {
		d.Expect.Comment = p.comment
	}
	return d, p.sender, nil
}
