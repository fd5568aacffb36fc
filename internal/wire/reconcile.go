// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/thread"
)

// reconciler finds what a lost webhook would have triggered: threads that
// changed since they were last looked at, open pull requests whose head lacks a
// required context or has one pending, and all open pull requests where the
// policy files of the default branch or the findings of the audit changed. It keeps
// nothing on disk: after a loss of the volume the first pass looks further back.
type reconciler struct {
	server *hookServer

	passing sync.Mutex // one pass at a time

	mu    sync.Mutex
	since map[thread.Repo]time.Time
	last  map[string]seen   // threads at their last complete look
	rules map[string]string // digests of what concerns every pull request, by repository and kind
}

// seen is the updated_at of a thread, and when it was looked at.
type seen struct{ updated, at time.Time }

const (
	// pendingEvery is how often a pull request that waits for something outside
	// itself is looked at for that alone.
	pendingEvery = 30 * time.Minute
	// overlap covers the difference between GitHub's clock and ours.
	overlap = 2 * time.Minute
	// maxLooked bounds the memory of last.
	maxLooked = 200_000
)

func newReconciler(s *hookServer) *reconciler {
	return &reconciler{server: s, since: map[thread.Repo]time.Time{}, last: map[string]seen{}, rules: map[string]string{}}
}

// run makes passes until ctx ends, the first one at once.
func (r *reconciler) run(ctx context.Context) {
	log := r.server.log.WithField("part", "reconcile")
	for {
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			log.WithError(err).Warning("Pass not complete")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(r.server.config.Load().settings.Reconcile)):
		}
	}
}

// reload reads the settings again; where they do not hold, the former ones stay.
func (r *reconciler) reload() {
	valid := 1.0
	if err := r.server.reload(); err != nil {
		valid = 0
		r.server.log.WithField("part", "reconcile").WithError(err).Error("Settings not read; the former ones stay in force")
	}
	r.server.metrics.settings.Set(valid)
}

// pass reads the settings again and looks through every repository. One that fails does not stop the others,
// and is looked through from the same moment next time.
func (r *reconciler) pass(ctx context.Context) error {
	r.passing.Lock()
	defer r.passing.Unlock()
	r.reload()
	var failed []error
	for _, repo := range r.server.config.Load().settings.List() {
		if err := r.repo(ctx, repo); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		r.server.metrics.reconciled.SetToCurrentTime()
	}
	return errors.Join(failed...)
}

func (r *reconciler) repo(ctx context.Context, repo thread.Repo) error {
	start := time.Now()
	r.mu.Lock()
	since, known := r.since[repo]
	r.mu.Unlock()
	if !known {
		since = start.Add(-r.server.opts.ReconcileWindow)
	}
	changed, err := r.server.hub.UpdatedSince(ctx, repo, since)
	if err != nil {
		return err
	}
	open, commit, err := r.server.hub.OpenPulls(ctx, repo)
	if err != nil {
		return err
	}
	policy, err := r.policy(ctx, repo, commit)
	if err != nil {
		return err
	}
	drift := r.drift(ctx, repo)
	same := r.known(repo, "policy", policy) && r.known(repo, "report", drift)
	woken := r.wake(repo, changed, true) + r.wake(repo, open, same)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since[repo] = start.Add(-overlap)
	r.rules[repo.String()+" policy"], r.rules[repo.String()+" report"] = policy, drift
	r.server.log.WithField("part", "reconcile").WithField("repo", repo.String()).
		WithField("changed", len(changed)).WithField("open", len(open)).WithField("woken", woken).
		WithField("duration", time.Since(start).String()).Debug("Pass")
	return nil
}

// known tells whether a digest is the one that all open pull requests have seen.
func (r *reconciler) known(repo thread.Repo, kind, digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules[repo.String()+" "+kind] == digest
}

// changed schedules every open pull request where the thread has changed what
// holds for all of them, and not when somebody merely comments there.
func (r *reconciler) changed(ctx context.Context, t *thread.Snapshot) error {
	kind, digest := "records", recordsDigest(t.Records)
	if t.Where == thread.MergedPull {
		policy, err := r.policy(ctx, t.Repo, t.BaseCommit)
		if err != nil {
			return err
		}
		kind, digest = "policy", policy
	}
	if r.known(t.Repo, kind, digest) {
		return nil
	}
	if err := r.wakeOpen(ctx, t.Repo); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules[t.Repo.String()+" "+kind] = digest
	return nil
}

// policy is a digest of the policy files at a commit and of the settings: both
// decide about pull requests that get no event when they change.
func (r *reconciler) policy(ctx context.Context, repo thread.Repo, commit string) (string, error) {
	files, err := r.server.owners.policy(ctx, repo, commit)
	conf := r.server.config.Load().settings
	return fmt.Sprintf("%x %+v %s", files, conf.For(repo), conf.Links), err
}

// drift is a digest of the audit's report, which statuses tell of. One that cannot be
// read changes nothing while an older one is known.
func (r *reconciler) drift(ctx context.Context, repo thread.Repo) string {
	if r.server.drift(repo).Report == "" {
		return ""
	}
	return r.server.reports.digest(ctx, repo)
}

func recordsDigest(records []thread.Record) string {
	lines := make([]string, len(records))
	for i, rec := range records {
		lines[i] = fmt.Sprintf("%d %s %v %q", rec.Number, rec.Key, rec.Stamp, rec.Data)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// wake schedules the listed threads that need a look, and counts them. With
// same unset all of them do, whatever is known of them.
func (r *reconciler) wake(repo thread.Repo, listed []hub.Listed, same bool) int {
	conf := r.server.config.Load().repo(repo)
	if conf == nil {
		return 0
	}
	required := r.server.required(conf)
	n := 0
	for _, l := range listed {
		key := strings.ToLower(l.Key.String())
		r.mu.Lock()
		last := r.last[key]
		r.mu.Unlock()
		recent := time.Since(last.at) < pendingEvery
		if same && last.updated.Equal(l.Updated) && (l.Contexts == nil || settled(l.Contexts, required, recent)) {
			continue
		}
		r.server.queue.Wake(key)
		n++
	}
	return n
}

// wakeOpen schedules every open pull request of a repository.
func (r *reconciler) wakeOpen(ctx context.Context, repo thread.Repo) error {
	open, _, err := r.server.hub.OpenPulls(ctx, repo)
	for _, l := range open {
		r.server.queue.Wake(strings.ToLower(l.Key.String()))
	}
	return err
}

// settled tells that every context is there and waits for nothing, or was seen
// waiting recently. What a pending one waits for, for example a date, sends no event.
func settled(have map[string]thread.State, want []string, recent bool) bool {
	for _, w := range want {
		if have[w] == "" || have[w] == thread.Pending && !recent {
			return false
		}
	}
	return true
}

// looked remembers the state in which a thread needed nothing more. GitHub's
// times are whole seconds of another clock: what happens right after a look can
// carry the same time, so that a fresh state is looked at once more.
func (r *reconciler) looked(key thread.Key, updated, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at.Sub(updated) < overlap {
		delete(r.last, strings.ToLower(key.String()))
		return
	}
	if len(r.last) >= maxLooked {
		clear(r.last)
	}
	r.last[strings.ToLower(key.String())] = seen{updated, at}
}
