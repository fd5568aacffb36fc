// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/plan"
	"sigs.k8s.io/steward/internal/report"
	"sigs.k8s.io/steward/internal/settings"
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
	last     applied
	brake    brake
	settings settings.Promotion

	files  fs.FS
	commit string // "" for a working tree
	done   []func() error
	loaded []fileTree
	past   map[string]*manifest.FileSet // trees that were read, by commit and folder
	stores map[string]filestore.Store   // by base

	projects []*fileProject
	// planned is what a preview would put into stores, which may be the source of a later tree.
	planned  map[string]filestore.Held
	found    []finding.Finding
	coverage finding.Coverage
}

// fileTree is one tree, now and before. A set is nil where nothing is known, and empty where the tree was not there.
type fileTree struct {
	dir   string
	set   *manifest.FileSet
	since *manifest.FileSet // at --since: only what it does not declare is asked for
	// faulty are projects about which not everything is known: a file may be declared there that was not understood.
	faulty map[string]bool
}

// fileProject is a project of one tree, and what became of it.
type fileProject struct {
	*filestore.Project
	tree     string
	declared *manifest.FileProject
	faulty   bool // as in its tree
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
	config, err := settingsOf(r.flags.config)
	if err != nil {
		return err
	}
	if config != nil {
		r.settings = config.Promotion
	}
	if len(r.flags.trees) == 0 {
		r.flags.trees = r.settings.FileTrees()
	}
	r.brake = brake{tree{dir: r.flags.dir, rev: r.flags.rev}, r.deps, scopesIn(config)}
	r.stores, r.planned, r.past = map[string]filestore.Store{}, map[string]filestore.Held{}, map[string]*manifest.FileSet{}
	r.coverage.Part = "stores"
	if store != nil {
		if err := r.openJournal(ctx, store); err != nil {
			return err
		}
	}
	return r.load(ctx)
}

// openJournal reads what is left, and what was promoted last.
func (r *fileRun) openJournal(ctx context.Context, store state.Store) (err error) {
	lost := func() error { return errors.New("a preview writes nothing") }
	if r.held != nil {
		lost = r.held.Lost
	}
	if r.journal, err = openJournal(ctx, store, lost); err != nil {
		return err
	}
	if r.last, err = r.journal.last(ctx); err != nil || r.held == nil {
		return err
	}
	return r.brake.tree.refuseOlder(ctx, r.deps, r.last.Commit, r.commit)
}

// load reads the trees, now and before.
func (r *fileRun) load(ctx context.Context) error {
	var names []string
	for _, dir := range r.flags.trees {
		t := fileTree{dir: dir, faulty: map[string]bool{}}
		var problems, old []finding.Finding
		var err error
		if t.set, problems, err = r.allowed(manifest.LoadFiles(r.files, dir)); err != nil {
			return fmt.Errorf("flag --files: %w", err)
		}
		if t.since, old, err = r.before(ctx, r.flags.since, dir); err != nil {
			return err
		}
		known := map[string]bool{}
		for _, p := range old {
			known[p.Fingerprint()] = true
		}
		for _, p := range t.set.Projects {
			names = append(names, p.Name)
		}
		for _, f := range problems {
			p := projectOf(t.set, f.File)
			if f.Severity < finding.Error || p == nil {
				continue
			}
			t.faulty[p.Name] = true
			if r.wanted(p.Name) && !known[f.Fingerprint()] {
				r.found = append(r.found, f)
			}
		}
		r.loaded = append(r.loaded, t)
	}
	return chosen(r.flags.projects, names)
}

// allowed adds what the settings do not allow to what was read. Nothing of such a project is promoted.
func (r *fileRun) allowed(set *manifest.FileSet, problems []finding.Finding, err error) (*manifest.FileSet, []finding.Finding, error) {
	if err != nil {
		return nil, nil, err
	}
	outside := set.Allowed(r.settings.Stores)
	for _, f := range outside {
		for _, p := range set.Projects {
			if p.Stores == f.File {
				p.Whole = false
			}
		}
	}
	return set, append(problems, outside...), nil
}

