// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"slices"
	"testing"
	"time"
)

// TestPodLeases (PD-8): a lease is there with its pod while it lasts, and no other.
func TestPodLeases(t *testing.T) {
	p := newPool(t, Policy{}, projects(4, Free))
	bound := func(owner, uid string) Claim {
		c := want(owner, "")
		c.Pod, c.PodNamespace = uid, "test-pods"
		return c
	}
	first, later := start(), start().Add(time.Minute)
	mustAcquire(t, p, first, bound("a", "uid-2"))
	second := mustAcquire(t, p, first, bound("a", "uid-1"))
	mustAcquire(t, p, later, bound("b", "uid-1"))
	mustAcquire(t, p, later, want("a", ""))
	all := []PodLease{
		{"p001", "uid-1", "test-pods", first}, {"p002", "uid-1", "test-pods", later}, {"p000", "uid-2", "test-pods", first},
	}
	if got := p.PodLeases(); !slices.Equal(got, all) {
		t.Errorf("%+v\nwant %+v", got, all)
	}
	release(t, p, later, second, Dirty)
	p.PodGone(later, "uid-2")
	if got := p.PodLeases(); !slices.Equal(got, all[1:2]) {
		t.Errorf("after two ended: %+v", got)
	}
	p.Undo()
	if got := p.PodLeases(); len(got) != 0 {
		t.Errorf("after it never was: %+v", got)
	}
}
