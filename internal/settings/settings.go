// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package settings reads steward.yaml, which says what steward does for which
// repository. Every key is explained in config/steward.yaml.
//
// Flags say where things are (ports, secrets, endpoints); settings say what a
// community wants. They are read strictly: an unknown key, a wrong type or a
// repository named twice is an error with its line, and all errors come at once.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/thread"
)

// Settings is the whole file.
type Settings struct {
	Links     string           `yaml:"links"`     // base of links in comments: https://github.com
	Reconcile Duration         `yaml:"reconcile"` // how often every repository is looked through
	Repos     map[string]*Repo `yaml:"repos"`     // by org/name
	// Unreviewed are logins whose pull requests Tide merges without review. Whoever is
	// one of them opens none.
	Unreviewed []string `yaml:"unreviewed"`
	Janitor    Janitor  `yaml:"janitor"`
	Pool       Pool     `yaml:"pool"`

	Promotion Promotion `yaml:"promotion"`
}

// Repo is what one repository wants.
type Repo struct {
	Plugins []string            `yaml:"plugins"`
	Aliases map[string]string   `yaml:"aliases"` // short command without its slash -> verb
	Scopes  map[string][]string `yaml:"scopes"`  // what can be frozen -> folders, ending in a slash
	Owners  Owners              `yaml:"owners"`
	Drift   Drift               `yaml:"drift"`
	Promote Job                 `yaml:"promote"` // brings what is declared into production
}

// Job is a periodic job of Prow.
type Job struct {
	Job      string   `yaml:"job"`      // its name
	Interval Duration `yaml:"interval"` // how often Prow starts it
}

// Drift says where the audit's report is, and which job makes it.
type Drift struct {
	Report   string   `yaml:"report"`   // what steward audit publishes: https://…/latest.json, file:///…
	Page     string   `yaml:"page"`     // where people read it
	Job      string   `yaml:"job"`      // periodic job of Prow
	Interval Duration `yaml:"interval"` // how often Prow starts it
}

// Owners are the settings Prow keeps in its own configuration; they must agree.
type Owners struct {
	File        string   `yaml:"file"`            // owners.filenames: OWNERS
	AliasesFile string   `yaml:"aliases_file"`    // owners.filenames: OWNERS_ALIASES
	FrontMatter bool     `yaml:"md_front_matter"` // owners.mdyamlrepos
	DirDenylist []string `yaml:"dir_denylist"`    // owners_dir_denylist
}

// Duration is a time.Duration in Go's notation: 5m, 1h30m.
type Duration time.Duration

// UnmarshalYAML refuses what time.ParseDuration refuses.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	parsed, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is not a duration such as 5m", n.Line, n.Value)
	}
	*d = Duration(parsed)
	return nil
}

// The defaults and bounds.
const (
	maxFile          = 1 << 20
	defaultReconcile = 5 * time.Minute
	minReconcile     = 10 * time.Second
	defaultLinks     = "https://github.com"
)

