// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plan is the envelope around what an applier is about to do.
//
// A domain makes a plan with a pure function from declared and observed state;
// the same plan is shown to people, held by brakes, applied with a journal,
// verified, resumed and undone. The envelope knows keys, order, hash, brakes and
// approvals; what a change means stays the domain's own type C.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Verb is what a change does to its object.
type Verb string

// The verbs. Deletes are what most brakes count.
const (
	Create Verb = "create"
	Update Verb = "update"
	Delete Verb = "delete"
)

// Step is one change of one object. Keys are unique within a plan.
type Step[C any] struct {
	Key    string `json:"key"`
	Verb   Verb   `json:"verb"`
	Change C      `json:"change"`
}

// Plan is an ordered list of steps made from one declared commit. Appliers
// perform the steps in order; the hash covers commit, order and content.
type Plan[C any] struct {
	Commit string    `json:"commit"` // the commit the declared state was read at
	Steps  []Step[C] `json:"steps"`
}

// New checks that keys are unique and set. The order is the domain's.
func New[C any](commit string, steps []Step[C]) (Plan[C], error) {
	seen := make(map[string]bool, len(steps))
	for _, s := range steps {
		if s.Key == "" || seen[s.Key] {
			return Plan[C]{}, fmt.Errorf("plan at %s: key %q is empty or stands twice", commit, s.Key)
		}
		seen[s.Key] = true
	}
	return Plan[C]{Commit: commit, Steps: steps}, nil
}

// Empty tells that observed state equals declared state.
func (p Plan[C]) Empty() bool { return len(p.Steps) == 0 }

// Only is the plan of the steps that keep accepts, in the same order.
func (p Plan[C]) Only(keep func(Step[C]) bool) Plan[C] {
	p.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s Step[C]) bool { return !keep(s) })
	return p
}

// Hash is the hexadecimal SHA-256 of the plan's canonical JSON. An approver who
// quotes it approves exactly these changes and no others.
func (p Plan[C]) Hash() (string, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("hash plan at %s: %w", p.Commit, err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// Brake holds an applier when a plan is larger than anyone meant. Steps with
// the verb are counted against Max and, where Of is set, against Percent of Of.
type Brake struct {
	Name    string
	Verb    Verb
	Max     int // 0: no absolute limit
	Percent int // 0: no relative limit
	Of      int // how many objects exist
	Least   int // up to so many steps are no mass change, whatever the share
}

// Held is a brake that a plan exceeds, and by which steps.
type Held[C any] struct {
	Brake  Brake
	Exceed Plan[C] // the steps to approve, by the hash of this plan
}

// Check returns the brakes that hold p, in the order given. A held brake's
// Exceed has every step of the brake's verb, because no subset of them is the
// harmless one.
func Check[C any](p Plan[C], brakes []Brake) []Held[C] {
	var held []Held[C]
	for _, b := range brakes {
		part := p.Only(func(s Step[C]) bool { return s.Verb == b.Verb })
		if b.exceeded(len(part.Steps)) {
			held = append(held, Held[C]{Brake: b, Exceed: part})
		}
	}
	return held
}

func (b Brake) exceeded(n int) bool {
	return n > b.Least && (b.Max > 0 && n > b.Max || b.Percent > 0 && n*100 > b.Percent*b.Of)
}
