// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/spell"
	"sigs.k8s.io/steward/internal/state"
)

// everything stands in the journal for all files of a project: a whole run had begun with it.
const everything = "*"

// fileRun is one run over trees of file manifests. Nothing is written where held is nil.
type fileRun struct {
	flags    *filesFlags
	deps     Deps
	progress *progress
	held     *state.Hold
	journal  *journal // nil without --state
	brake    brake

	files  fs.FS
	commit string // "" for a working tree
	done   []func() error
	loaded []fileTree
	stores map[string]filestore.Store // by base

	projects []*fileProject
	// planned is what a preview would put into stores, which may be the source of a later tree.
	planned  map[string]filestore.Held
	found    []finding.Finding
	coverage finding.Coverage
}

// fileTree is one tree, now and at the commit before.
type fileTree struct {
	set, base *manifest.FileSet // base is nil where nothing is known, and empty where the tree was not there
	narrow    bool              // only what base does not declare is asked for
}

// fileProject is a project of one tree, and what became of it.
type fileProject struct {
	*filestore.Project
	tree     string
	declared *manifest.FileProject
	scope    filestore.Scope
	frozen   string
	unread   bool
	targets  int
	copied   int
	bytes    int64
	failed   map[string][]error // by name
	byStore  []int              // copied, as Stores
}

// name tells projects of several trees apart.
func (p *fileProject) name() string { return path.Join(p.tree, p.declared.Name) }

func (r *fileRun) close() error {
	var errs []error
	for _, done := range slices.Backward(r.done) {
		errs = append(errs, done())
	}
	return errors.Join(errs...)
}

// open reads what is declared, and what earlier runs left.
func (r *fileRun) open(ctx context.Context, store state.Store) error {
	if r.flags.rev == "" {
		files, err := gitfs.OpenCheckout(r.flags.dir)
		if err != nil {
			return fmt.Errorf("flag --dir: %w", err)
		}
		r.files, r.done = files, append(r.done, files.Close)
	} else {
		files, commit, done, err := r.deps.OpenCommit(ctx, r.flags.dir, r.flags.rev)
		if err != nil {
			return fmt.Errorf("flag --rev: %w", err)
		}
		r.files, r.commit, r.done = files, commit, append(r.done, done)
	}
	scopes, err := scopesOf(r.flags.config)
	if err != nil {
		return err
	}
	r.brake = brake{tree{dir: r.flags.dir, rev: r.flags.rev}, r.deps, scopes}
	r.stores, r.planned = map[string]filestore.Store{}, map[string]filestore.Held{}
	r.coverage.Part = "stores"
	before := r.flags.since
	if store != nil {
		if before, err = r.openJournal(ctx, store); err != nil {
			return err
		}
	}
	return r.load(ctx, before)
}

// openJournal reads what is left, and returns the commit with which this one is compared.
func (r *fileRun) openJournal(ctx context.Context, store state.Store) (before string, err error) {
	lost := func() error { return errors.New("a preview writes nothing") }
	if r.held != nil {
		lost = r.held.Lost
	}
	if r.journal, err = openJournal(ctx, store, lost); err != nil {
		return "", err
	}
	last, err := r.journal.last(ctx)
	if err != nil {
		return "", err
	}
	if r.held != nil {
		if err := r.brake.tree.refuseOlder(ctx, r.deps, r.journal, r.commit); err != nil {
			return "", err
		}
	}
	if r.flags.since != "" {
		return r.flags.since, nil
	}
	return last, nil
}

// load reads the trees, at the commit and at the one before.
func (r *fileRun) load(ctx context.Context, before string) error {
	var base fs.FS
	if before != "" {
		files, _, done, err := r.deps.OpenCommit(ctx, r.flags.dir, before)
		if err != nil {
			return fmt.Errorf("commit %s, with which this one is compared: %w", before, err)
		}
		base, r.done = files, append(r.done, done)
	}
	var names []string
	for _, dir := range r.flags.trees {
		set, problems, err := manifest.LoadFiles(r.files, dir)
		if err != nil {
			return fmt.Errorf("flag --files: %w", err)
		}
		t := fileTree{set: set, narrow: r.flags.since != ""}
		known := map[string]bool{}
		if base != nil {
			var old []finding.Finding
			if t.base, old, err = loadBase(base, dir); err != nil {
				return fmt.Errorf("commit %s: %w", before, err)
			}
			for _, p := range old {
				known[p.Fingerprint()] = t.narrow
			}
		}
		for _, p := range problems {
			if p.Severity >= finding.Error && !known[p.Fingerprint()] && r.concerns(set, p.File) {
				r.found = append(r.found, p)
			}
		}
		for _, p := range set.Projects {
			names = append(names, p.Name)
		}
		r.loaded = append(r.loaded, t)
	}
	return chosen(r.flags.projects, names)
}

