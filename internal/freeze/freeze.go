// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package freeze tells which folders of a repository must not change at present.
//
// A scope is a name for folders. It is frozen by a command, which leaves a record
// in the repository, or by an entry of freeze.yaml at the base commit. What cannot
// be understood freezes everything: a freeze is the brake people pull when
// something is on fire, so a brake that cannot be read holds. Whoever merges or
// applies asks before each write.
package freeze

import (
	"errors"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/thread"
)

// All is the scope of the whole repository. Every repository has it.
const All = "all"

// File is where a repository declares freezes that are planned.
const File = "freeze.yaml"

// root is the folder of All.
const root = "."

// Scopes maps names to folders, relative to the root of the repository. A slash
// at the end makes no difference; "." is the root.
type Scopes map[string][]string

// Folders returns the folders of a scope without a slash at the end, sorted;
// ok is false for a scope that does not exist.
func (s Scopes) Folders(scope string) (folders []string, ok bool) {
	if scope == All {
		return []string{root}, true
	}
	for _, f := range s[scope] {
		folders = append(folders, clean(f))
	}
	slices.Sort(folders)
	return folders, len(folders) > 0
}

func clean(folder string) string {
	if folder = strings.Trim(folder, "/"); folder == "" {
		return root
	}
	return folder
}

// Names lists the scopes, All first.
func (s Scopes) Names() []string {
	names := []string{All}
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names[1:])
	return names
}

// Freeze is one reason why folders must not change.
type Freeze struct {
	Scope   string
	Folders []string // as Scopes.Folders gives them
	Reason  string   // untrusted
	By      string   // login, of a freeze by command
	At      time.Time
	Until   time.Time // zero: until it is lifted
	Issue   int       // of a freeze by command: its record; not above 0 while there is none yet
	Line    int       // of a freeze by file
	Fault   bool      // something could not be understood, and Reason says what
}

// Set is what is frozen in a repository at one moment. It is immutable.
type Set struct {
	freezes []Freeze
	scopes  Scopes
}

// Load joins records and file. A nil file is an absent one. The set is valid in
// any case: what the error tells of, all problems at once, is in it as a freeze of
// everything.
func Load(records []thread.Record, file []byte, scopes Scopes, now time.Time) (Set, error) {
	fromFile, errs := parseFile(file, scopes, now)
	set := Set{freezes: fromFile, scopes: scopes}
	for _, r := range newest(records) {
		f, err := fromRecord(r, scopes)
		if err != nil {
			errs = append(errs, err)
			f = &Freeze{Scope: All, Folders: []string{root}, Reason: err.Error(), Issue: r.Number, Fault: true}
		}
		if f != nil {
			set.freezes = append(set.freezes, *f)
		}
	}
	return set, errors.Join(errs...)
}

// All returns every freeze: those of the file in its order, then those by
// command, sorted by scope.
func (s Set) All() []Freeze { return slices.Clone(s.freezes) }

// Holding returns the freezes that concern at least one of the paths.
func (s Set) Holding(paths []string) []Freeze {
	var holding []Freeze
	for _, f := range s.freezes {
		if slices.ContainsFunc(paths, f.holds) {
			holding = append(holding, f)
		}
	}
	return holding
}

func (f Freeze) holds(path string) bool {
	return slices.ContainsFunc(f.Folders, func(folder string) bool { return within(path, folder) })
}

// within tells whether path is folder or below it.
func within(path, folder string) bool {
	return folder == root || path == folder || strings.HasPrefix(path, folder+"/")
}

// Frozen returns the freezes under which nothing of the scope may be written:
// those that cover one of its folders or a part of one. For a scope that does not
// exist these are all, since nobody can say which ones it is free of.
func (s Set) Frozen(scope string) []Freeze {
	folders, ok := s.scopes.Folders(scope)
	if !ok {
		return s.All()
	}
	var holding []Freeze
	for _, f := range s.freezes {
		overlaps := func(folder string) bool {
			return f.holds(folder) || slices.ContainsFunc(f.Folders, func(own string) bool { return within(own, folder) })
		}
		if slices.ContainsFunc(folders, overlaps) {
			holding = append(holding, f)
		}
	}
	return holding
}
