// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit is the job behind `steward audit`: it reads what exists, compares it
// with what the community's repository declares, and says whose each difference is.
//
// Package audit of internal/ has the rules of a run, and asset, manifest and zone know
// what a difference is. This package chooses the collectors (collectors.go is the
// visible list), reads through interfaces that it declares, and puts the report where
// people and other jobs find it. It writes to nothing that it audits.
package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/ack"
	"sigs.k8s.io/steward/internal/acl"
	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/gitfs"
	"sigs.k8s.io/steward/internal/imageaudit"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/state"
)

// Deps is what the job needs from outside.
type Deps struct {
	// OpenCommit returns the files of a revision of the repository whose top directory
	// is dir, and the full id of the commit. The files are used until done is called.
	OpenCommit func(ctx context.Context, dir, rev string) (files fs.FS, commit string, done func() error, err error)
	// OpenState opens a store by its URL: file:// or gs://. What OpenPublic opens may be
	// read by everybody on the machine.
	OpenState, OpenPublic func(ctx context.Context, address string) (state.Store, error)
	Now                   func() time.Time // nil: time.Now
	Readers
}

// Readers are what reads what exists, one field for each part. They connect when they
// are used first.
type Readers struct {
	NameServers func(Reach) (NameServers, error)
	Buckets     func(Reach) (Buckets, error)
	Registry    func(Reach) (imageaudit.Registry, error)
}

// Reach says where the readers find what they read; the zero value is the real places.
type Reach struct {
	GCS         string              // base URL of Cloud Storage's JSON API
	Registries  map[string]string   // host of a registry -> host:port to ask instead
	NameServers map[string][]string // zone -> host:port of its servers
	Rate        float64             // requests a second to one API; 0: the reader's default
}

// id tells runs apart that read something else.
func (r Reach) id() string { return fmt.Sprintf("%s %v %v", r.GCS, r.Registries, r.NameServers) }

// source says what is audited.
type source struct {
	dir, rev string
	state    string // URL; "" keeps nothing
	resume   bool
	release  []string
	parallel int
	lockFor  time.Duration
	reach    Reach
}

// declared is one state of the repository.
type declared struct {
	files  fs.FS
	commit string
	owners *acl.Tree
}

func (s source) open(ctx context.Context, deps Deps) (d declared, done func() error, err error) {
	if s.rev == "" {
		files, err := gitfs.OpenCheckout(s.dir)
		if err != nil {
			return d, nil, fmt.Errorf("flag --dir: %w", err)
		}
		d.files, done = files, files.Close
	} else if d.files, d.commit, done, err = deps.OpenCommit(ctx, s.dir, s.rev); err != nil {
		return d, nil, fmt.Errorf("flag --rev: %w", err)
	}
	if d.owners, err = acl.Load(d.files, d.commit, acl.Options{}); err != nil {
		return d, nil, errors.Join(fmt.Errorf("read OWNERS: %w", err), done())
	}
	return d, done, nil
}

// result is what a run found.
type result struct {
	commit         string
	started, ended time.Time
	findings       []finding.Finding
	coverage       []finding.Coverage
	held           []string // what brakes say
	notes          []string
}

// complete tells that everything was read and no brake holds.
func (r *result) complete() bool { return finding.Complete(r.coverage) && len(r.held) == 0 }

// auditor is one run: read, then settle.
type auditor struct {
	deps    Deps
	source  source
	tell    func(audit.Progress)
	store   state.Store // nil: nothing is kept
	now     time.Time
	journal *audit.StoreJournal // nil: nothing is kept
}

// read audits the parts until ctx ends. Outcomes have the parts that did not fail as well.
func (a *auditor) read(ctx context.Context, d declared, parts []part) []outcome {
	outcomes := make([]outcome, len(parts))
	var all sync.WaitGroup
	for i, p := range parts {
		all.Go(func() { outcomes[i] = a.part(ctx, d, p) })
	}
	all.Wait()
	return outcomes
}

// settle keeps what was read and makes the result of it. Only a run that was told to end
// is resumed: one that reached its end with gaps would find the same ones, and what it
// read grows old. The result is valid beside an error.
func (a *auditor) settle(ctx context.Context, d declared, outcomes []outcome, interrupted bool) (result, error) {
	r := result{commit: d.commit, started: a.now}
	errs := r.join(outcomes)
	if a.journal != nil {
		errs = append(errs, a.journal.Close(ctx, !interrupted))
	}
	errs = append(errs, a.explain(ctx, d, outcomes, &r))
	r.ended = a.clock()
	return r, errors.Join(errs...)
}

// outcome is one part's.
type outcome struct {
	name string
	audit.Outcome
	err error
}

// part audits one part; problems of its declared files are findings of it.
func (a *auditor) part(ctx context.Context, d declared, p part) outcome {
	out := outcome{name: p.name}
	collector, problems, err := p.open(a.deps, a.source.reach, d.files)
	if err == nil {
		opts := audit.Options{Parallel: a.source.parallel, Release: a.source.release, Progress: a.tell}
		if a.journal != nil {
			opts.Journal = a.journal
		}
		out.Outcome, err = audit.Run(ctx, collector, opts)
	}
	if err != nil {
		out.err = fmt.Errorf("%s: %w", p.name, err)
		out.Coverage = finding.Coverage{Part: p.name, Units: 1, Gaps: []finding.Gap{audit.GapOf("all of "+p.name, err)}}
	}
	out.Findings = append(out.Findings, problems...)
	return out
}

