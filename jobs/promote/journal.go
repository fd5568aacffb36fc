// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"sigs.k8s.io/steward/internal/state"
)

// Keys in the store.
const (
	lockKey    = "promote/lock.json"
	appliedKey = "promote/applied.json"
	pendingKey = "promote/pending/"
)

// pending is an image of which something is left to do. It is written before the first
// byte goes to production and taken away after the last phase, so that whatever ends a run,
// a later one knows what it began.
type pending struct {
	Path   string   `json:"path"`
	Digest string   `json:"digest"`
	Source string   `json:"source"` // HOST/PATH that it was or is copied from
	Tags   []string `json:"tags,omitempty"`
	Phases []string `json:"phases"` // that are left, in their order
	Commit string   `json:"commit"` // that promoted it
	// Found says that it was found in production: no run of ours is known to have brought it there.
	Found bool `json:"found,omitempty"`
	// Before has the sha256 of what a file may overwrite; files only.
	Before []string `json:"before,omitempty"`
}

func (p pending) key() string { return p.Path + "@" + p.Digest }

// left tells whether a phase is to be done.
func (p pending) left(phase string) bool { return slices.Contains(p.Phases, phase) }

// done is what is left without a phase.
func (p pending) done(phase string) pending {
	p.Phases = slices.DeleteFunc(slices.Clone(p.Phases), func(s string) bool { return s == phase })
	return p
}

// pendingFile is what is left of one project.
type pendingFile struct {
	Version int       `json:"version"`
	Project string    `json:"project"`
	Images  []pending `json:"images"`
}

const journalVersion = 1

// applied is the last commit of which anything was written.
type applied struct {
	Commit string    `json:"commit"`
	At     time.Time `json:"at"`
	// Projects are the last commits of single ones, TREE/PROJECT, where a run does some of several; files only.
	Projects map[string]string `json:"projects,omitempty"`
}

// of is the last commit of a project; "" for none.
func (a applied) of(project string) string {
	if a.Projects == nil {
		return a.Commit
	}
	return a.Projects[project]
}

// journal is what runs leave for later ones. Whoever holds the lock is the only writer.
type journal struct {
	store    state.Store
	lost     func() error                  // not nil once somebody else holds the lock
	projects map[string]map[string]pending // by project and key
}

// openJournal reads what is left of earlier runs. lost is asked before each write.
func openJournal(ctx context.Context, s state.Store, lost func() error) (*journal, error) {
	j := &journal{s, lost, map[string]map[string]pending{}}
	keys, err := s.List(ctx, pendingKey)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	for _, key := range keys {
		raw, _, err := s.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read journal %s: %w", key, err)
		}
		var f pendingFile
		if err := json.Unmarshal(raw, &f); err != nil || f.Version != journalVersion || f.Project == "" {
			return nil, fmt.Errorf("read journal %s: it is not one of this program: look at it, and remove it if nothing of it is left to do", key)
		}
		j.projects[f.Project] = map[string]pending{}
		for _, p := range f.Images {
			j.projects[f.Project][p.key()] = p
		}
	}
	return j, nil
}

// of lists what is left of a project, sorted.
func (j *journal) of(project string) []pending {
	var all []pending
	for _, p := range j.projects[project] {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b pending) int { return cmp.Compare(a.key(), b.key()) })
	return all
}

// put replaces what is known of an image. One without phases is gone. Nothing is written
// before save.
func (j *journal) put(project string, p pending) {
	images := j.projects[project]
	if images == nil {
		images = map[string]pending{}
		j.projects[project] = images
	}
	if len(p.Phases) == 0 {
		delete(images, p.key())
		return
	}
	images[p.key()] = p
}

// add puts what is left of an image beside what was left of it before: a phase that this run cannot do stays to be done.
func (j *journal) add(project string, p pending) {
	if before, known := j.projects[project][p.key()]; known {
		p.Tags, p.Phases = union(before.Tags, p.Tags), union(before.Phases, p.Phases)
		p.Found = p.Found && before.Found
		p.Source, p.Commit = cmp.Or(before.Source, p.Source), cmp.Or(before.Commit, p.Commit) // how it came into production first
		order := allPhases()
		slices.SortFunc(p.Phases, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	}
	j.put(project, p)
}

// union joins two lists, sorted.
func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// save writes what is left of a project.
func (j *journal) save(ctx context.Context, project string) error {
	if err := j.lost(); err != nil {
		return err
	}
	key := pendingKey + keyOf(project) + ".json"
	left := j.of(project)
	if len(left) == 0 {
		if err := j.store.Delete(ctx, key, state.Any); err != nil {
			return fmt.Errorf("write journal: %w", err)
		}
		return nil
	}
	raw, err := json.Marshal(pendingFile{journalVersion, project, left})
	if err == nil {
		err = state.Replace(ctx, j.store, key, raw)
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// keyOf is a project's name as a part of a key. Names are folders of the repository, so
// anything is possible.
func keyOf(project string) string {
	if state.CheckKey(pendingKey+project+".json") == nil && !slices.Contains([]byte(project), '/') {
		return project
	}
	sum := sha256.Sum256([]byte(project))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// last returns the last commit of which anything was written; the zero value is none.
func (j *journal) last(ctx context.Context) (a applied, err error) {
	raw, _, err := j.store.Get(ctx, appliedKey)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &a)
	}
	if err == nil && a.Commit == "" {
		err = errors.New("it names no commit")
	}
	if err != nil {
		return a, fmt.Errorf("read %s (look at it; without it any commit is promoted): %w", appliedKey, err)
	}
	return a, nil
}

// begin remembers the commit that is about to be written.
func (j *journal) begin(ctx context.Context, a applied) error {
	raw, err := json.Marshal(a)
	if err == nil {
		err = state.Replace(ctx, j.store, appliedKey, raw)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", appliedKey, err)
	}
	return nil
}
