// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leasekube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"sigs.k8s.io/steward/internal/lease"
)

// own is the group of our objects.
const own = "steward.k8s.io/v1"

// fence is the Pool: one object that every commit replaces.
type fence struct {
	Version string    `json:"apiVersion"`
	Kind    string    `json:"kind"`
	Meta    meta      `json:"metadata"`
	Spec    fenceSpec `json:"spec"`
}

type fenceSpec struct {
	// Epoch counts who loaded the pool. Term is drawn by whoever did it last, and Holder says who that is.
	Epoch  uint64 `json:"epoch"`
	Term   string `json:"term"`
	Holder string `json:"holder"`
	// Commit counts the versions of this object that we wrote.
	Commit       uint64                        `json:"commit"`
	Intent       *intent                       `json:"intent,omitempty"`
	Reservations map[string]*lease.Reservation `json:"reservations,omitempty"`
}

// intent is a commit that is under way, or was the last.
type intent struct {
	// Commit is the number that the objects carry afterwards.
	Commit uint64   `json:"commit"`
	Writes []*write `json:"writes,omitempty"`
	// Pages may be written as well. What they hold may be lost, so that they are not here.
	Pages []string `json:"pages,omitempty"`
	// Parts are pages that hold the writes where they are too much for this object.
	Parts []string `json:"parts,omitempty"`
}

// maxReservations bounds the reservations, which are written with every commit: some hundreds.
const maxReservations = 128 << 10

// attempts bounds how often a version is looked up anew.
const attempts = 10

// take begins an epoch: from here on no commit of an earlier one gets through.
func (s *Store) take(ctx context.Context, term string) error {
	for range attempts {
		f := &fence{}
		err := s.cluster.get(ctx, s.cluster.pool(), f)
		if isStatus(err, http.StatusNotFound) {
			f = &fence{Version: own, Kind: "Pool", Meta: meta{Name: s.cluster.name}}
			err = s.cluster.create(ctx, s.cluster.pools(), f, &f.Meta)
			if isStatus(err, http.StatusConflict) {
				continue
			}
		}
		if err != nil {
			return err
		}
		if f.Spec.Term == term { // the answer was lost
			s.fence = f
			return nil
		}
		f.Spec.Epoch++
		f.Spec.Commit++
		f.Spec.Term, f.Spec.Holder = term, s.holder
		err = s.cluster.replace(ctx, s.cluster.pool(), f, &f.Meta)
		if err == nil {
			s.fence = f
			return nil
		}
		if !isStatus(err, http.StatusConflict) && !isStatus(err, http.StatusNotFound) {
			return err
		}
	}
	return errors.New("the pool is taken over again and again; does more than one process lead it?")
}

// declare replaces the Pool: what is to be written stands in it then, and nobody has taken over before.
//
// A number is used once, refused or not: parts of an intent that was refused bear it, and nobody may take them, or an answer
// that came late, for those of the next one.
func (s *Store) declare(ctx context.Context, reservations map[string]*lease.Reservation, next *intent) (err error) {
	f := *s.fence
	f.Spec.Commit++
	defer func() {
		if err != nil {
			used := *s.fence
			used.Spec.Commit = f.Spec.Commit
			s.fence = &used
		}
	}()
	f.Spec.Intent, f.Spec.Reservations = next, reservations
	if next != nil {
		next.Commit = f.Spec.Commit
		if err := s.split(ctx, &f, next); err != nil {
			return err
		}
	}
	for range attempts {
		err := s.cluster.replace(ctx, s.cluster.pool(), &f, &f.Meta)
		var status *StatusError
		switch {
		case err == nil:
			s.fence = &f
			return nil
		case isStatus(err, http.StatusNotFound):
			return fmt.Errorf("the Pool was deleted: %w", ErrChanged)
		case isStatus(err, http.StatusConflict):
			landed, err := s.mine(ctx, &f)
			if err != nil {
				return err
			}
			if landed {
				s.fence = &f
				return nil
			}
		case errors.As(err, &status) && status.definite():
			return fmt.Errorf("%w: %w", lease.ErrRefused, err)
		default:
			return err
		}
	}
	return fmt.Errorf("the Pool changes all the time: %w", ErrChanged)
}

