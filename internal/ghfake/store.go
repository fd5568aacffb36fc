// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"encoding/json"
	"sort"
	"strings"
	"time"
)

// store is the whole world: plain structs, guarded by Server.mu. Logins and
// repository names are kept as written and looked up case-folded, as GitHub does.
type store struct {
	users  map[string]*user // by folded login
	orgs   map[string]*org  // by folded login
	repos  map[string]*repo // by folded owner/name
	tokens map[string]string
	hooks  map[int64]*hook
}

func newStore() *store {
	return &store{
		users:  map[string]*user{},
		orgs:   map[string]*org{},
		repos:  map[string]*repo{},
		tokens: map[string]string{},
		hooks:  map[int64]*hook{},
	}
}

type user struct {
	ID                       int64
	Login, Name, Email, Kind string // Kind is User or Bot
}

type org struct {
	ID      int64
	Login   string
	Members map[string]member // by folded login
	Teams   []*team
}

// member is one login's place in an organization or a team.
type member struct {
	Login string
	Role  string // org: admin or member; team: maintainer or member
}

type team struct {
	ID                      int64
	Name, Slug, Description string
	Members                 map[string]member
	Repos                   map[string]level // by folded owner/name
}

type repo struct {
	ID              int64
	Owner, Name     string
	DefaultBranch   string
	Description     string
	Private, Fork   bool
	Parent          string           // owner/name a fork was made of
	Collaborators   map[string]grant // by folded login
	Labels          []*label
	Refs            map[string]string // full ref name to object id
	Issues          map[int]*issue    // pull requests too: they share numbers
	Last            int               // highest number given out
	Statuses        map[string][]*status
	Comments        map[int64]*comment
	Protection      map[string]json.RawMessage // branch to what was PUT
	Contributors    map[string]bool            // folded logins with a merged pull request
	Created, Pushed time.Time

	stale bool // refs changed since they were last written to disk
}

type grant struct {
	Login string
	Level level
}

type label struct {
	ID                       int64
	Name, Description, Color string
}

type issue struct {
	ID                       int64
	Number                   int
	Title, Body              string
	State, Reason            string // open or closed
	Author                   string // folded login never: as written; "ghost" for a deleted user
	Locked                   bool
	Labels                   []*label
	Assignees                []string
	Comments                 []*comment // by id, ascending
	Events                   []*issueEvent
	Created, Updated, Closed time.Time
	Edited                   time.Time // last edit of title or body
	Editor                   string    // who made it
	Pull                     *pull     // nil for plain issues
}

type pull struct {
	HeadRepo, HeadRef, HeadSHA string // HeadRepo is owner/name, "" once the fork is gone
	BaseRef, BaseSHA           string
	Draft, Merged              bool
	MergedBy, MergeSHA         string
	MergedAt                   time.Time
	Reviews                    []*review
	ReviewComments             []*reviewComment
	Reviewers                  []string // requested
}

type comment struct {
	ID               int64
	Number           int
	Author, Body     string
	Created, Updated time.Time
	Editor           string // last editor, "" when never edited
}

type review struct {
	ID        int64
	Author    string
	Body      string
	State     string // APPROVED, CHANGES_REQUESTED, COMMENTED, DISMISSED or PENDING
	Commit    string
	Submitted time.Time
}

type reviewComment struct {
	ID, Review       int64
	Author, Body     string
	Path, Commit     string
	Position         int
	Created, Updated time.Time
}

type status struct {
	ID                                  int64
	State, Target, Description, Context string
	Creator                             string
	Created                             time.Time
}

// issueEvent is a row of an issue's timeline (labeled, closed, ...).
type issueEvent struct {
	ID      int64
	Kind    string
	Actor   string
	Label   *label
	Created time.Time
}

// hook is a webhook of an organization or of one repository.
type hook struct {
	ID          int64
	Owner, Repo string // Repo is "" for an organization's hook
	URL, Secret string
	Events      []string
	Active      bool
}

func fold(s string) string { return strings.ToLower(s) }

func (s *store) user(login string) *user { return s.users[fold(login)] }

func (s *store) repo(owner, name string) *repo { return s.repos[fold(owner+"/"+name)] }

func (r *repo) full() string { return r.Owner + "/" + r.Name }

func (r *repo) branch(name string) string { return r.Refs["refs/heads/"+name] }

func (r *repo) label(name string) *label {
	for _, l := range r.Labels {
		if strings.EqualFold(l.Name, name) {
			return l
		}
	}
	return nil
}

func (i *issue) label(name string) int {
	for n, l := range i.Labels {
		if strings.EqualFold(l.Name, name) {
			return n
		}
	}
	return -1
}

func (i *issue) comment(id int64) int {
	n := sort.Search(len(i.Comments), func(n int) bool { return i.Comments[n].ID >= id })
	if n < len(i.Comments) && i.Comments[n].ID == id {
		return n
	}
	return -1
}

// sorted lists the values of m by key, so that every answer has a stable order.
func sorted[K ~string | ~int | ~int64, V any](m map[K]V) []V {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	out := make([]V, len(keys))
	for i, k := range keys {
		out[i] = m[k]
	}
	return out
}
