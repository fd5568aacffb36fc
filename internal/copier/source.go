// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
)

// outages gives up sources that do not answer, project by project: each question to one takes minutes to fail. Manifests and
// blobs have each their own, because the one may be had where the other hangs.
type outages struct {
	limit int // failures in a row

	mu     sync.Mutex
	failed map[string]int // by group
	last   map[string]error
}

func newOutages(limit int) *outages {
	return &outages{limit: limit, failed: map[string]int{}, last: map[string]error{}}
}

// ask does something with a source, unless that was given up.
func (o *outages) ask(group string, do func() error) error {
	if err := o.over(group); err != nil {
		return err
	}
	err := do()
	o.mu.Lock()
	defer o.mu.Unlock()
	if silent(err) {
		o.failed[group]++
		o.last[group] = err
	} else {
		o.failed[group] = 0
	}
	return err
}

func (o *outages) over(group string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed[group] < o.limit {
		return nil
	}
	return fmt.Errorf("%s: %w after %d failures in a row, the last: %w", group, ErrGivenUp, o.limit, o.last[group])
}

// silent tells that a source gave no answer that means anything. What it answered is a matter of one image, and that it wants to be
// asked less often (429), one of the pace.
func silent(err error) bool {
	var unread *audit.Unread
	if !errors.As(err, &unread) {
		return false
	}
	return unread.Reason == finding.Unavailable || unread.Reason == finding.TimedOut
}

// rationed is a source that is asked for a few manifests and lists at once, whoever asks: each may have megabytes.
type rationed struct {
	Source
	places  *places
	outages *outages
}

func (s rationed) ask(ctx context.Context, repository string, do func() error) error {
	group := groupOf(repository)
	return s.places.do(ctx, group, func() error { return s.outages.ask(group, do) })
}

func (s rationed) Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error) {
	err = s.ask(ctx, repository, func() error {
		body, mediaType, err = s.Source.Manifest(ctx, repository, reference)
		return err
	})
	return body, mediaType, err
}

func (s rationed) Tags(ctx context.Context, repository string) (tags []string, err error) {
	err = s.ask(ctx, repository, func() error {
		tags, err = s.Source.Tags(ctx, repository)
		return err
	})
	return tags, err
}

func (s rationed) Referrers(ctx context.Context, repository, digest string) (all []string, err error) {
	err = s.ask(ctx, repository, func() error {
		all, err = s.Source.Referrers(ctx, repository, digest)
		return err
	})
	return all, err
}
