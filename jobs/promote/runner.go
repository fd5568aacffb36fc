// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

// The bounds of what is copied between two looks at freeze.yaml, and two entries of the
// journal.
const (
	batchJobs    = 256
	batchTargets = 6000
)

// endTimeout bounds what is kept behind an interruption. After a SIGTERM Prow kills in 15
// seconds.
const endTimeout = 5 * time.Second

// runner does what a plan says.
type runner struct {
	planned
	deps     Deps
	journal  *journal
	registry Registry
	brake    brake
	copier   *copier.Copier
	signing  *signing // nil: nobody signs, and nobody looks at signatures
	mender   mender
	progress *progress
	copying  bool     // the copy is one of the phases that were chosen
	phases   []phase  // those after it that were chosen
	all      []string // names of all phases there are, in their order

	refused map[string]bool           // images that wait for a signature, by their keys in the journal
	results map[string]*projectResult // by project
	mirrors []mirrorResult            // as set.Mirrors
	found   []finding.Finding
	sent    counters
}

// counters are for progress.
type counters struct {
	done, total, failed int
	read, sent          int64
}

// piece is a part of a project's copies that is done in one go.
type piece struct {
	project *promotion.Project
	jobs    []copier.Job
	refs    [][]ref // as jobs and their targets
}

// ref is what a target belongs to.
type ref struct {
	copy   promotion.Copy
	mirror int
}

