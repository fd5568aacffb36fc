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
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/hub"
	"sigs.k8s.io/steward/internal/plugin"
	"sigs.k8s.io/steward/internal/queue"
	"sigs.k8s.io/steward/internal/thread"
	"sigs.k8s.io/steward/internal/webhook"
)

// expect is the journaled form of what a sender had already seen, and when we
// were told. No content is kept.
type expect struct {
	webhook.Expect
	At time.Time `json:"at"`
}

// itemOf is what the journal keeps of a delivery.
func itemOf(d webhook.Delivery) (queue.Item, error) {
	data, err := json.Marshal(expect{d.Expect, time.Now()})
	if err != nil {
		return queue.Item{}, fmt.Errorf("journal delivery %s: %w", d.GUID, err)
	}
	// Threads are compared without case, as GitHub does.
	return queue.Item{ID: d.GUID, Key: strings.ToLower(d.Thread.String()), Data: data}, nil
}

// patience is how long a snapshot that lags behind a webhook is read again before
// it is believed: the comment may have been deleted meanwhile.
const patience = 20 * time.Second

// behind asks the queue to come back soon: GitHub's API has not caught up with
// its own webhook (seen in the wild as 404 for a new pull request, and handled
// with retries in Prow's client as well).
type behind struct {
	what    string
	attempt int
}

func (b behind) Error() string { return "GitHub does not show " + b.what + " yet" }

// RetryIn doubles from half a second to eight.
func (b behind) RetryIn() time.Duration { return 250 * time.Millisecond << min(b.attempt, 5) }

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
	key.Repo = repo.name
	snapshot, err := s.snapshot(ctx, key, job)
	if err != nil || snapshot == nil {
		return err
	}
	actions, failed := repo.set.Decide(ctx, snapshot, plugin.Options{
		Enabled: repo.settings.Plugins, Aliases: repo.settings.Aliases, Members: s.hub, Here: s.here,
	}, time.Now())
	actions = append(actions, s.hub.Overtaken(snapshot)...)
	if err := s.write(ctx, snapshot, job, thread.Diff(snapshot, actions)); err != nil {
		failed = errors.Join(failed, err)
	}
	if snapshot.Where != thread.OpenPull {
		for _, n := range snapshot.Twins { // they have the head for themselves now
			s.queue.Wake(strings.ToLower(thread.Key{Repo: key.Repo, Number: n}.String()))
		}
	}
	if failed == nil && s.concernsAll(snapshot) {
		failed = s.passes.changed(ctx, snapshot)
	}
	if failed == nil {
		s.passes.looked(key, snapshot.Updated, start)
		s.metrics.looks.Observe(time.Since(start).Seconds())
	}
	return failed
}

// write performs what it can (L-7). Comments hold the answers, which say that a
// record, a pull request or a run of a job is there, or that the pool has done something:
// where one could not be made, those of the same plugin wait (L-3).
func (s *hookServer) write(ctx context.Context, snapshot *thread.Snapshot, job queue.Job, writes []thread.Write) error {
	var failed []error
	missing := map[string]bool{} // by plugin
	for _, w := range writes {
		if topic, answers := topicOf(w); answers && missing[topic] {
			continue
		}
		if err := s.perform(ctx, snapshot, job, w); err != nil {
			failed = append(failed, err)
			missing[promiser(w)] = true
		}
	}
	return errors.Join(failed...)
}

// promiser is the plugin whose answer says that the write was done, "" where none does.
func promiser(w thread.Write) string {
	name := ""
	switch w := w.(type) {
	case thread.CreateIssue:
		name = w.Key
	case thread.EditIssue:
		name = w.Key
	case thread.CreateJob:
		name = w.Key
	case thread.CallPool:
		name = w.Key
	case thread.CreatePull:
		name = strings.TrimPrefix(w.Branch, thread.BranchPrefix)
	}
	name, _, _ = strings.Cut(name, "/")
	return name
}

// topicOf is the plugin whose answers a comment holds.
func topicOf(w thread.Write) (topic string, answers bool) {
	switch w := w.(type) {
	case thread.PostComment:
		return w.Topic, true
	case thread.EditComment:
		return thread.StickyTopic(w.Body), true
	}
	return "", false
}

// concernsAll tells whether a thread may change what holds for every open pull
// request: it is a record, or merged a policy file.
func (s *hookServer) concernsAll(t *thread.Snapshot) bool {
	if t.Where == thread.MergedPull {
		return t.Base == t.Default && slices.ContainsFunc(t.Files, func(f thread.File) bool {
			return s.owners.isPolicy(t.Repo, f.Path) || f.Previous != "" && s.owners.isPolicy(t.Repo, f.Previous)
		})
	}
	return slices.ContainsFunc(t.Records, func(r thread.Record) bool { return r.Number == t.Number })
}

// snapshot returns nil without an error for a thread that is not there (any more).
func (s *hookServer) snapshot(ctx context.Context, key thread.Key, job queue.Job) (*thread.Snapshot, error) {
	snapshot, err := s.hub.Snapshot(ctx, key)
	if errors.Is(err, hub.ErrStale) {
		return nil, behind{"one moment", job.Attempt}
	}
	wants := expected(job.Items)
	if hub.IsNotFound(err) {
		if len(wants) > 0 {
			return nil, behind{"the thread", job.Attempt}
		}
		s.log.WithField("key", job.Key).WithError(err).Info("Thread is gone")
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.self.Store(&snapshot.Bot)
	if missing := unseen(snapshot, wants); missing != "" {
		return nil, behind{missing, job.Attempt}
	}
	if snapshot.BaseCommit == "" {
		s.log.WithField("key", job.Key).Info("Base branch is gone")
		return nil, nil
	}
	snapshot.Owners, err = s.owners.Owners(ctx, key.Repo, snapshot.BaseCommit)
	return snapshot, err
}

// expected are the expectations of the items that are young enough to be insisted on.
func expected(items []queue.Item) (all []expect) {
	for _, item := range items {
		var e expect
		if json.Unmarshal(item.Data, &e) == nil && time.Since(e.At) < patience {
			all = append(all, e) // an item put by hand expects nothing
		}
	}
	return all
}

// unseen names what the senders saw and the snapshot does not have.
func unseen(s *thread.Snapshot, wants []expect) string {
	var newest time.Time
	missing := map[int64]bool{}
	for _, e := range wants {
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

func (s *hookServer) perform(ctx context.Context, snapshot *thread.Snapshot, job queue.Job, w thread.Write) error {
	kind := strings.ToLower(reflect.TypeOf(w).Name())
	err := s.executor.Execute(ctx, snapshot, w)
	if errors.Is(err, hub.ErrRaced) {
		return behind{"what another process wrote", job.Attempt}
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

// teller is the executor of a dry run. It tells each write once: what is not
// written is missing again at every look.
type teller struct {
	log *logrus.Entry

	mu   sync.Mutex
	told map[string]bool
}

// maxTold bounds the memory; then everything is told once more.
const maxTold = 50_000

func (t *teller) Execute(_ context.Context, s *thread.Snapshot, w thread.Write) error {
	text := fmt.Sprintf("Would write %T: %.500s", w, fmt.Sprintf("%+v", w))
	id := s.Key.String() + text
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.told) >= maxTold {
		clear(t.told)
	}
	if !t.told[id] {
		t.told[id] = true
		t.log.WithField("key", s.Key.String()).Info(text)
	}
	return nil
}
