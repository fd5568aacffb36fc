// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package freeze

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// keyPrefix begins the key of every freeze record.
const keyPrefix = "freeze/"

// Key is the key of a scope's record.
func Key(scope string) string { return keyPrefix + scope }

// State is what a record says: the last command about its scope.
type State struct {
	Scope        string    `json:"scope"`
	By           string    `json:"by"`
	Reason       string    `json:"reason"`
	OwnersCommit string    `json:"ownersCommit"` // where By was an approver
	At           time.Time `json:"at"`
	Frozen       bool      `json:"frozen"`
}

// Encode is the data of a thread.Issue.
func (s State) Encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode freeze of %s: %w", s.Scope, err)
	}
	return data, nil
}

// Decode reads a record strictly. An error means that the record is not one of
// ours any more, whatever it is about.
func Decode(r thread.Record) (State, error) {
	var s State
	dec := json.NewDecoder(bytes.NewReader(r.Data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return State{}, fmt.Errorf("record %s in #%d: %w", r.Key, r.Number, err)
	}
	if Key(s.Scope) != r.Key {
		return State{}, fmt.Errorf("record %s in #%d: it is about scope %q", r.Key, r.Number, s.Scope)
	}
	return s, nil
}

// Newest returns the record of a scope with the highest stamp. Two processes may
// have created one each; the later command counts, whichever issue holds it.
func Newest(records []thread.Record, scope string) (thread.Record, bool) {
	for _, r := range newest(records) {
		if r.Key == Key(scope) {
			return r, true
		}
	}
	return thread.Record{}, false
}

// newest keeps the freeze records, one per key, sorted by key.
func newest(records []thread.Record) []thread.Record {
	byKey := map[string]thread.Record{}
	for _, r := range records {
		if !strings.HasPrefix(r.Key, keyPrefix) {
			continue
		}
		have, ok := byKey[r.Key]
		if !ok || r.Stamp.After(have.Stamp) || r.Stamp == have.Stamp && r.Number < have.Number {
			byKey[r.Key] = r
		}
	}
	kept := make([]thread.Record, 0, len(byKey))
	for _, r := range byKey {
		kept = append(kept, r)
	}
	slices.SortFunc(kept, func(a, b thread.Record) int { return strings.Compare(a.Key, b.Key) })
	return kept
}

// fromRecord returns nil for a scope that is not frozen.
func fromRecord(r thread.Record, scopes Scopes) (*Freeze, error) {
	s, err := Decode(r)
	if err != nil || !s.Frozen {
		return nil, err
	}
	folders, ok := scopes.Folders(s.Scope)
	if !ok {
		return nil, fmt.Errorf("record %s in #%d: scope %q is frozen and not in the settings any more: unfreeze it", r.Key, r.Number, s.Scope)
	}
	return &Freeze{Scope: s.Scope, Folders: folders, Reason: s.Reason, By: s.By, At: s.At, Issue: r.Number}, nil
}