// run copies, then does what follows. An error is one of the journal, after which nothing
// more is begun; what could not be copied is in the results.
func (r *runner) run(ctx context.Context) error {
	r.mirrors = make([]mirrorResult, len(r.set.Mirrors))
	for m, root := range r.set.Mirrors {
		r.mirrors[m].Name = root
	}
	if r.copying {
		r.screen(ctx)
		r.progress.restart()
		if err := r.copyAll(ctx); err != nil {
			return err
		}
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.verify(ctx); err != nil {
		return err
	}
	for _, p := range r.phases {
		if err := r.follow(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) of(m *manifest.Manifest) *projectResult {
	p := r.results[m.Name]
	if p == nil {
		p = &projectResult{Name: m.Name, file: m.Images, Phases: map[string]phaseResult{}, copied: map[string]bool{}, failures: map[int][]failure{}, Copies: []promotion.Copy{}}
		r.results[m.Name] = p
	}
	return p
}

// inScope tells whether a project is one of those that were asked for.
func (r *runner) inScope(m *manifest.Manifest) bool {
	return r.scope == nil || r.scope.Projects == nil || r.scope.Projects[m.Name]
}

// copyAll copies piece by piece. Small projects go together, so that none waits for the
// slowest mirror of another.
func (r *runner) copyAll(ctx context.Context) error {
	var batch []piece
	jobs, targets := 0, 0
	for _, p := range r.projects {
		for _, piece := range r.pieces(p) {
			batch = append(batch, piece)
			jobs += len(piece.jobs)
			for _, refs := range piece.refs {
				targets += len(refs)
				r.sent.total += len(refs)
			}
			if jobs < batchJobs && targets < batchTargets {
				continue
			}
			if err := r.copyBatch(ctx, batch); err != nil {
				return err
			}
			batch, jobs, targets = nil, 0, 0
		}
	}
	return r.copyBatch(ctx, batch)
}

// pieces turns a plan into jobs: all copies of an image from one source are one, so that
// it is read once.
func (r *runner) pieces(p *promotion.Project) []piece {
	var all []piece
	at := map[string]int{} // source and digest to the job of the last piece
	for _, s := range p.Plan.Steps {
		c := s.Change
		key := c.Source + "@" + c.Digest
		n, again := at[key]
		if !again {
			if len(all) == 0 || len(all[len(all)-1].jobs) >= batchJobs {
				all, at = append(all, piece{project: p}), map[string]int{}
			}
			now := &all[len(all)-1]
			n, at[key] = len(now.jobs), len(now.jobs)
			now.jobs, now.refs = append(now.jobs, copier.Job{Source: c.Source, Digest: c.Digest}), append(now.refs, nil)
		}
		now := &all[len(all)-1]
		for _, m := range c.Mirrors {
			now.jobs[n].Targets = append(now.jobs[n].Targets, r.target(c, m))
			now.refs[n] = append(now.refs[n], ref{c, m})
		}
	}
	return all
}

// target says what is known. Of tags nothing is: since the list was read somebody may have
// put one, and to ask for it is the last look before it is written.
func (r *runner) target(c promotion.Copy, mirror int) copier.Target {
	t := copier.Target{Repository: r.set.Mirrors[mirror] + "/" + c.Path, Tags: c.Tags}
	_, t.Known.New = slices.BinarySearch(c.New, mirror)
	if _, stored := slices.BinarySearch(c.Stored, mirror); stored {
		t.Known.Digests = map[string]string{c.Digest: ""}
	}
	return t
}

// copyBatch copies what is not frozen, and takes out of the journal what was done.
func (r *runner) copyBatch(ctx context.Context, batch []piece) error {
	if len(batch) == 0 {
		return nil
	}
	var free []piece
	now := r.brake.look(ctx)
	for _, p := range batch {
		if r.frozen(ctx, now, p.project.Manifest) {
			continue
		}
		free = append(free, p)
	}
	var jobs []copier.Job
	var refs [][]ref
	var owners []*promotion.Project // of jobs
	for _, p := range free {
		jobs, refs = append(jobs, p.jobs...), append(refs, p.refs...)
		for range p.jobs {
			owners = append(owners, p.project)
		}
	}
	if len(jobs) == 0 || ctx.Err() != nil {
		return nil
	}
	before := r.sent
	outcomes := r.copier.Copy(ctx, jobs, func(e copier.Event) { r.tell(before, e, refs[e.Job][e.Target].mirror) })
	for _, o := range outcomes {
		r.count(owners[o.Job].Manifest, refs[o.Job][o.Target], o)
	}
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer stop()
	var errs []error
	for _, p := range free {
		r.record(p)
		errs = append(errs, r.journal.save(keep, p.project.Manifest.Name))
	}
	return errors.Join(errs...)
}

// frozen tells whether a project must not be written to. One that was frozen once in a run
// waits for the next.
func (r *runner) frozen(ctx context.Context, now frozen, m *manifest.Manifest) bool {
	p := r.of(m)
	if p.Frozen != "" {
		return true
	}
	why := now.holding(m.File, m.Images)
	if why == "" || ctx.Err() != nil {
		return ctx.Err() != nil
	}
	p.Frozen = why
	r.found = append(r.found, finding.Finding{
		Rule: promotion.RuleFrozen, Severity: finding.Warning, Object: m.Name, File: m.File,
		Message: "the project is frozen and waits: " + why,
	})
	return true
}

// intend writes down all that the plan is about to do, before the first byte is sent and
// the commit is remembered: a run for a later commit would not look for it. So it does with
// what this one was asked for and could not see on every mirror.
func (r *runner) intend(ctx context.Context) error {
	for _, p := range r.projects {
		for _, s := range p.Plan.Steps {
			c := s.Change
			r.begin(p.Manifest.Name, pending{Path: c.Path, Digest: c.Digest, Source: c.Source, Tags: c.Tags})
		}
	}
	if r.scope != nil {
		for path, digests := range r.scope.Digests {
			if image := r.set.Image(path); image != nil && r.compared.Unknown(path) {
				r.beginUnknown(image, digests)
			}
		}
	}
	for _, m := range r.set.Manifests {
		if len(r.journal.projects[m.Name]) == 0 {
			continue
		}
		if err := r.journal.save(ctx, m.Name); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) beginUnknown(image *manifest.Image, digests map[string][]int) {
	for _, part := range image.Parts {
		if !r.inScope(part.Manifest) {
			continue
		}
		for _, d := range part.Entry.Digests {
			if _, asked := digests[d.Digest]; asked {
				r.begin(part.Manifest.Name, pending{Path: image.Path, Digest: d.Digest, Source: part.Manifest.Source + "/" + part.Entry.Name})
			}
		}
	}
}

// begin adds an image to what is left, with all phases.
func (r *runner) begin(project string, left pending) {
	left.Phases, left.Commit = r.all, r.commit
	r.journal.add(project, left)
}

// failure is a target that did not get what it was to get.
type failure struct {
	ref
	err error
}

// count adds an outcome to the results.
func (r *runner) count(m *manifest.Manifest, at ref, o copier.Outcome) {
	p := r.of(m)
	p.Bytes += o.Bytes
	r.mirrors[at.mirror].Bytes += o.Bytes
	image := at.copy.Path + "@" + at.copy.Digest
	if o.Err == nil {
		p.Done++
		r.mirrors[at.mirror].Done++
		p.copied[image] = true
		return
	}
	p.Failed++
	r.mirrors[at.mirror].Failed++
	if p.failed == nil {
		p.failed = map[string]bool{}
	}
	p.failed[image] = true
	if errors.Is(o.Err, copier.ErrTagMove) {
		r.found = append(r.found, finding.Finding{
			Rule: promotion.RuleMoved, Severity: finding.Error, Object: image, Field: r.set.Mirrors[at.mirror], File: m.Images, Line: at.copy.Line,
			Message: "a tag came to stand for another digest since the list was read, and a tag is never moved: " + reason(o.Err),
			Fix:     "find out who writes there",
		})
		return
	}
	p.failures[at.mirror] = append(p.failures[at.mirror], failure{at, o.Err})
}

func reason(err error) string { return audit.GapOf("", err).Detail }

// record takes the copy of what arrived on all mirrors out of the journal.
func (r *runner) record(p piece) {
	m := p.project.Manifest
	result := r.of(m)
	for _, refs := range p.refs {
		for _, at := range refs {
			image := at.copy.Path + "@" + at.copy.Digest
			if left, known := r.journal.projects[m.Name][image]; known && !result.failed[image] && result.copied[image] && !r.compared.Unknown(at.copy.Path) {
				r.journal.put(m.Name, left.done(copyPhase))
			}
		}
	}
}

// settle looks at what earlier runs left: what is complete by now needs no copy any more,
// and what is not declared any more needs nothing.
func (r *runner) settle(ctx context.Context) error {
	missing, held := r.objects()
	var errs []error
	for _, m := range r.set.Manifests {
		if !r.inScope(m) || r.compared.Broken(m) {
			continue
		}
		changed := false
		for _, left := range r.journal.of(m.Name) {
			switch {
			case !declares(r.set, m, left):
				left.Phases, changed = nil, true
			case left.left(copyPhase) && !missing[left.key()] && !held[left.Path] && !r.compared.Unknown(left.Path):
				left, changed = left.done(copyPhase), true
			default:
				continue
			}
			r.journal.put(m.Name, left)
		}
		if changed {
			errs = append(errs, r.journal.save(ctx, m.Name))
		}
	}
	return errors.Join(errs...)
}

// objects returns the images that production lacks, and the paths at which something is held.
func (r *runner) objects() (missing, held map[string]bool) {
	missing, held = map[string]bool{}, map[string]bool{}
	maps.Copy(missing, r.refused)
	for _, p := range r.projects {
		for _, s := range p.Plan.Steps {
			missing[s.Change.Path+"@"+s.Change.Digest] = true
		}
		for _, f := range p.Faults {
			path, _, _ := strings.Cut(f.Object, "@")
			if at := strings.LastIndexByte(path, ':'); at > 0 {
				path = path[:at]
			}
			held[path] = true
		}
	}
	return missing, held
}

// declares tells whether a manifest still declares an image.
func declares(set *manifest.Set, m *manifest.Manifest, left pending) bool {
	image := set.Image(left.Path)
	if !m.Whole {
		return true // nobody knows
	}
	return image != nil && slices.ContainsFunc(image.Parts, func(p manifest.Part) bool {
		return p.Manifest == m && slices.ContainsFunc(p.Entry.Digests, func(d manifest.Digest) bool { return d.Digest == left.Digest })
	})
}

// follow does a later phase for all images that are in production and lack it.
func (r *runner) follow(ctx context.Context, p phase) error {
	for _, m := range r.set.Manifests {
		if !r.inScope(m) || r.compared.Broken(m) {
			continue
		}
		var images []pending
		for _, left := range r.journal.of(m.Name) {
			if left.left(p.name) && (!left.left(copyPhase) || r.of(m).copied[left.key()]) {
				images = append(images, left)
			}
		}
		if len(images) == 0 || r.frozen(ctx, r.brake.look(ctx), m) {
			continue
		}
		tell := func(done, total int) {
			r.progress.tell(func() string { return fmt.Sprintf("%s %s: %d of %d images", p.name, m.Name, done, total) })
		}
		errs := p.do(ctx, work{r.set, m, r.commit, r.registry, tell}, images)
		if err := r.followed(ctx, p, m, images, errs); err != nil {
			return err
		}
	}
	return nil
}

// followed takes what a phase did out of the journal.
func (r *runner) followed(ctx context.Context, p phase, m *manifest.Manifest, images []pending, errs []error) error {
	if len(errs) != len(images) {
		return fmt.Errorf("phase %s: %d answers for %d images", p.name, len(errs), len(images))
	}
	result := phaseResult{}
	var first error
	for n, err := range errs {
		if err == nil {
			result.Done++
			r.journal.put(m.Name, images[n].done(p.name))
			continue
		}
		if result.Failed++; first == nil {
			first = fmt.Errorf("%s: %w", images[n].key(), err)
		}
	}
	r.of(m).Phases[p.name] = result
	if first != nil {
		r.found = append(r.found, finding.Finding{
			Rule: promotion.RulePhase, Severity: finding.Error, Object: m.Name, Field: p.name, File: m.Images,
			Message: fmt.Sprintf("%s is left of %d of %d images: %s", p.name, result.Failed, len(images), reason(first)),
			Fix:     "run again: only what is left is done",
		})
	}
	keep, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer stop()
	return r.journal.save(keep, m.Name)
}

// tell shows how far the copying is, and which mirror is behind.
func (r *runner) tell(before counters, e copier.Event, mirror int) {
	r.sent.done++
	if e.Err != nil {
		r.sent.failed++
	}
	r.sent.read, r.sent.sent = before.read+e.Read, before.sent+e.Sent
	r.mirrors[mirror].told++
	r.progress.tell(func() string {
		c := r.sent
		text := fmt.Sprintf("%d of %d copied, %s read, %s sent", c.done, c.total, report.Size(c.read), report.Size(c.sent))
		if c.failed > 0 {
			text += fmt.Sprintf(", %d failed", c.failed)
		}
		if left := r.progress.remaining(c.done, c.total); left > 0 {
			text += ", about " + left.String() + " left"
		}
		slowest := slices.MinFunc(r.mirrors, func(a, b mirrorResult) int { return a.told - b.told })
		return text + fmt.Sprintf("; %s has %d", slowest.Name, slowest.told)
	})
}
