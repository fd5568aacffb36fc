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
	"sync"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/plan"
	"sigs.k8s.io/steward/internal/promotion"
	"sigs.k8s.io/steward/internal/settings"
)

// screen looks at the signatures of what is to be copied, by the first rule of each project, and takes out of the plans
// what is not signed as it has to be. It stays in the journal: a signature may come.
func (r *runner) screen(ctx context.Context) {
	if r.signing == nil {
		return
	}
	for _, p := range r.projects {
		rule := r.signing.rule(p.Manifest)
		if rule == nil {
			continue
		}
		refused := r.judge(ctx, p, *rule)
		waits := func(s plan.Step[promotion.Copy]) bool { return refused[s.Change.Source+"@"+s.Change.Digest] }
		for _, s := range p.Plan.Steps {
			if waits(s) {
				r.refused[s.Change.Path+"@"+s.Change.Digest] = true
			}
		}
		p.Plan = p.Plan.Only(func(s plan.Step[promotion.Copy]) bool { return !waits(s) })
	}
}

// rule is the first rule about the staging images of a project; nil for none.
func (s *signing) rule(m *manifest.Manifest) *believed {
	for i := range s.believed {
		if s.believed[i].For(m.Name) {
			return &s.believed[i]
		}
	}
	return nil
}

// judge returns the images of a project that are not to be copied. What comes from a mirror, because staging has lost it,
// was looked at when it came there.
func (r *runner) judge(ctx context.Context, p *promotion.Project, rule believed) map[string]bool {
	first := map[string]promotion.Copy{}
	for _, s := range p.Plan.Steps {
		if c := s.Change; c.Source == p.Manifest.Source || strings.HasPrefix(c.Source, p.Manifest.Source+"/") {
			first[c.Source+"@"+c.Digest] = c
		}
	}
	refused := map[string]bool{}
	var mu sync.Mutex
	pace.Each(slices.Sorted(maps.Keys(first)), signAtOnce, func(_ int, key string) {
		c := first[key]
		_, err := rule.screen(ctx, r.registry, c.Source, c.Digest)
		mu.Lock()
		defer mu.Unlock()
		if f, held := verdict(rule, p.Manifest, c, err); f != nil {
			r.found = append(r.found, *f)
			refused[key] = held
		}
	})
	return refused
}

// verdict is what a look at signatures means: nothing, or a finding, and whether the image waits.
func verdict(rule believed, m *manifest.Manifest, c promotion.Copy, err error) (f *finding.Finding, held bool) {
	missing := errors.Is(err, errUnsigned)
	if err == nil || missing && rule.Missing() == settings.UnsignedAllow {
		return nil, false
	}
	f = &finding.Finding{
		Rule: promotion.RuleSigner, Severity: finding.Error, Object: c.Path + "@" + c.Digest, File: m.Images, Line: c.Line,
		Fix: "sign it as the rule says (promotion.signed-by in steward.yaml), and run again",
	}
	switch {
	case missing:
		f.Message = fmt.Sprintf("%s: nobody has signed it", c.Source)
		if rule.Missing() == settings.UnsignedWarn {
			f.Severity = finding.Warning
			return f, false
		}
	case errors.Is(err, attest.ErrSigner):
		f.Message = fmt.Sprintf("%s: no signature is of whom the rule for %s names", c.Source, rule.Project)
	default:
		f.Message, f.Fix = fmt.Sprintf("%s: its signatures could not be read: %s", c.Source, reason(err)), "run again when the registry answers"
	}
	return f, true
}
