// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/internal/webhook"
)

// itemOf is the journaled form of a delivery: what to look at, and what the
// sender had already seen. No content is kept.
func itemOf(d webhook.Delivery) (queue.Item, error) {
	data, err := json.Marshal(d.Expect)
	if err != nil {
		return queue.Item{}, fmt.Errorf("journal delivery %s: %w", d.GUID, err)
	}
	// Threads are compared without case, as GitHub does.
	return queue.Item{ID: d.GUID, Key: strings.ToLower(d.Thread.String()), Data: data}, nil
}

// staleTries is how often a snapshot that lags behind a webhook is read again
// before it is believed: the comment may have been deleted meanwhile.
const staleTries = 5

// behind asks the queue to come back soon: GitHub's API has not caught up with
// its own webhook (seen in the wild as 404 for a new pull request, and handled
// with retries in Prow's client as well).
type behind struct {
	what    string
	attempt int
}

func (b behind) Error() string { return "GitHub does not show " + b.what + " yet" }

// RetryIn doubles from a quarter of a second.
func (b behind) RetryIn() time.Duration { return 250 * time.Millisecond << b.attempt }

// look reads one thread, decides, and writes what is missing. It is the only
// thing that ever happens to a thread, whatever the reason.
func (s *hookServer) look(ctx context.Context, job queue.Job) error {
	start := time.Now()
	key, err := thread.ParseKey(job.Key)
	if err != nil {
		return err
	}
	repo := s.config.Load().repo(key.Repo)
	if repo == nil {
		return nil // taken out of the settings meanwhile
	}
	snapshot, err := s.snapshot(ctx, key, job)
	if err != nil || snapshot == nil {
		return err
	}
	actions, failed := repo.set.Decide(ctx, snapshot, plugin.Options{
		Enabled: repo.settings.Plugins, Aliases: repo.settings.Aliases, Members: s.hub, Here: s.here,
	}, time.Now())
	for _, w := range thread.Diff(snapshot, actions) {
		if err := s.perform(ctx, snapshot, w); err != nil {
			return errors.Join(failed, err)
		}
	}
	if failed == nil && s.concernsAll(snapshot) {
		failed = s.passes.wakeOpen(ctx, key.Repo)
	}
	if failed == nil {
		s.passes.looked(key, snapshot.Updated, start)
		s.metrics.looks.Observe(time.Since(start).Seconds())
	}
	return failed
}

// concernsAll tells whether every open pull request has to be looked at: after a
// change of a record, or of a policy file by a merge.
func (s *hookServer) concernsAll(t *thread.Snapshot) bool {
	if t.Where == thread.MergedPull {
		return slices.ContainsFunc(t.Files, func(f thread.File) bool {
			return s.owners.isPolicy(t.Repo, f.Path) || f.Previous != "" && s.owners.isPolicy(t.Repo, f.Previous)
		})
	}
	return slices.ContainsFunc(t.Records, func(r thread.Record) bool { return r.Number == t.Number })
}

// snapshot returns nil without an error for a thread that is not there (any more).
func (s *hookServer) snapshot(ctx context.Context, key thread.Key, job queue.Job) (*thread.Snapshot, error) {
	snapshot, err := s.hub.Snapshot(ctx, key)
	if hub.IsNotFound(err) {
		if job.Attempt <= staleTries && len(job.Items) > 0 {
			return nil, behind{"the thread", job.Attempt}
		}
		s.log.WithField("key", job.Key).WithError(err).Info("Thread is gone")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.self.Store(&snapshot.Bot)
	if missing := unseen(snapshot, job.Items); missing != "" && job.Attempt <= staleTries {
		return nil, behind{missing, job.Attempt}
	}
	if snapshot.BaseCommit == "" {
		s.log.WithField("key", job.Key).Info("Base branch is gone")
		return nil, nil
	}
	snapshot.Owners, err = s.owners.Owners(ctx, key.Repo, snapshot.BaseCommit)
	return snapshot, err
}

// unseen names what the senders of the items saw and the snapshot does not have.
func unseen(s *thread.Snapshot, items []queue.Item) string {
	var newest time.Time
	missing := map[int64]bool{}
	for _, item := range items {
		var e webhook.Expect
		if json.Unmarshal(item.Data, &e) != nil {
			continue // put by hand
		}
		if e.Updated.After(newest) {
			newest = e.Updated
		}
		if e.Comment != 0 {
			missing[e.Comment] = true
		}
	}
	for _, c := range s.Comments {
		delete(missing, c.ID)
	}
	switch {
	case len(missing) > 0:
		return fmt.Sprintf("%d of the comments", len(missing))
	case s.Updated.Before(newest):
		return "the last change"
	}
	return ""
}

func (s *hookServer) perform(ctx context.Context, snapshot *thread.Snapshot, w thread.Write) error {
	kind := strings.ToLower(reflect.TypeOf(w).Name())
	err := s.executor.Execute(ctx, snapshot, w)
	if errors.Is(err, hub.ErrRaced) {
		return behind{"what another process wrote", 0}
	}
	if err != nil {
		s.metrics.writes.WithLabelValues(kind, "failed").Inc()
		return fmt.Errorf("%s on %s: %w", kind, snapshot.Key, err)
	}
	s.metrics.writes.WithLabelValues(kind, "done").Inc()
	if !s.opts.DryRun {
		s.log.WithFields(logrus.Fields{"key": snapshot.Key.String(), "write": kind}).Info("Written")
	}
	return nil
}

// teller is the executor of a dry run.
type teller struct{ log *logrus.Entry }

func (t teller) Execute(_ context.Context, s *thread.Snapshot, w thread.Write) error {
	t.log.WithField("key", s.Key.String()).Infof("Would write %T: %+v", w, w)
	return nil
}
