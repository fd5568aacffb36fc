// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/markdown"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/report"
)

// Staging looks at an image in its staging registry, as anybody may. manifest.ErrNoManifest and ErrNoRepository
// are the registry's own word, manifest.ErrNotOffered says that it is not asked; any other error, that it is not known now.
type Staging interface {
	Image(ctx context.Context, repository, digest string) (manifest.Facts, error)
}

// How much of a pull request is looked up, and how long that may take.
const (
	maxLooked  = 40
	lookedOnce = 4
	lookedFor  = 20 * time.Second
)

// seen is what staging says about an image.
type seen struct {
	manifest.Facts
	err error // nil: it holds the image

	previous string   // tag that it is compared with; "" for none
	lost     []string // platforms that this one has and the image has not
}

func (s seen) absent() bool {
	return errors.Is(s.err, manifest.ErrNoManifest) || errors.Is(s.err, manifest.ErrNoRepository)
}

// look asks staging about what is new. What takes too long is not known.
func (p promote) look(ctx context.Context, f facts, fresh []promoted) []promoted {
	ctx, cancel := context.WithTimeout(ctx, lookedFor)
	defer cancel()
	pace.Each(fresh[:min(len(fresh), maxLooked)], lookedOnce, func(i int, image promoted) { fresh[i].seen = p.see(ctx, f, image) })
	return fresh
}

func (p promote) see(ctx context.Context, f facts, image promoted) *seen {
	s := &seen{}
	if s.Facts, s.err = p.Staging.Image(ctx, image.source, image.digest); s.err != nil || len(image.tags) == 0 {
		return s
	}
	tag, digest := f.previous(image)
	if tag == "" {
		return s
	}
	before, err := p.Staging.Image(ctx, image.source, digest)
	if err != nil {
		return s // it has gone from staging, most likely: then nothing is compared
	}
	s.previous = tag
	for _, platform := range before.Platforms {
		if !slices.Contains(s.Platforms, platform) {
			s.lost = append(s.lost, platform)
		}
	}
	return s
}

// previous is the greatest tag of the image before the change that is smaller than its own, with its digest.
func (f facts) previous(image promoted) (tag, digest string) {
	if f.base == nil || f.base.Image(image.path) == nil {
		return "", ""
	}
	own := slices.MinFunc(image.tags, versions)
	for _, part := range f.base.Image(image.path).Parts {
		for _, d := range part.Entry.Digests {
			for _, t := range d.Tags {
				if d.Digest != image.digest && versions(t.Name, own) < 0 && (tag == "" || versions(t.Name, tag) > 0) {
					tag, digest = t.Name, d.Digest
				}
			}
		}
	}
	return tag, digest
}

// versions orders tags as people count: v1.9 before v1.10.
func versions(a, b string) int {
	for a != "" && b != "" {
		numberA, restA := digits(a)
		numberB, restB := digits(b)
		if numberA == "" || numberB == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		numberA, numberB = strings.TrimLeft(numberA, "0"), strings.TrimLeft(numberB, "0")
		if c := cmp.Or(cmp.Compare(len(numberA), len(numberB)), strings.Compare(numberA, numberB)); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return cmp.Compare(len(a), len(b))
}

// digits cuts the number off the beginning of a text.
func digits(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}

// doubts are findings about what staging says: an image that is not there can be promoted by nobody. One that
// was declared before may have been promoted, and gone from staging since.
func doubts(fresh []promoted) []finding.Finding {
	var found []finding.Finding
	for _, p := range fresh {
		switch {
		case p.seen == nil:
		case p.seen.absent() && !p.known:
			found = append(found, finding.Finding{
				Rule: promotion.RuleLost, Severity: finding.Error, Object: p.path + "@" + p.digest, File: p.file, Line: p.line,
				Message: p.source + " does not hold the digest", Fix: "push the image first, or correct the digest; /infra promote plan looks again",
			})
		case len(p.seen.lost) > 0:
			found = append(found, finding.Finding{
				Rule: promotion.RulePlatforms, Severity: finding.Warning, Object: p.path + "@" + p.digest, File: p.file, Line: p.line,
				Message: fmt.Sprintf("%s has %s and this image has not", p.seen.previous, strings.Join(p.seen.lost, ", ")),
				Fix:     "promote the index of all platforms, unless they were given up",
			})
		}
	}
	return found
}

// cell is what staging says, in a cell of a table.
func (s *seen) cell(retention time.Duration, now time.Time) string {
	switch {
	case s == nil, errors.Is(s.err, manifest.ErrNotOffered):
		return "not asked"
	case s.absent():
		return "**missing**"
	case s.err != nil:
		return "not known now"
	}
	var parts []string
	add := func(text string) { parts = append(parts, text) }
	if len(s.Platforms) > 0 {
		add(codes(s.Platforms))
	}
	if len(s.lost) > 0 {
		add("without " + codes(s.lost) + " of " + markdown.Cell(s.previous))
	}
	if s.Size > 0 {
		add(report.Size(s.Size))
	}
	if !s.Uploaded.IsZero() {
		add(age(s.Uploaded, retention, now))
	}
	if len(s.Signers) == 0 {
		add("no signature")
	} else {
		add("signature of " + codes(s.Signers))
	}
	return strings.Join(parts, "; ")
}

func codes(all []string) string {
	var cells []string
	for _, s := range all[:min(len(all), shownTags)] {
		cells = append(cells, markdown.Cell(s))
	}
	if more := len(all) - shownTags; more > 0 {
		cells = append(cells, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(cells, " ")
}

// age says when an image came, and when staging throws it away.
func age(uploaded time.Time, retention time.Duration, now time.Time) string {
	text := "of " + uploaded.UTC().Format(time.DateOnly)
	if retention <= 0 {
		return text
	}
	if goes := uploaded.Add(retention); goes.After(now) {
		return text + ", goes at about " + goes.UTC().Format(time.DateOnly)
	}
	return text + ", may go at any time"
}