// loadBase reads a tree that may not have been there yet.
func loadBase(base fs.FS, dir string) (*manifest.FileSet, []finding.Finding, error) {
	if _, err := fs.Stat(base, path.Join(dir, "filestores")); errors.Is(err, fs.ErrNotExist) {
		return &manifest.FileSet{}, nil, nil
	}
	return manifest.LoadFiles(base, dir)
}

// chosen refuses projects that do not exist.
func chosen(wanted, names []string) error {
	var errs []error
	for _, w := range wanted {
		if slices.Contains(names, w) {
			continue
		}
		text := fmt.Sprintf("flag --project: there is no project %s", w)
		if near := spell.Nearest(w, names); near != "" {
			text += "; did you mean " + near + "?"
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

func (r *fileRun) wanted(project string) bool {
	return len(r.flags.projects) == 0 || slices.Contains(r.flags.projects, project)
}

// concerns tells whether a file belongs to a chosen project.
func (r *fileRun) concerns(set *manifest.FileSet, file string) bool {
	return slices.ContainsFunc(set.Projects, func(p *manifest.FileProject) bool {
		return r.wanted(p.Name) && (file == p.Stores || strings.Contains(file, "/manifests/"+p.Name+"/"))
	})
}

// trees does one tree after the other: the destinations of one may be the source of the next. An error is one of the
// journal, after which nothing more is begun.
func (r *fileRun) trees(ctx context.Context) error {
	for i, t := range r.loaded {
		for _, declared := range t.set.Projects {
			if r.wanted(declared.Name) {
				p := &fileProject{tree: r.flags.trees[i], declared: declared, scope: r.scopeOf(t, declared, r.flags.trees[i]), failed: map[string][]error{}}
				r.projects = append(r.projects, p)
			}
		}
	}
	if r.held != nil {
		if err := r.intend(ctx); err != nil {
			return err
		}
	}
	for _, p := range r.projects {
		if err := r.project(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// scopeOf is what is looked at of a project: what changed, or all of it, and what earlier runs left.
func (r *fileRun) scopeOf(t fileTree, p *manifest.FileProject, dir string) filestore.Scope {
	var s filestore.Scope
	if t.base != nil {
		s = filestore.Since(t.base.Project(p.Name), p)
	}
	if !t.narrow {
		s.Names = nil
	}
	if s.Before == nil {
		s.Before = map[string]string{}
	}
	if r.journal == nil {
		return s
	}
	for _, left := range r.journal.of(path.Join(dir, p.Name)) {
		switch f, declared := p.File(left.Path); {
		case left.Path == everything:
			s.Names = nil
		case !declared || f.SHA256 != left.Digest:
		default:
			if s.Names != nil {
				s.Names[left.Path] = true
			}
			if s.Before[left.Path] == "" && left.Before != "" {
				s.Before[left.Path] = left.Before
			}
		}
	}
	return s
}

// intend writes down what this run is about to do before its commit counts as the last one: a later run would not look
// for it.
func (r *fileRun) intend(ctx context.Context) error {
	for _, p := range r.projects {
		if p.scope.Names == nil {
			r.left(p, pending{Path: everything})
		}
		for _, f := range p.declared.Files {
			if before := p.scope.Before[f.Name]; before != "" || p.scope.Names != nil && p.scope.Names[f.Name] {
				r.left(p, pending{Path: f.Name, Digest: f.SHA256, Before: before})
			}
		}
		if len(r.journal.of(p.name())) > 0 {
			if err := r.journal.save(ctx, p.name()); err != nil {
				return err
			}
		}
	}
	return r.journal.begin(ctx, applied{r.commit, r.deps.now().UTC()})
}

func (r *fileRun) left(p *fileProject, what pending) {
	what.Phases, what.Commit = []string{copyPhase}, r.commit
	r.journal.put(p.name(), what)
}

// project plans one project and, where that is confirmed, does it.
func (r *fileRun) project(ctx context.Context, p *fileProject) error {
	held := r.read(ctx, p)
	var err error
	if p.Project, err = filestore.Compare(p.declared, p.scope, held, r.commit); err != nil {
		return err
	}
	for _, s := range p.Plan.Steps {
		p.targets += len(s.Change.To)
	}
	p.byStore = make([]int, len(p.Stores))
	if r.held == nil {
		r.suppose(p)
		return nil
	}
	if !p.Plan.Empty() && ctx.Err() == nil {
		r.copy(ctx, p)
	}
	return r.settle(ctx, p)
}

// suppose remembers what a plan would put where.
func (r *fileRun) suppose(p *fileProject) {
	for _, s := range p.Plan.Steps {
		for _, to := range s.Change.To {
			base := p.Stores[to]
			if r.planned[base] == nil {
				r.planned[base] = filestore.Held{}
			}
			r.planned[base][s.Change.Name] = filestore.Object{Name: s.Change.Name, Size: s.Change.Size, SHA256: s.Change.SHA256}
		}
	}
}

// copy does a plan, unless the project is frozen.
func (r *fileRun) copy(ctx context.Context, p *fileProject) {
	lists := path.Join(path.Dir(path.Dir(path.Dir(p.declared.Stores))), "manifests", p.declared.Name)
	if p.frozen = r.brake.look(ctx).holding(p.declared.Stores, lists); p.frozen != "" {
		if ctx.Err() == nil {
			r.found = append(r.found, finding.Finding{
				Rule: filestore.RuleFrozen, Severity: finding.Warning, Object: p.name(), File: p.declared.Stores,
				Message: "the project is frozen and waits: " + p.frozen,
			})
		}
		return
	}
	var jobs []filestore.Job
	var size int64
	for _, s := range p.Plan.Steps {
		c := s.Change
		job := filestore.Job{Name: c.Name, SHA256: c.SHA256, From: r.stores[p.Stores[c.From]]}
		for i, to := range c.To {
			t := filestore.Target{Store: r.stores[p.Stores[to]], Replaces: c.Replaced[i]}
			if t.Replaces != "" {
				t.Kept = keptName(c.Name, p.scope.Before[c.Name])
			}
			job.To = append(job.To, t)
		}
		jobs, size = append(jobs, job), size+c.Size
	}
	r.progress.restart()
	done := 0
	outcomes := filestore.Copy(ctx, jobs, filestore.Options{Parallel: r.flags.parallel}, func(e filestore.Event) {
		done++
		r.progress.tell(func() string {
			text := fmt.Sprintf("%s: %d of %d copied, %s of %s read", p.name(), done, p.targets, report.Size(e.Read), report.Size(size))
			if left := r.progress.remaining(done, p.targets); left > 0 {
				text += ", about " + left.String() + " left"
			}
			return text
		})
	})
	for _, o := range outcomes {
		change := p.Plan.Steps[o.Job].Change
		if o.Err != nil {
			p.failed[change.Name] = append(p.failed[change.Name], fmt.Errorf("%s: %w", p.Stores[change.To[o.Target]], o.Err))
			continue
		}
		p.copied++
		p.bytes += o.Bytes
		p.byStore[change.To[o.Target]]++
	}
	r.failures(p)
}

// keptName is where a copy of what is overwritten stays: beside all others, by the beginning of its sha256.
func keptName(name, sum string) string { return ".replaced/" + name + "." + sum[:12] }

// failures reports what did not arrive, a finding for each store.
func (r *fileRun) failures(p *fileProject) {
	first, count := map[string]string{}, map[string]int{}
	for _, s := range p.Plan.Steps {
		for _, err := range p.failed[s.Change.Name] {
			store, why, _ := strings.Cut(err.Error(), ": ")
			if count[store]++; count[store] == 1 {
				first[store] = s.Change.Name + ": " + why
			}
		}
	}
	for _, store := range p.Stores {
		if count[store] > 0 {
			r.found = append(r.found, finding.Finding{
				Rule: filestore.RuleFailed, Severity: finding.Error, Object: store, Field: p.name(), File: p.declared.Stores,
				Message: fmt.Sprintf("%s of %s did not arrive; %s", report.Number(count[store], "file"), p.name(), audit.GapOf("", errors.New(first[store])).Detail),
				Fix:     "run again when the store works: only what is left is copied",
			})
		}
	}
}

// settle takes out of the journal what was done. Of a project that could not be looked at whole, or waits, all that was
// asked for stays.
func (r *fileRun) settle(ctx context.Context, p *fileProject) error {
	if p.unread || p.frozen != "" || ctx.Err() != nil {
		return nil
	}
	for _, left := range r.journal.of(p.name()) {
		whole := left.Path == everything && len(p.failed) == 0
		if whole || left.Path != everything && len(p.failed[left.Path]) == 0 {
			r.journal.put(p.name(), left.done(copyPhase))
		}
	}
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer stop()
	return r.journal.save(keep, p.name())
}
