// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/settings"
)

// brake tells which projects must not be promoted at present. It reads the file of freezes
// anew each time, at what --rev names by then.
type brake struct {
	tree   tree
	deps   Deps
	scopes freeze.Scopes
}

// scopesIn are the scopes of all repositories of the settings, which may be nil. A name that means different folders in two
// repositories means all of them.
func scopesIn(s *settings.Settings) freeze.Scopes {
	if s == nil {
		return nil
	}
	scopes := freeze.Scopes{}
	for _, repo := range s.Repos {
		for name, folders := range repo.Scopes {
			scopes[name] = append(scopes[name], folders...)
		}
	}
	return scopes
}

// settingsOf reads steward.yaml; nil where none is named.
func settingsOf(config string) (*settings.Settings, error) {
	if config == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(config)
	if err != nil {
		return nil, fmt.Errorf("flag --config: %w", err)
	}
	s, err := settings.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("flag --config: %w", err)
	}
	return s, nil
}

// frozen is what is frozen at one moment.
type frozen struct {
	set freeze.Set
	err error // it is not known
}

// look reads what is frozen now. What cannot be understood freezes everything.
func (b brake) look(ctx context.Context) frozen {
	raw, err := b.file(ctx)
	if err != nil {
		return frozen{err: err}
	}
	set, err := freeze.Load(nil, raw, b.scopes, b.deps.now())
	if err != nil && len(set.All()) == 0 {
		return frozen{err: fmt.Errorf("read %s: %w", freeze.File, err)}
	}
	return frozen{set: set}
}

// holding returns why a project is frozen, by paths of what declares it; "" if it is not. Where that is not known, it is.
func (f frozen) holding(paths ...string) (why string) {
	if f.err != nil {
		return "it is not known whether it is frozen: " + f.err.Error()
	}
	var reasons []string
	for _, f := range f.set.Holding(paths) {
		reason := f.Scope + ": " + f.Reason
		if !f.Until.IsZero() {
			reason += ", until " + f.Until.UTC().Format("2006-01-02 15:04 MST")
		}
		reasons = append(reasons, reason)
	}
	slices.Sort(reasons)
	return strings.Join(reasons, "; ")
}

// file reads freeze.yaml; nil if there is none.
func (b brake) file(ctx context.Context) (raw []byte, err error) {
	files, _, done, err := b.deps.OpenCommit(ctx, b.tree.dir, b.tree.rev)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", freeze.File, err)
	}
	defer func() { err = errors.Join(err, done()) }()
	raw, err = fs.ReadFile(files, freeze.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", freeze.File, err)
	}
	return raw, nil
}
