// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/spell"
)

// tree are the flags that say what is declared.
type tree struct {
	dir, rev, since string
	manifests       string
	projects        []string
	config          string
}

func (t *tree) register(cmd *cobra.Command, rev string) {
	flags := cmd.Flags()
	flags.StringVar(&t.dir, "dir", ".", "checkout of the repository")
	flags.StringVar(&t.manifests, "manifests", "", "tree of the manifests, or a file that is a thick one, relative to --dir; default promotion.images of --config, or "+settings.Promotion{}.Tree())
	where := "; the working tree if it is not given"
	if rev != "" {
		where = ""
	}
	flags.StringVar(&t.rev, "rev", rev, "commit, branch or tag that declares"+where)
	flags.StringSliceVar(&t.projects, "project", nil, "only these projects, by the name of their folder; repeat or separate by commas")
	flags.StringVar(&t.config, "config", "", "steward.yaml, whose part promotion says where images may go, who signs them, and what else belongs to it")
	_ = cmd.MarkFlagDirname("dir") // these fail for unknown flags only
	_ = cmd.MarkFlagFilename("config", "yaml")
	_ = cmd.RegisterFlagCompletionFunc("project", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return t.folders(), cobra.ShellCompDirectiveNoFileComp
	})
}

// folders are the projects of the working tree, for completion; none where they cannot be listed.
func (t *tree) folders() (names []string) {
	config, err := settingsOf(t.config)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(filepath.Join(t.dir, cmp.Or(t.manifests, declared{config: config}.promotion().Tree()), "manifests"))
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// narrow adds the flag that looks at a change only.
func (t *tree) narrow(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.since, "since", "", "only what --rev declares and this commit does not")
}

func (t *tree) check() error {
	if t.manifests == "" {
		return nil
	}
	if clean := path.Clean(t.manifests); !fs.ValidPath(clean) || clean == "." {
		return fmt.Errorf("flag --manifests: %q is not a path below the repository", t.manifests)
	}
	t.manifests = path.Clean(t.manifests)
	return nil
}

// declared is one state of the repository.
type declared struct {
	files    fs.FS
	commit   string             // "" for a working tree
	config   *settings.Settings // nil where none is named
	set      *manifest.Set
	problems []finding.Finding // of the whole tree
	// scope is what is asked for; nil is everything.
	scope *promotion.Scope
	// known are fingerprints of problems that the base commit has too.
	known map[string]bool
}

// open reads what is declared. done ends the use of the files.
func (t *tree) open(ctx context.Context, deps Deps) (d declared, done func() error, err error) {
	if d.config, err = settingsOf(t.config); err != nil {
		return d, nil, err
	}
	t.manifests = cmp.Or(t.manifests, d.promotion().Tree())
	if t.rev == "" {
		files, err := gitfs.OpenCheckout(t.dir)
		if err != nil {
			return d, nil, fmt.Errorf("flag --dir: %w", err)
		}
		d.files, done = files, files.Close
	} else if d.files, d.commit, done, err = deps.OpenCommit(ctx, t.dir, t.rev); err != nil {
		return d, nil, fmt.Errorf("flag --rev: %w", err)
	}
	if err := t.load(ctx, deps, &d); err != nil {
		return d, nil, errors.Join(err, done())
	}
	return d, done, nil
}

func (t *tree) load(ctx context.Context, deps Deps, d *declared) (err error) {
	switch d.set, d.problems, err = t.read(d.files, d.config); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("flag --manifests: there is no tree %s in %s: name it, or the checkout by --dir", t.manifests, t.dir)
	case err != nil:
		return fmt.Errorf("flag --manifests: %w", err)
	}
	if len(t.projects) > 0 {
		d.scope = &promotion.Scope{Projects: map[string]bool{}}
		if err := t.choose(*d); err != nil {
			return err
		}
	}
	if t.since == "" {
		return nil
	}
	if d.scope == nil {
		d.scope = &promotion.Scope{}
	}
	problems, err := t.changed(ctx, deps, d, t.since)
	if err != nil {
		return fmt.Errorf("flag --since: %w", err)
	}
	d.known = map[string]bool{}
	for _, p := range problems {
		d.known[p.Fingerprint()] = true
	}
	return nil
}

// changed puts what was declared since a commit into the scope, and returns the problems that there were then.
func (t *tree) changed(ctx context.Context, deps Deps, d *declared, since string) ([]finding.Finding, error) {
	base, problems, err := t.base(ctx, deps, d.config, since)
	if err == nil {
		d.scope.Since(base, d.set)
	}
	return problems, err
}

// choose puts the named projects into the scope.
func (t *tree) choose(d declared) error {
	var names []string
	for _, m := range d.set.Manifests {
		names = append(names, m.Name)
	}
	var errs []error
	for _, p := range t.projects {
		d.scope.Projects[p] = true
		if slices.Contains(names, p) {
			continue
		}
		text := fmt.Sprintf("flag --project: there is no project %s in %s", p, t.manifests)
		if near := spell.Nearest(p, names); near != "" {
			text += "; did you mean " + near + "?"
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// read reads the tree. Places where the settings let nothing go are problems as well.
func (t *tree) read(files fs.FS, config *settings.Settings) (*manifest.Set, []finding.Finding, error) {
	var mirrors []string
	if config != nil {
		mirrors = config.Promotion.Mirrors
	}
	return manifest.Load(files, t.manifests, mirrors...)
}

// base reads the tree at a commit. Where it was not there yet, it declared nothing.
func (t *tree) base(ctx context.Context, deps Deps, config *settings.Settings, rev string) (set *manifest.Set, problems []finding.Finding, err error) {
	files, _, done, err := deps.OpenCommit(ctx, t.dir, rev)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	if _, err := fs.Stat(files, t.manifests); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	return t.read(files, config)
}

// promotion are the settings, or those that are where none are named.
func (d declared) promotion() settings.Promotion {
	if d.config == nil {
		return settings.Promotion{}
	}
	return d.config.Promotion
}

// said returns the problems of the tree that matter to what is asked for: errors of the
// chosen projects, and with --since those that are new.
func (d declared) said() []finding.Finding {
	var all []finding.Finding
	for _, p := range d.problems {
		if p.Severity >= finding.Error && !d.known[p.Fingerprint()] && d.concerns(p.File) {
			all = append(all, p)
		}
	}
	return all
}

// concerns tells whether a file belongs to the chosen projects.
func (d declared) concerns(file string) bool {
	if d.scope == nil || d.scope.Projects == nil {
		return true
	}
	for _, m := range d.set.Manifests {
		if d.scope.Projects[m.Name] && (strings.HasPrefix(file, path.Dir(m.File)+"/") || strings.HasPrefix(file, path.Dir(m.Images)+"/")) {
			return true
		}
	}
	return false
}

// refuseOlder keeps a run from going back behind the last one.
func (t *tree) refuseOlder(ctx context.Context, deps Deps, last, commit string) error {
	if last == "" || last == commit {
		return nil
	}
	follows, err := deps.Ancestor(ctx, t.dir, last, commit)
	if err != nil {
		return fmt.Errorf("compare with the last commit that was promoted (fetch it, or remove %s from --state if it is gone for good): %w", appliedKey, err)
	}
	if !follows {
		return fmt.Errorf("commit %s does not contain %s, the last one that was promoted: give --rev a newer one", commit, last)
	}
	return nil
}
