// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package thread is a pull request or an issue as GitHub has it, next to what
// plugins want of it.
//
// A Snapshot is read once per wake-up and shared by all plugins. Plugins answer
// with Actions, a closed list. Diff compares both and returns the Writes that
// are missing, so that deciding the same thing twice changes nothing: a lost
// event, a repeated one and a reconcile pass all end in the same thread.
package thread

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/acl"
)

// Repo names a repository. GitHub compares names without case; Repo keeps the
// case it was given and Key.String is what queues and journals compare.
type Repo struct{ Org, Name string }

// String is org/name.
func (r Repo) String() string { return r.Org + "/" + r.Name }

// legalName is what GitHub allows in owner and repository names. Anything else
// never reaches a URL or a path.
var legalName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

// ParseRepo reads org/name.
func ParseRepo(s string) (Repo, error) {
	org, name, _ := strings.Cut(s, "/")
	if !legalName.MatchString(org) || !legalName.MatchString(name) || strings.Trim(name, ".") == "" || strings.Trim(org, ".") == "" {
		return Repo{}, fmt.Errorf("parse repository %q: want ORG/NAME", s)
	}
	return Repo{Org: org, Name: name}, nil
}

// Key names a thread. It is the unit of ordering: one thread is worked on by one
// worker at a time.
type Key struct {
	Repo
	Number int
}

// String is org/name#number.
func (k Key) String() string { return k.Repo.String() + "#" + strconv.Itoa(k.Number) }

// ParseKey is the inverse of String.
func ParseKey(s string) (Key, error) {
	name, number, _ := strings.Cut(s, "#")
	repo, err := ParseRepo(name)
	if err != nil {
		return Key{}, err
	}
	n, err := strconv.Atoi(number)
	if err != nil || n <= 0 {
		return Key{}, fmt.Errorf("parse thread %q: want ORG/NAME#NUMBER", s)
	}
	return Key{Repo: repo, Number: n}, nil
}

// Where is a set of the situations a thread can be in.
type Where uint8

// The situations. A thread is in exactly one of them.
const (
	OpenPull Where = 1 << iota
	MergedPull
	ClosedPull // closed without a merge
	OpenIssue
	ClosedIssue
)

var whereNames = []struct {
	where Where
	name  string
}{
	{OpenPull, "open pull requests"},
	{MergedPull, "merged pull requests"},
	{ClosedPull, "closed pull requests"},
	{OpenIssue, "open issues"},
	{ClosedIssue, "closed issues"},
}

// String lists the situations in words: "open pull requests, open issues".
func (w Where) String() string {
	var names []string
	for _, row := range whereNames {
		if w&row.where != 0 {
			names = append(names, row.name)
		}
	}
	return strings.Join(names, ", ")
}

// Comment is one comment of a thread.
type Comment struct {
	ID      int64
	Author  string // login, without the [bot] suffix; empty for a deleted account
	Bot     bool   // written by a GitHub App or a machine account GitHub marks as Bot
	Body    string
	Created time.Time
	Edited  bool // the body is not the one that was posted
}

// File is one changed file of a pull request.
type File struct {
	Path     string
	Previous string // set when Status is renamed
	Status   string // added, removed, modified, renamed, copied, changed, unchanged
	Blob     string // object id at the head
}

// Review is the latest opinion of one reviewer.
type Review struct {
	Author string
	State  string // APPROVED, CHANGES_REQUESTED, DISMISSED
}

// Snapshot is a thread at one moment. It is immutable; slices are shared.
type Snapshot struct {
	Key
	Where     Where
	Title     string
	Author    string
	AuthorBot bool // see Comment.Bot
	Labels    []string
	Updated   time.Time
	Comments  []Comment // by creation time, then id
	Bot       string    // the login this process writes as

	Default    string // branch
	Base       string // branch: the pull request's base, or the default branch
	BaseCommit string // what Base points to now: OWNERS are read here
	Owners     *acl.Tree
	Records    []Record // of the repository, in no order

	// Pull requests only.
	Head      string // commit
	Files     []File
	FilesLost int // changed files GitHub did not list (it stops at 3000)
	Reviews   []Review
	Statuses  map[string]Status // by context, of Head
	Twins     []int             // other open pull requests with this Head, which share its statuses
}

// IsPull tells pull requests from issues.
func (s *Snapshot) IsPull() bool { return s.Where&(OpenPull|MergedPull|ClosedPull) != 0 }

// Own tells whether this process's account opened the thread. The kind of account is
// compared too: anyone may register a user with the name of an App.
func (s *Snapshot) Own() bool {
	return s.own(Comment{Author: s.Author, Bot: s.AuthorBot})
}

// Changed lists the paths that a pull request changes, both ends of a rename:
// taking a file out of a folder changes the folder.
func (s *Snapshot) Changed() []string {
	var paths []string
	for _, f := range s.Files {
		paths = append(paths, f.Path)
		if f.Previous != "" {
			paths = append(paths, f.Previous)
		}
	}
	return paths
}

// SortComments orders by creation time, then id: GitHub's order, not arrival's.
func SortComments(all []Comment) {
	slices.SortFunc(all, func(a, b Comment) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
}
