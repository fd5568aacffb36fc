// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin turns a snapshot into actions by asking every plugin.
//
// A plugin is a value: a name, its command rows and a watcher that says what
// should hold on every thread. It reads facts through interfaces it declares and
// decides purely; it never writes. One panicking or failing plugin costs its own
// actions only.
package plugin

import (
	"context"
	"time"

	"sigs.k8s.io/steward/internal/command"
	"sigs.k8s.io/steward/internal/thread"
)

// Plugin is one command family.
type Plugin struct {
	Name     string // lower case; the URL path Prow posts to and the topic of its sticky
	Summary  string // one sentence for the help page
	Rows     []command.Row
	Contexts []string // commit statuses that Watch sets on every open pull request
	Watch    Watcher  // nil: commands only
}

// Watcher says what should hold on a thread, commands aside. An error means that
// a fact could not be read; the thread is tried again later.
type Watcher func(context.Context, *thread.Snapshot, time.Time) ([]thread.Action, error)

// Watch joins the two halves of a watcher: load reads facts, decide is pure.
func Watch[F any](
	load func(context.Context, *thread.Snapshot) (F, error),
	decide func(*thread.Snapshot, F, time.Time) []thread.Action,
) Watcher {
	return func(ctx context.Context, s *thread.Snapshot, now time.Time) ([]thread.Action, error) {
		facts, err := load(ctx, s)
		if err != nil {
			return nil, err
		}
		return decide(s, facts, now), nil
	}
}
