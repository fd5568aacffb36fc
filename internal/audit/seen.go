// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"sigs.k8s.io/steward/internal/finding"
)

// Seen remembers when findings were first and last seen (AU-7).
type Seen struct {
	parts map[string]map[string]sight // by part, then fingerprint
}

type sight struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

type seenFile struct {
	Schema int                         `json:"schema"`
	Parts  map[string]map[string]sight `json:"parts"`
}

const seenSchema = 1

// ParseSeen reads what Encode wrote; nil is nothing.
func ParseSeen(raw []byte) (*Seen, error) {
	s := &Seen{parts: map[string]map[string]sight{}}
	if raw == nil {
		return s, nil
	}
	var file seenFile
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, fmt.Errorf("read when findings were seen: %w", err)
	}
	if file.Schema != seenSchema {
		return nil, fmt.Errorf("read when findings were seen: schema %d is not %d: another version of steward wrote it", file.Schema, seenSchema)
	}
	if file.Parts != nil {
		s.parts = file.Parts
	}
	return s, nil
}

// Encode is the inverse of ParseSeen.
func (s *Seen) Encode() ([]byte, error) {
	return json.Marshal(seenFile{Schema: seenSchema, Parts: s.parts})
}

// Mark sets FirstSeen and LastSeen of a part's findings, in place, and remembers them.
// A finding that is not there any more is forgotten, so that it is new when it comes
// back; but not after a run that could not read everything: what was not looked at is
// not gone.
func (s *Seen) Mark(part string, found []finding.Finding, complete bool, now time.Time) {
	now = now.UTC().Truncate(time.Millisecond)
	before := s.parts[part]
	after := map[string]sight{}
	if !complete {
		maps.Copy(after, before)
	}
	for i := range found {
		key := found[i].Fingerprint()
		first := now
		if known, ok := before[key]; ok {
			first = known.First
		}
		after[key] = sight{first, now}
		found[i].FirstSeen, found[i].LastSeen = first, now
	}
	s.parts[part] = after
}