// join collects what the parts found, in the order of the list, and their errors.
func (r *result) join(outcomes []outcome) []error {
	var errs []error
	for _, o := range outcomes {
		r.coverage = append(r.coverage, o.Coverage)
		r.notes = append(r.notes, o.Notes...)
		errs = append(errs, o.err)
		if o.Held != nil {
			r.held = append(r.held, fmt.Sprintf("%s: %d of %d declared objects seem to be gone; --release %s reports them one by one",
				o.name, o.Held.Absent, o.Held.Declared, o.Held.Hash))
		}
	}
	return errs
}

// explain gives the findings their owners, their age and their acknowledgements.
func (a *auditor) explain(ctx context.Context, d declared, outcomes []outcome, r *result) error {
	for _, o := range outcomes {
		audit.Route(o.Findings, d.owners)
	}
	err := a.remember(ctx, outcomes)
	for _, o := range outcomes {
		r.findings = append(r.findings, o.Findings...)
	}
	list, ackErr := readAcknowledged(d.files, a.now)
	r.findings = ack.Apply(list, r.findings, r.coverage, a.now)
	hideSecrets(r.findings)
	r.findings = ack.Enforce(list, r.findings, func(login, path string) bool {
		may, err := d.owners.Allowed(login, path)
		return may && err == nil
	})
	audit.Route(r.findings, d.owners)
	finding.Sort(r.findings)
	return errors.Join(err, ackErr)
}

// remember marks when findings were seen, in the outcomes and in the store.
func (a *auditor) remember(ctx context.Context, outcomes []outcome) error {
	mark := func(old []byte) ([]byte, error) {
		seen, err := audit.ParseSeen(old)
		if err != nil {
			return nil, err
		}
		for _, o := range outcomes {
			seen.Mark(o.name, o.Findings, o.Coverage.Complete() && o.Held == nil && o.err == nil, a.now)
		}
		return seen.Encode()
	}
	if a.store == nil {
		return nil // then there is no age, rather than a wrong one
	}
	if err := state.Update(ctx, a.store, seenKey, mark); err != nil {
		return fmt.Errorf("remember when findings were seen: %w", err)
	}
	return nil
}

// hideSecrets takes out of the reasons what looks like a credential: a file that people
// write by hand is no safer than an answer.
func hideSecrets(all []finding.Finding) {
	scanner := secret.NewScanner()
	for _, f := range all {
		if f.Acknowledged != nil {
			f.Acknowledged.Reason, _ = scanner.Redact(f.Acknowledged.Reason)
		}
	}
}

func readAcknowledged(files fs.FS, now time.Time) (ack.List, error) {
	raw, err := fs.ReadFile(files, ack.File)
	if errors.Is(err, fs.ErrNotExist) {
		return ack.List{}, nil
	}
	if err != nil {
		return ack.List{}, fmt.Errorf("read %s: %w", ack.File, err)
	}
	return ack.Parse(raw, now), nil
}

// Keys in the store.
const (
	lockKey    = "lock.json"
	seenKey    = "seen.json"
	privateKey = "private.json"
	idKey      = "id.key"
)

// open begins the run's journal, and says whether it goes on with another run.
func (a *auditor) open(ctx context.Context, d declared, parts []part) (note string, err error) {
	if a.store == nil {
		return "", nil
	}
	id := audit.RunID{Source: a.source.reach.id(), Started: a.now}
	for _, p := range parts {
		id.Parts = append(id.Parts, p.name)
	}
	if id.Declared, err = d.identity(parts); err != nil {
		return "", err
	}
	if a.journal, err = audit.OpenJournal(ctx, a.store, id, a.source.resume); err != nil {
		return "", fmt.Errorf("journal in --state: %w", err)
	}
	switch {
	case a.journal.From != "":
		note = "goes on with the interrupted run " + a.journal.From
	case a.source.resume:
		note = "there is no interrupted run to resume, so everything is read"
	}
	return note, nil
}

// identity is the commit, or of a working tree a digest of what the parts read.
func (d declared) identity(parts []part) (string, error) {
	if d.commit != "" {
		return d.commit, nil
	}
	digest := sha256.New()
	for _, p := range parts {
		root, _, _ := strings.Cut(p.folder, "/")
		err := fs.WalkDir(d.files, root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			content, err := fs.ReadFile(d.files, path)
			fmt.Fprintf(digest, "%q %d %v\n", path, len(content), err != nil) // a broken link is no reason to stop
			digest.Write(content)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("read %s: %w", root, err)
		}
	}
	return fmt.Sprintf("tree:%x", digest.Sum(nil)), nil
}

func (a *auditor) clock() time.Time {
	if a.deps.Now != nil {
		return a.deps.Now()
	}
	return time.Now()
}

// pick returns the parts by name, or all that the files have something for.
func pick(all []part, files fs.FS, names []string) (picked []part, skipped []string, err error) {
	for _, p := range all {
		named := slices.Contains(names, p.name)
		if len(names) > 0 && !named {
			continue
		}
		_, err := fs.Stat(files, p.folder)
		switch {
		case err == nil:
			picked = append(picked, p)
		case !errors.Is(err, fs.ErrNotExist):
			return nil, nil, fmt.Errorf("look for %s: %w", p.folder, err)
		case named:
			return nil, nil, fmt.Errorf("%s: there is no %s in the repository", p.name, p.folder)
		default:
			skipped = append(skipped, fmt.Sprintf("%s is not audited: there is no %s", p.name, p.folder))
		}
	}
	if len(picked) == 0 {
		return nil, nil, fmt.Errorf("there is nothing to audit: %s", strings.Join(skipped, "; "))
	}
	return picked, skipped, nil
}