// loginForm is a user's or an App's.
var loginForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?$`)

var scopeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Parse reads steward.yaml. The error lists every problem, one a line. Whether
// plugins and aliases exist is for the plugin set to say.
func Parse(file []byte) (*Settings, error) {
	if len(file) > maxFile {
		return nil, fmt.Errorf("settings: %d bytes are more than %d", len(file), maxFile)
	}
	s := &Settings{}
	dec := yaml.NewDecoder(bytes.NewReader(file))
	dec.KnownFields(true)
	if err := dec.Decode(s); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("settings: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("settings: there is a second YAML document")
	}
	if s.Links == "" {
		s.Links = defaultLinks
	}
	if s.Reconcile == 0 {
		s.Reconcile = Duration(defaultReconcile)
	}
	if err := errors.Join(s.problems()...); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return s, nil
}

func (s *Settings) problems() []error {
	var all []error
	if !strings.HasPrefix(s.Links, "https://") && !strings.HasPrefix(s.Links, "http://") {
		all = append(all, fmt.Errorf("links: %q is not an http address", s.Links))
	}
	if time.Duration(s.Reconcile) < minReconcile {
		all = append(all, fmt.Errorf("reconcile: %v is less than %v", time.Duration(s.Reconcile), minReconcile))
	}
	for _, login := range s.Unreviewed {
		if !loginForm.MatchString(login) {
			all = append(all, fmt.Errorf("unreviewed: %q is not a login", login))
		}
	}
	for _, err := range s.Janitor.problems() {
		all = append(all, fmt.Errorf("janitor: %w", err))
	}
	for _, err := range s.Pool.problems() {
		all = append(all, fmt.Errorf("pool: %w", err))
	}
	for _, err := range s.Promotion.problems() {
		all = append(all, fmt.Errorf("promotion: %w", err))
	}
	all = append(all, s.poolPeople()...)
	folded := map[string]string{}
	for _, name := range s.names() {
		if _, err := thread.ParseRepo(name); err != nil {
			all = append(all, fmt.Errorf("repos: %w", err))
		}
		if twin := folded[strings.ToLower(name)]; twin != "" {
			all = append(all, fmt.Errorf("repos: %s and %s are the same to GitHub", twin, name))
		}
		folded[strings.ToLower(name)] = name
		if s.Repos[name] == nil {
			s.Repos[name] = &Repo{}
		}
		for _, err := range s.Repos[name].problems() {
			all = append(all, fmt.Errorf("repos: %s: %w", name, err))
		}
	}
	return all
}

func (r *Repo) problems() []error {
	var all []error
	for scope, folders := range r.Scopes {
		if !scopeName.MatchString(scope) || scope == "all" {
			all = append(all, fmt.Errorf("scopes: %q is not a scope name (lower-case letters, digits and dashes, not \"all\")", scope))
		}
		if len(folders) == 0 {
			all = append(all, fmt.Errorf("scopes: %s has no folders", scope))
		}
		for _, f := range folders {
			if f != path.Clean(f)+"/" || strings.HasPrefix(f, "/") || strings.HasPrefix(f, "../") {
				all = append(all, fmt.Errorf("scopes: %s: folder %q must be relative, clean and end in a slash, such as dns/", scope, f))
			}
		}
	}
	for _, name := range []string{r.Owners.File, r.Owners.AliasesFile} {
		if name != "" && (name != path.Base(name) || strings.Trim(name, ".") == "") {
			all = append(all, fmt.Errorf("owners: %q is not the name of a file", name))
		}
	}
	for _, pattern := range r.Owners.DirDenylist {
		if _, err := regexp.Compile(pattern); err != nil {
			all = append(all, fmt.Errorf("owners: dir_denylist: %w", err))
		}
	}
	all = append(all, r.Drift.problems(slices.Contains(r.Plugins, "drift"))...)
	all = append(all, r.Promote.problems("promote")...)
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return all
}

// jobName is what Prow takes for a name.
var jobName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)

// problems finds what could only fail later. The report is public; an address with a
// password in it is not one to publish.
func (d Drift) problems(wanted bool) []error {
	var all []error
	if d.Report == "" && wanted {
		all = append(all, errors.New("drift: report is missing: say where steward audit publishes latest.json"))
	}
	if d.Report != "" && !reportAddress(d.Report) {
		all = append(all, fmt.Errorf("drift: report %q must be https://HOST/PATH or file:///PATH, without a password; http is for loopback", d.Report))
	}
	if u, err := url.Parse(d.Page); d.Page != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil) {
		all = append(all, fmt.Errorf("drift: page %q is not an https address", d.Page))
	}
	return append(all, Job{d.Job, d.Interval}.problems("drift")...)
}

func (j Job) problems(section string) []error {
	var all []error
	if j.Job != "" && !jobName.MatchString(j.Job) {
		all = append(all, fmt.Errorf("%s: job %q is not the name of a job", section, j.Job))
	}
	if j.Interval < 0 {
		all = append(all, fmt.Errorf("%s: interval %v is negative", section, time.Duration(j.Interval)))
	}
	return all
}

func reportAddress(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Fragment != "" {
		return false
	}
	switch host := u.Hostname(); u.Scheme {
	case "file":
		return u.Host == "" && path.IsAbs(u.Path)
	case "https":
		return host != ""
	case "http":
		ip, err := netip.ParseAddr(host)
		return host == "localhost" || err == nil && ip.IsLoopback()
	}
	return false
}

// names are the repositories, sorted.
func (s *Settings) names() []string {
	names := make([]string, 0, len(s.Repos))
	for name := range s.Repos {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// List returns the repositories, sorted by name.
func (s *Settings) List() []thread.Repo {
	var repos []thread.Repo
	for _, name := range s.names() {
		org, repo, _ := strings.Cut(name, "/")
		repos = append(repos, thread.Repo{Org: org, Name: repo})
	}
	return repos
}

// For returns a repository's settings, or nil when steward does nothing for it.
func (s *Settings) For(repo thread.Repo) *Repo {
	_, r := s.Find(repo)
	return r
}

// Find also returns the repository's name as the settings spell it. Whoever talks
// to GitHub uses this spelling: a GitHub App's installations are looked up by it.
func (s *Settings) Find(repo thread.Repo) (thread.Repo, *Repo) {
	for _, known := range s.List() {
		if strings.EqualFold(known.String(), repo.String()) {
			return known, s.Repos[known.String()]
		}
	}
	return repo, nil
}