// mine looks why the Pool is not as it was: it is replaced already and the answer was lost, somebody has taken over, or
// somebody has edited something that is not ours, whose version is taken then.
func (s *Store) mine(ctx context.Context, f *fence) (landed bool, err error) {
	now := &fence{}
	if err := s.cluster.get(ctx, s.cluster.pool(), now); err != nil {
		return false, err
	}
	if now.Spec.Term != f.Spec.Term {
		return false, fmt.Errorf("epoch %d of %s: %w", now.Spec.Epoch, now.Spec.Holder, lease.ErrDeposed)
	}
	f.Meta = now.Meta
	return now.Spec.Commit == f.Spec.Commit, nil
}

// The bounds of an intent: what stands in the Pool, what in one part, and how many parts there are.
const (
	maxInline = 256 << 10
	maxPart   = 900_000
	maxParts  = 96
)

// split puts the writes into pages of their own where they are too much for one object. The names are this epoch's, so that
// a former one cannot write them.
func (s *Store) split(ctx context.Context, f *fence, next *intent) error {
	sizes, total := make([]int, len(next.Writes)), 0
	for i, w := range next.Writes {
		content, err := json.Marshal(w)
		if err != nil {
			return fmt.Errorf("%w: encode %s: %w", lease.ErrRefused, w, err)
		}
		if sizes[i] = len(content); len(content) > maxObject {
			return fmt.Errorf("%w: %s: %d bytes are more than an object may have", lease.ErrRefused, w, len(content))
		}
		total += len(content)
	}
	if total <= maxInline {
		return nil
	}
	if total > maxPart*maxParts/2 {
		return fmt.Errorf("%w: %d bytes are more than one commit may have", lease.ErrRefused, total)
	}
	all := next.Writes
	next.Writes = nil
	for i := 0; i < len(all); {
		part := s.newPage(fmt.Sprintf("%s-intent-%d-%d-%d", s.cluster.name, f.Spec.Epoch, next.Commit, len(next.Parts)), kindIntent)
		for size := 0; i < len(all) && (size == 0 || size+sizes[i] <= maxPart); i++ {
			part.Spec.Writes = append(part.Spec.Writes, all[i])
			size += sizes[i]
		}
		if err := s.savePart(ctx, part); err != nil {
			return err
		}
		next.Parts = append(next.Parts, part.Meta.Name)
	}
	return nil
}

func (s *Store) savePart(ctx context.Context, part *page) error {
	err := s.cluster.create(ctx, s.cluster.pageList(), part, &part.Meta)
	var status *StatusError
	switch {
	case isStatus(err, http.StatusConflict): // the answer was lost: nobody else uses this name
		return nil
	case errors.As(err, &status) && status.definite():
		return fmt.Errorf("%w: %w", lease.ErrRefused, err)
	}
	return err
}

// intended returns the writes of an intent.
func (s *Store) intended(ctx context.Context, last *intent) ([]*write, error) {
	writes := last.Writes
	for _, name := range last.Parts {
		part := &page{}
		if err := s.cluster.get(ctx, s.cluster.page(name), part); err != nil {
			return nil, fmt.Errorf("part of the last commit: %w", err)
		}
		writes = append(writes, part.Spec.Writes...)
	}
	return writes, nil
}

// unload forgets an intent that has parts, when its writes are done.
func (s *Store) unload(ctx context.Context) error {
	last := s.fence.Spec.Intent
	if last == nil || len(last.Parts) == 0 {
		return nil
	}
	switch err := s.declare(ctx, s.fence.Spec.Reservations, nil); {
	case errors.Is(err, lease.ErrRefused):
		s.say.WithError(err).Warn("Finished commit not forgotten; it does no harm")
		return nil
	case err != nil:
		return err
	}
	for _, name := range last.Parts {
		s.drop(ctx, name)
	}
	return nil
}

// Close forgets the last intent. It is for those who hand the namespace over, and not needed otherwise.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.term == "" || s.fence.Spec.Intent == nil {
		return nil
	}
	if err := s.declare(ctx, s.fence.Spec.Reservations, nil); err != nil {
		return fmt.Errorf("close pool: %w", err)
	}
	return nil
}
