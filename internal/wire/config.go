// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/freeze"
	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/internal/webhook"
	"sigs.k8s.io/steward/plugins"
)

// hookConfig is steward.yaml, checked against the plugins that run.
type hookConfig struct {
	raw      []byte
	settings *settings.Settings
	set      *plugin.Set
}

// repoConfig is what one repository wants.
type repoConfig struct {
	name     thread.Repo // as the settings spell it
	settings *settings.Repo
	set      *plugin.Set
}

func (c *hookConfig) repo(repo thread.Repo) *repoConfig {
	if name, r := c.settings.Find(repo); r != nil {
		return &repoConfig{name, r, c.set}
	}
	return nil
}

// reload reads steward.yaml when its content has changed. A file that does not
// hold leaves the former settings in force.
func (s *hookServer) reload() error {
	raw, err := os.ReadFile(s.opts.Config)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if old := s.config.Load(); old != nil && bytes.Equal(old.raw, raw) {
		return nil
	}
	parsed, err := settings.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", s.opts.Config, err)
	}
	if len(parsed.Repos) == 0 {
		return fmt.Errorf("%s: repos: none is named, so nothing would be done; stop the server to switch it off", s.opts.Config)
	}
	set, err := plugin.NewSet(s.all)
	if err != nil {
		return err
	}
	var problems []error
	for _, repo := range parsed.List() {
		r := parsed.For(repo)
		if err := set.Check(plugin.Options{Enabled: r.Plugins, Aliases: r.Aliases}); err != nil {
			problems = append(problems, fmt.Errorf("%s: repos: %s: %w", s.opts.Config, repo, err))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	s.config.Store(&hookConfig{raw: raw, settings: parsed, set: set})
	s.log.WithField("repositories", len(parsed.Repos)).Info("Settings read")
	return nil
}

// here tells whether this process runs a plugin: --plugins may leave some to
// another one.
func (s *hookServer) here(name string) bool {
	return len(s.opts.Plugins) == 0 || slices.Contains(s.opts.Plugins, name)
}

// required are the contexts that this process sets on every open pull request of
// a repository.
func (s *hookServer) required(repo *repoConfig) []string {
	var run []string
	for _, name := range repo.settings.Plugins {
		if s.here(name) {
			run = append(run, name)
		}
	}
	return repo.set.Contexts(run)
}

func (s *hookServer) scopes(repo thread.Repo) map[string][]string {
	if r := s.config.Load().settings.For(repo); r != nil {
		return r.Scopes
	}
	return nil
}

// repo returns a repository's settings; without any it wants nothing.
func (s *hookServer) repo(repo thread.Repo) settings.Repo {
	if r := s.config.Load().settings.For(repo); r != nil {
		return *r
	}
	return settings.Repo{}
}

func (s *hookServer) drift(repo thread.Repo) settings.Drift { return s.repo(repo).Drift }

// poolFiles are those whose OWNERS decide about the pool.
func (s *hookServer) poolFiles() []string { return s.config.Load().settings.PoolFiles() }

// promotion says where images are declared, and where they may go.
func (s *hookServer) promotion(thread.Repo) plugins.PromoteSettings {
	p := s.config.Load().settings.Promotion
	return plugins.PromoteSettings{Tree: p.Tree(), Mirrors: p.Mirrors, Retention: time.Duration(p.Retention)}
}

// stagingHosts are the registries that may be looked into.
func (s *hookServer) stagingHosts() []string { return s.config.Load().settings.Promotion.Hosts() }

// lends tells whether a repository may tell the pool what to do.
func (s *hookServer) lends(repo thread.Repo) bool {
	r := s.config.Load().settings.For(repo)
	return r != nil && slices.Contains(r.Plugins, "pool")
}

func (s *hookServer) reportPage(repo thread.Repo) string { return s.drift(repo).Page }

func (s *hookServer) unreviewed() []string { return s.config.Load().settings.Unreviewed }

func (s *hookServer) links() string { return s.config.Load().settings.Links }

func (s *hookServer) repoOwners(repo thread.Repo) settings.Owners {
	if r := s.config.Load().settings.For(repo); r != nil {
		return r.Owners
	}
	return settings.Owners{}
}

// describe is what Prow's help page says about a plugin in a repository.
func (s *hookServer) describe(name string) func(thread.Repo) string {
	return func(repo thread.Repo) string {
		r := s.config.Load().settings.For(repo)
		if r == nil || !slices.Contains(r.Plugins, name) {
			return ""
		}
		text := "Enabled by steward.yaml."
		for alias, verb := range r.Aliases {
			text += fmt.Sprintf(" /%s is short for /infra %s.", alias, verb)
		}
		return text
	}
}

// secrets reads the HMAC file at most once a second.
func (s *hookServer) secrets() func() (webhook.Secrets, error) {
	var mu sync.Mutex
	var last webhook.Secrets
	var read time.Time
	return func() (webhook.Secrets, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(read) < time.Second {
			return last, nil
		}
		raw, err := os.ReadFile(s.opts.HMACSecretFile)
		if err != nil {
			return webhook.Secrets{}, fmt.Errorf("read HMAC secrets: %w", err)
		}
		parsed, err := webhook.ParseSecrets(raw)
		if err != nil {
			return webhook.Secrets{}, err
		}
		last, read = parsed, time.Now()
		return last, nil
	}
}

// ownersLoader loads OWNERS trees from GitHub, one load at a time and repository.
type ownersLoader struct {
	hub      *hub.Client
	settings func(thread.Repo) settings.Owners
	cache    *acl.Cache

	mu    sync.Mutex
	locks map[thread.Repo]*sync.Mutex
	trees map[string]*acl.Tree // by repository, commit and settings
}

// ownersObjects is how many parsed files and directories are kept: those of a few
// large repositories.
const ownersObjects = 100_000

// maxOwnersTrees bounds the memory for heads of pull requests that change OWNERS.
const maxOwnersTrees = 1000

func newOwnersLoader(h *hub.Client, s func(thread.Repo) settings.Owners) *ownersLoader {
	return &ownersLoader{
		hub: h, settings: s, cache: acl.NewCache(ownersObjects),
		locks: map[thread.Repo]*sync.Mutex{}, trees: map[string]*acl.Tree{},
	}
}

// Owners returns the access rules at a commit. An error means that they could
// not be read, never that there are none.
func (o *ownersLoader) Owners(ctx context.Context, repo thread.Repo, commit string) (*acl.Tree, error) {
	conf := o.settings(repo)
	id := fmt.Sprintf("%s@%s %+v", strings.ToLower(repo.String()), commit, conf)
	lock := o.lock(repo)
	lock.Lock()
	defer lock.Unlock()
	if tree := o.known(id); tree != nil {
		return tree, nil
	}
	fsys, err := o.fs(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	tree, err := acl.Load(fsys, commit, acl.Options{
		Filenames:           acl.Filenames{Owners: conf.File, Aliases: conf.AliasesFile},
		MarkdownFrontMatter: conf.FrontMatter, DirDenylist: conf.DirDenylist, Cache: o.cache,
	})
	if err != nil {
		return nil, fmt.Errorf("read OWNERS of %s at %s: %w", repo, commit, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.trees) >= maxOwnersTrees {
		clear(o.trees)
	}
	o.trees[id] = tree
	return tree, nil
}

func (o *ownersLoader) known(id string) *acl.Tree {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.trees[id]
}

func (o *ownersLoader) lock(repo thread.Repo) *sync.Mutex {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locks[repo] == nil {
		o.locks[repo] = &sync.Mutex{}
	}
	return o.locks[repo]
}

func (o *ownersLoader) fs(ctx context.Context, repo thread.Repo, commit string) (fs.FS, error) {
	return o.hub.FS(ctx, repo, commit, func(name string) bool { return o.isPolicy(repo, name) })
}

// isPolicy tells whether a file decides about other files' pull requests.
func (o *ownersLoader) isPolicy(repo thread.Repo, name string) bool {
	conf := o.settings(repo)
	policy := []string{"OWNERS", "OWNERS_ALIASES", conf.File, conf.AliasesFile}
	return name == freeze.File || slices.Contains(policy, path.Base(name)) ||
		conf.FrontMatter && path.Ext(name) == ".md"
}

// policy is a digest of all policy files at a commit.
func (o *ownersLoader) policy(ctx context.Context, repo thread.Repo, commit string) (string, error) {
	fsys, err := o.fs(ctx, repo, commit)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !o.isPolicy(repo, name) {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(digest, "%s %v\n", name, info.Sys()) // the object's id
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read policy files of %s at %s: %w", repo, commit, err)
	}
	return string(digest.Sum(nil)), nil
}

// File reads one file at a commit; fs.ErrNotExist where there is none.
func (o *ownersLoader) File(ctx context.Context, repo thread.Repo, commit, name string) ([]byte, error) {
	fsys, err := o.fs(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(fsys, name)
}
