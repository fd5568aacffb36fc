// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package ghfake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

// Scenario is a world as a txtar file describes it; see the package comment.
type Scenario struct {
	World  World
	Files  map[string]map[string]string // owner/name to path to content
	Pulls  map[Place]Thread
	Issues map[Place]Thread
}

// Place names an issue or pull request.
type Place struct {
	Repo   string
	Number int
}

// World is github.yaml.
type World struct {
	Now    time.Time
	Users  map[string]UserSpec
	Tokens map[string]string // token to login
	Orgs   map[string]OrgSpec
	Repos  map[string]RepoSpec
}

// UserSpec describes an account; a login that ends in [bot] is a Bot.
type UserSpec struct {
	Name, Email, Type string
	ID                int64
}

// OrgSpec describes an organization; roles are admin and member.
type OrgSpec struct {
	Members map[string]string
	Teams   map[string]TeamSpec
	Hooks   []HookSpec
}

// TeamSpec is a team: its members (maintainer or member) and what it may do
// (repository name or owner/name to level).
type TeamSpec struct {
	Description string
	Members     map[string]string
	Repos       map[string]string
}

// HookSpec is a webhook; $VARIABLES of the environment are expanded in url and
// secret.
type HookSpec struct {
	URL, Secret string
	Events      []string
}

// RepoSpec describes a repository. Dir, relative to the scenario file, gives its
// first commit instead of repo/ sections; both may be given, sections win.
type RepoSpec struct {
	DefaultBranch string `yaml:"default_branch"`
	Description   string
	Private       bool
	Dir           string
	Branches      []string          // more branches at the first commit
	Collaborators map[string]string // login to read, triage, write, maintain or admin
	Labels        []string
	Hooks         []HookSpec
}

// Thread is an issue.yaml or pull.yaml. Base and the fields after it are for
// pull requests only.
type Thread struct {
	Title, Author, Body string
	State               string // open (default), closed or, for pull requests, merged
	Created             time.Time
	Labels, Assignees   []string
	Comments            []CommentSpec

	Base     string
	Head     string // branch of the repository itself; default a branch of the author's fork
	Draft    bool
	Deletes  []string
	Renames  map[string]string // old path to new
	Statuses []StatusSpec
	Reviews  []ReviewSpec
	Files    map[string]string `yaml:"-"` // from pull/.../files/
}

// CommentSpec is a comment made after the thread was opened.
type CommentSpec struct{ Author, Body string }

// StatusSpec is a commit status on the head.
type StatusSpec struct{ Context, State, Description string }

// ReviewSpec is a review; State is APPROVED, CHANGES_REQUESTED or COMMENTED.
type ReviewSpec struct{ Author, State, Body string }

// ReadScenario reads a scenario file.
func ReadScenario(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	sc, err := ParseScenario(data)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", path, err)
	}
	for name, r := range sc.World.Repos {
		if r.Dir != "" && !filepath.IsAbs(r.Dir) {
			r.Dir = filepath.Join(filepath.Dir(path), r.Dir)
			sc.World.Repos[name] = r
		}
	}
	return sc, nil
}

// ParseScenario parses a txtar archive. All problems are reported at once.
func ParseScenario(data []byte) (*Scenario, error) {
	sc := &Scenario{Files: map[string]map[string]string{}, Pulls: map[Place]Thread{}, Issues: map[Place]Thread{}}
	archive := txtar.Parse(data)
	var problems []error
	for _, f := range archive.Files {
		if err := sc.section(f.Name, f.Data); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	return sc, errors.Join(problems...)
}

// section takes one file of the archive.
func (sc *Scenario) section(name string, data []byte) error {
	if name == "github.yaml" {
		return decodeYAML(data, &sc.World)
	}
	parts := strings.SplitN(name, "/", 4)
	if len(parts) < 4 {
		return errors.New("unknown section (want github.yaml, repo/OWNER/NAME/PATH, pull/OWNER/NAME/N/... or issue/OWNER/NAME/N/issue.yaml)")
	}
	full, rest := parts[1]+"/"+parts[2], parts[3]
	switch parts[0] {
	case "repo":
		if sc.Files[full] == nil {
			sc.Files[full] = map[string]string{}
		}
		sc.Files[full][rest] = string(data)
		return nil
	case "pull":
		return sc.thread(sc.Pulls, full, rest, "pull.yaml", data)
	case "issue":
		return sc.thread(sc.Issues, full, rest, "issue.yaml", data)
	}
	return fmt.Errorf("unknown section %s/", parts[0])
}

// thread takes N/pull.yaml, N/issue.yaml or N/files/PATH.
func (sc *Scenario) thread(into map[Place]Thread, full, rest, want string, data []byte) error {
	word, file, _ := strings.Cut(rest, "/")
	n, err := strconv.Atoi(word)
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is not a number", word)
	}
	at := Place{full, n}
	t := into[at]
	if t.Files == nil {
		t.Files = map[string]string{}
	}
	path, isFile := strings.CutPrefix(file, "files/")
	switch {
	case file == want:
		err = decodeYAML(data, &t)
	case isFile && want == "pull.yaml":
		t.Files[path] = string(data)
	default:
		err = fmt.Errorf("unknown file %s (want %s)", file, want)
	}
	into[at] = t
	return err
}

// decodeYAML is strict: an unknown key is an error with its line.
func decodeYAML(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
