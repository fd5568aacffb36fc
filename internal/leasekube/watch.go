// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"sigs.k8s.io/steward/internal/lease"
)

// Watch returns ErrChanged when somebody else has changed a resource since the pool was loaded, so that what a person edits is
// seen at once and not with the next lease of that resource. Call it after Load, beside the keeper. It returns nil when the
// context ends. A watch that cannot be had is tried again: until then such a change is seen when a commit meets it.
func (s *Store) Watch(ctx context.Context) error {
	s.mu.Lock()
	w := &watch{at: s.listed, known: map[string]seen{}}
	for ref, t := range s.things {
		if ref.Kind == lease.KindResource {
			w.known[ref.Key] = seen{t.Meta.ResourceVersion, t.commit}
		}
	}
	s.mu.Unlock()
	if w.at == "" {
		return ErrUnloaded
	}
	for {
		err := s.follow(ctx, w)
		var changed *foreignError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &changed):
			return err
		case isStatus(err, http.StatusGone): // too long away: nobody knows what was missed
			return fmt.Errorf("the watch begins anew: %w", ErrChanged)
		case err != nil:
			s.say.WithError(err).Warn("Watch of the pool interrupted")
		}
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

// watch is how far a watch came.
type watch struct {
	at    string
	known map[string]seen
}

// seen is the last version of a resource. A commit writes an object once, so that a second version with the number of one
// commit is somebody else's.
type seen struct {
	version string
	commit  uint64
}

// foreignError names what somebody else changed.
type foreignError struct{ name string }

func (f *foreignError) Error() string { return "resource " + f.name + ": " + ErrChanged.Error() }

// Is makes it an ErrChanged.
func (f *foreignError) Is(target error) bool { return target == ErrChanged }

// maxEvent bounds one event: an object of etcd's size, whose JSON may be longer.
const maxEvent = 8 << 20

// follow reads events until the server ends the stream.
func (s *Store) follow(ctx context.Context, w *watch) error {
	c := s.cluster
	query := url.Values{"watch": {"1"}, "resourceVersion": {w.at}, "allowWatchBookmarks": {"true"}, "timeoutSeconds": {"290"}}
	path := c.collection(lease.KindResource) + "?" + query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return err
	}
	stream := *c.http
	stream.Timeout = 0 // it lasts
	resp, err := stream.Do(req)
	if err != nil {
		return cause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &StatusError{Method: http.MethodGet, Path: "watch of resources", Status: resp.StatusCode}
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		if err := s.event(w, lines.Bytes()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (s *Store) event(w *watch, line []byte) error {
	var event struct {
		Type   string          `json:"type"`
		Object json.RawMessage `json:"object"`
	}
	if err := json.Unmarshal(line, &event); err != nil {
		return fmt.Errorf("decode an event: %w", err)
	}
	if event.Type == "ERROR" {
		var status struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(event.Object, &status); err != nil {
			return fmt.Errorf("decode an event: %w", err)
		}
		return &StatusError{Method: http.MethodGet, Path: "watch of resources", Status: status.Code, Message: status.Message}
	}
	var t thing
	if err := json.Unmarshal(event.Object, &t); err != nil {
		return fmt.Errorf("decode an event: %w", err)
	}
	w.at = t.Meta.ResourceVersion
	if event.Type == "BOOKMARK" {
		return nil
	}
	t.read(lease.KindResource)
	if event.Type == "DELETED" {
		return s.deleted(w, t.Meta.Name)
	}
	return w.judge(t)
}

// judge tells whether a change is ours.
func (w *watch) judge(t thing) error {
	name, now := t.Meta.Name, seen{t.Meta.ResourceVersion, t.commit}
	was, known := w.known[name]
	w.known[name] = now
	if known && was.version == now.version {
		return nil
	}
	if now.commit == 0 || known && now.commit == was.commit {
		return &foreignError{name}
	}
	return nil
}

// deleted tells whether it was us: then the store, when it is done with what it does, does not have that version any more.
func (s *Store) deleted(w *watch, name string) error {
	was := w.known[name]
	delete(w.known, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.things[lease.Ref{Kind: lease.KindResource, Key: name}]; t != nil && t.Meta.ResourceVersion == was.version {
		return &foreignError{name}
	}
	return nil
}
