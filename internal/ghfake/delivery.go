// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // GitHub's older signature header
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"time"
)

// Delivery is one attempt to send one event to one hook. A redelivery is a new
// Delivery with the same GUID. GitHub does not retry by itself, nor do we.
type Delivery struct {
	ID         int64     `json:"id"`
	GUID       string    `json:"guid"`
	HookID     int64     `json:"hook_id"`
	Event      string    `json:"event"`
	Action     string    `json:"action,omitempty"`
	Repo       string    `json:"repo"`
	Time       time.Time `json:"time"`
	Redelivery bool      `json:"redelivery"`
	Done       bool      `json:"done"`
	Status     int       `json:"status"` // 0 if there was no answer
	Response   string    `json:"response,omitempty"`
	Error      string    `json:"error,omitempty"`

	payload []byte
}

// queue is a hook's waiting deliveries, served by Options.Workers goroutines.
type queue struct {
	waiting []*Delivery
	running int
}

// answerTimeout is how long GitHub waits for a hook's answer.
const answerTimeout = 10 * time.Second

// deliver queues a delivery and starts a worker if fewer than Workers run.
func (s *Server) deliver(d *Delivery) {
	d.ID, d.Time = s.id(), s.clock.now()
	if d.GUID == "" {
		d.GUID = guid()
	}
	s.log.deliveries = append(s.log.deliveries, d)
	q := s.queues[d.HookID]
	if q == nil {
		q = &queue{}
		s.queues[d.HookID] = q
	}
	q.waiting = append(q.waiting, d)
	if q.running < s.opts.Workers && s.shutdown.Err() == nil {
		q.running++
		s.workers.Go(func() { s.work(q) })
	}
}

// work sends until the queue is empty or the server closes.
func (s *Server) work(q *queue) {
	for {
		d, h := s.take(q)
		if d == nil {
			return
		}
		status, response, err := s.post(d, h)
		s.mu.Lock()
		d.Done, d.Status, d.Response = true, status, response
		if err != nil {
			d.Error = err.Error()
		}
		s.log.wake()
		s.mu.Unlock()
	}
}

func (s *Server) take(q *queue) (*Delivery, hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(q.waiting) == 0 || s.shutdown.Err() != nil {
		q.running--
		s.log.wake()
		return nil, hook{}
	}
	d := q.waiting[0]
	q.waiting = q.waiting[1:]
	if h := s.st.hooks[d.HookID]; h != nil {
		return d, *h
	}
	return d, hook{}
}

// post sends one delivery with both signatures. Redirects are not followed.
func (s *Server) post(d *Delivery, h hook) (int, string, error) {
	if h.URL == "" {
		return 0, "", errors.New("the hook was deleted")
	}
	ctx, cancel := context.WithTimeout(s.shutdown, answerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(d.payload))
	if err != nil {
		return 0, "", fmt.Errorf("webhook %d: %w", h.ID, err)
	}
	d.headers(req.Header, h)
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return resp.StatusCode, string(body), err
}

func (d *Delivery) headers(header http.Header, h hook) {
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "*/*")
	header.Set("User-Agent", "GitHub-Hookshot/ghfake")
	header.Set("X-GitHub-Event", d.Event)
	header.Set("X-GitHub-Delivery", d.GUID)
	header.Set("X-GitHub-Hook-ID", digits(h.ID))
	if h.Secret != "" {
		header.Set("X-Hub-Signature", "sha1="+sign(sha1.New, h.Secret, d.payload))
		header.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, h.Secret, d.payload))
	}
}

func sign(kind func() hash.Hash, secret string, body []byte) string {
	mac := hmac.New(kind, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// guid is a random UUID, version 4.
func guid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Redeliver sends again, with the same GUID, the deliveries that choose accepts.
func (s *Server) Redeliver(choose func(Delivery) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var again []*Delivery
	for _, d := range s.log.deliveries {
		if choose(*d) {
			again = append(again, d)
		}
	}
	for _, d := range again {
		s.deliver(&Delivery{GUID: d.GUID, HookID: d.HookID, Event: d.Event, Action: d.Action, Repo: d.Repo, Redelivery: true, payload: d.payload})
	}
	return len(again)
}

// Deliveries lists all deliveries so far, oldest first.
func (s *Server) Deliveries() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	return each(s.log.deliveries, func(d *Delivery) Delivery { return *d })
}

// idle tells that no delivery waits or runs.
func (s *Server) idle() bool {
	for _, q := range s.queues {
		if len(q.waiting) > 0 || q.running > 0 {
			return false
		}
	}
	return true
}

// Idle waits until every delivery has been tried, or ctx ends.
func (s *Server) Idle(ctx context.Context) error { return s.until(ctx, s.idle) }

// until waits, without polling, for a condition on the state.
func (s *Server) until(ctx context.Context, done func() bool) error {
	for {
		s.mu.Lock()
		ok, changed := done(), s.log.changed
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for ghfake: %w", ctx.Err())
		}
	}
}

// isBot tells GitHub's machine accounts by their suffix.
func isBot(login string) bool { return strings.HasSuffix(login, "[bot]") }