// before reads a tree as it was at a commit; nil without one. It may not have been there yet.
func (r *fileRun) before(ctx context.Context, commit, dir string) (*manifest.FileSet, []finding.Finding, error) {
	if commit == "" {
		return nil, nil, nil
	}
	if set := r.past[commit+":"+dir]; set != nil {
		return set, nil, nil
	}
	files, _, done, err := r.deps.OpenCommit(ctx, r.flags.dir, commit)
	if err != nil {
		return nil, nil, fmt.Errorf("commit %s, with which this one is compared: %w", commit, err)
	}
	r.done = append(r.done, done)
	if _, err := fs.Stat(files, path.Join(dir, "filestores")); errors.Is(err, fs.ErrNotExist) {
		return &manifest.FileSet{}, nil, nil
	}
	set, problems, err := r.allowed(manifest.LoadFiles(files, dir))
	if err != nil {
		return nil, nil, fmt.Errorf("commit %s: %w", commit, err)
	}
	r.past[commit+":"+dir] = set
	return set, problems, nil
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

// projectOf is the project that a file belongs to; nil for none.
func projectOf(set *manifest.FileSet, file string) *manifest.FileProject {
	for _, p := range set.Projects {
		if file == p.Stores || strings.HasPrefix(file, p.Lists+"/") {
			return p
		}
	}
	return nil
}

// trees does one tree after the other: the destinations of one may be the source of the next. An error is one of the
// journal, after which nothing more is begun.
func (r *fileRun) trees(ctx context.Context) error {
	for _, t := range r.loaded {
		for _, declared := range t.set.Projects {
			if !r.wanted(declared.Name) {
				continue
			}
			p := &fileProject{tree: t.dir, declared: declared, faulty: t.faulty[declared.Name], failed: map[string][]error{}}
			var err error
			if p.scope, err = r.scopeOf(ctx, t, p); err != nil {
				return err
			}
			r.projects = append(r.projects, p)
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

// scopeOf is what is looked at of a project: what changed, or all of it, and what earlier runs left. What may be overwritten
// is what was declared since this project was promoted last, whatever is looked at: a run between may have been missed.
func (r *fileRun) scopeOf(ctx context.Context, t fileTree, p *fileProject) (filestore.Scope, error) {
	s := filestore.Scope{Before: filestore.Before{}}
	if t.since != nil {
		s = filestore.Since(t.since.Project(p.declared.Name), p.declared)
	}
	last, _, err := r.before(ctx, r.last.of(p.name()), t.dir)
	if err != nil {
		return s, err
	}
	may := filestore.Before{}
	if last != nil {
		may = filestore.Since(last.Project(p.declared.Name), p.declared).Before
	}
	for _, left := range r.left(p) {
		f, declared := p.declared.File(left.Path)
		switch {
		case left.Path == everything:
			s.Names = nil
		case declared && f.SHA256 == left.Digest:
			s.Look(left.Path)
			may.Add(left.Path, left.Before...)
		case declared: // it was declared anew before it was copied
			may.Add(left.Path, left.Before...)
		}
	}
	for name, sums := range may {
		s.Look(name)
		s.Before.Add(name, sums...)
	}
	return s, nil
}

// left is what earlier runs left of a project.
func (r *fileRun) left(p *fileProject) []pending {
	if r.journal == nil {
		return nil
	}
	return r.journal.of(p.name())
}

// intend writes down what this run is about to do before its commit counts as the last one: a later run would not look
// for it.
func (r *fileRun) intend(ctx context.Context) error {
	for _, p := range r.projects {
		if p.scope.Names == nil {
			r.begin(p, pending{Path: everything})
		}
		r.promise(p)
		if len(r.journal.of(p.name())) > 0 {
			if err := r.journal.save(ctx, p.name()); err != nil {
				return err
			}
		}
	}
	return r.journal.begin(ctx, r.next())
}

// next is what stands in the journal as promoted last. A project that is not asked for, or is faulty, stays at the commit at
// which it was: what it declared then may be overwritten by what it declares when it is promoted again.
func (r *fileRun) next() applied {
	next := applied{r.commit, r.deps.now().UTC(), maps.Clone(r.last.Projects)}
	if next.Projects == nil {
		next.Projects = map[string]string{}
	}
	for _, t := range r.loaded {
		for _, p := range t.set.Projects {
			name := path.Join(t.dir, p.Name)
			if next.Projects[name] = r.last.of(name); r.wanted(p.Name) && !t.faulty[p.Name] {
				next.Projects[name] = r.commit
			}
		}
	}
	return next
}

// promise writes down files that are looked at, and all that may be overwritten. What was declared otherwise goes, unless
// it may be that what is declared now was not understood.
func (r *fileRun) promise(p *fileProject) {
	for _, left := range r.journal.of(p.name()) {
		if f, declared := p.declared.File(left.Path); left.Path != everything && !p.faulty && (!declared || f.SHA256 != left.Digest) {
			r.journal.put(p.name(), left.done(copyPhase))
		}
	}
	for _, f := range p.declared.Files {
		if before := p.scope.Before[f.Name]; len(before) > 0 || p.scope.Names != nil && p.scope.Names[f.Name] {
			r.begin(p, pending{Path: f.Name, Digest: f.SHA256, Before: before})
		}
	}
}

func (r *fileRun) begin(p *fileProject, what pending) {
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

// filesAtOnce is how many files are copied between two looks at freeze.yaml.
const filesAtOnce = 64

// copy does a plan, as long as the project is not frozen.
func (r *fileRun) copy(ctx context.Context, p *fileProject) {
	var size int64
	for _, s := range p.Plan.Steps {
		size += s.Change.Size
	}
	r.progress.restart()
	t := told{size: size}
	for steps := range slices.Chunk(p.Plan.Steps, filesAtOnce) {
		if r.holds(ctx, p) || ctx.Err() != nil {
			break
		}
		r.some(ctx, p, steps, &t)
	}
	r.failures(p)
}

// holds tells whether a project is frozen, by the folders of its stores and of its lists.
func (r *fileRun) holds(ctx context.Context, p *fileProject) bool {
	linked := path.Join(p.tree, "manifests", p.declared.Name)
	p.frozen = r.brake.look(ctx).holding(p.declared.Stores, linked, p.declared.Lists)
	if p.frozen != "" && ctx.Err() == nil {
		r.found = append(r.found, finding.Finding{
			Rule: filestore.RuleFrozen, Severity: finding.Warning, Object: p.name(), File: p.declared.Stores,
			Message: "the project is frozen and waits: " + p.frozen,
		})
	}
	return p.frozen != ""
}

// told is how far the copy of a project is.
type told struct {
	size, read int64
	done       int
}

// some does some steps of a plan.
func (r *fileRun) some(ctx context.Context, p *fileProject, steps []plan.Step[filestore.Change], t *told) {
	before := t.read
	outcomes := filestore.Copy(ctx, r.jobs(p, steps), filestore.Options{Parallel: r.flags.parallel}, func(e filestore.Event) {
		t.done, t.read = t.done+1, before+e.Read
		r.progress.tell(func() string {
			text := fmt.Sprintf("%s: %d of %d copied, %s of %s read", p.name(), t.done, p.targets, report.Size(t.read), report.Size(t.size))
			if left := r.progress.remaining(t.done, p.targets); left > 0 {
				text += ", about " + left.String() + " left"
			}
			return text
		})
	})
	for _, o := range outcomes {
		change := steps[o.Job].Change
		if o.Err != nil {
			p.failed[change.Name] = append(p.failed[change.Name], fmt.Errorf("%s: %w", p.Stores[change.To[o.Target]], o.Err))
			continue
		}
		p.copied++
		p.bytes += o.Bytes
		p.byStore[change.To[o.Target]]++
	}
}

// jobs are the steps of a plan as they are copied.
func (r *fileRun) jobs(p *fileProject, steps []plan.Step[filestore.Change]) (jobs []filestore.Job) {
	for _, s := range steps {
		c := s.Change
		job := filestore.Job{Name: c.Name, SHA256: c.SHA256, From: r.stores[p.Stores[c.From]]}
		for i, to := range c.To {
			t := filestore.Target{Store: r.stores[p.Stores[to]], Replaces: c.Replaced[i]}
			if t.Replaces != "" {
				t.Kept = keptName(c.Name, c.Former[i])
			}
			job.To = append(job.To, t)
		}
		jobs = append(jobs, job)
	}
	return jobs
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
// asked for stays; so does a file that may be overwritten, and was not because something is wrong with it.
func (r *fileRun) settle(ctx context.Context, p *fileProject) error {
	if p.unread || p.frozen != "" || ctx.Err() != nil {
		return nil
	}
	faulty := map[string]bool{} // names
	for _, f := range p.Faults {
		faulty[strings.TrimPrefix(f.Object, p.Name+"/")] = true
	}
	for _, left := range r.journal.of(p.name()) {
		f, declared := p.declared.File(left.Path)
		unclear := p.faulty && (!declared || f.SHA256 != left.Digest)
		held := unclear || len(p.failed[left.Path]) > 0 || len(left.Before) > 0 && faulty[left.Path]
		if left.Path == everything && len(p.failed) == 0 || left.Path != everything && !held {
			r.journal.put(p.name(), left.done(copyPhase))
		}
	}
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer stop()
	return r.journal.save(keep, p.name())
}
