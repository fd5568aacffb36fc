// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"slices"
	"sync"

	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/state"
)

// mender is what --repair looks for, and with what. The zero value looks for nothing.
type mender struct {
	repairs
	store    state.Store
	parallel int
}

// verifyAtOnce is how many images are verified between two entries of the journal.
const verifyAtOnce = 1000

// verify finds out which images of production are signed, after the copy: what is new there does not wait for it. What lacks
// something goes into the journal, for the phases behind it. What was found is kept, however the run ends.
func (r *runner) verify(ctx context.Context) error {
	if r.mender.seal == nil || len(r.sealed) == 0 {
		return nil
	}
	reader := newReader(r.registry, r.mender.parallel, r.progress.read)
	reader.repairs = r.mender.repairs
	var failed error
	for some := range slices.Chunk(r.sealed, verifyAtOnce) {
		var all []lacking
		ended := reader.verify(ctx, some, func(s sealed, signed, recorded bool) { all = append(all, lackingOf(s, signed, recorded)) })
		keep, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		failed = errors.Join(r.mender.proven.save(keep, r.mender.store), r.enter(keep, r.mend(r.believed(ctx, all))))
		stop()
		if failed != nil || ended != nil {
			break
		}
	}
	r.progress.end()
	r.coverage = append(r.coverage, reader.covered("signatures"))
	return failed
}

// lackingOf is what an image lacks: the phases that make it.
func lackingOf(s sealed, signed, recorded bool) lacking {
	l := lacking{path: s.path, digest: s.digest}
	if !signed {
		l.phases = append(l.phases, signPhase)
	}
	if !recorded {
		l.phases = append(l.phases, attestPhase)
	}
	return l
}

// believed leaves out images that nobody signs, because a rule of their project asks for a signature that they do not carry:
// production has what staging was signed with.
func (r *runner) believed(ctx context.Context, all []lacking) []lacking {
	var mu sync.Mutex
	refused := make([]bool, len(all))
	pace.Each(all, signAtOnce, func(i int, l lacking) {
		part, d := r.declaredBy(l)
		if part == nil || !slices.Contains(l.phases, signPhase) {
			return
		}
		rule := r.signing.rule(part.Manifest)
		if rule == nil {
			return
		}
		repository := r.mender.canonical + "/" + l.path
		_, err := rule.screen(ctx, r.registry, repository, l.digest)
		f, held := verdict(*rule, part.Manifest, promotion.Copy{Path: l.path, Digest: l.digest, Source: repository, Line: d.Line}, err)
		mu.Lock()
		defer mu.Unlock()
		if refused[i] = held; f != nil && ctx.Err() == nil {
			r.found = append(r.found, *f)
		}
	})
	var left []lacking
	for i, l := range all {
		if !refused[i] {
			left = append(left, l)
		}
	}
	return left
}

// declaredBy is where an image is declared first, in a project that was asked for and is promoted; nil for nowhere.
func (r *runner) declaredBy(l lacking) (*manifest.Part, manifest.Digest) {
	image := r.set.Image(l.path)
	if image == nil {
		return nil, manifest.Digest{}
	}
	for i := range image.Parts {
		part := &image.Parts[i]
		at := slices.IndexFunc(part.Entry.Digests, func(d manifest.Digest) bool { return d.Digest == l.digest })
		if at >= 0 && r.inScope(part.Manifest) && !r.compared.Broken(part.Manifest) {
			return part, part.Entry.Digests[at]
		}
	}
	return nil, manifest.Digest{}
}

// mend puts what is in production and lacks something into the journal, for the phases behind the copy. It returns the
// projects.
func (r *runner) mend(all []lacking) []string {
	var projects []string
	for _, l := range all {
		part, _ := r.declaredBy(l)
		if part == nil {
			continue
		}
		m := part.Manifest
		r.journal.add(m.Name, pending{
			Path: l.path, Digest: l.digest, Source: m.Source + "/" + part.Entry.Name, Commit: r.commit, Phases: l.phases, Found: true,
		})
		if !slices.Contains(projects, m.Name) {
			projects = append(projects, m.Name)
		}
	}
	return projects
}

// enter writes what is left of projects.
func (r *runner) enter(ctx context.Context, projects []string) error {
	var errs []error
	for _, p := range projects {
		errs = append(errs, r.journal.save(ctx, p))
	}
	return errors.Join(errs...)
}
