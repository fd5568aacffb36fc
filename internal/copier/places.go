// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"path"
	"slices"
	"sync"
)

// groupOf is what sources of one project have in common. Where one of them hangs, the others are likely to.
func groupOf(source string) string { return path.Dir(source) }

// places bound how many do something at once, for groups that share them: while another group has work, none gets more than
// half. So what one group waits for holds up no other. Whoever waits gets a place in order.
type places struct {
	all int

	mu      sync.Mutex
	used    int
	held    map[string]int // of used, by group
	work    map[string]int // by group, those that have some
	waiting []*turn
}

// turn is somebody who waits for a place.
type turn struct {
	group string
	begin func()
}

func newPlaces(all int) *places {
	return &places{all: all, held: map[string]int{}, work: map[string]int{}}
}

// expect notes that a group has more work than was known, or less.
func (p *places) expect(group string, more int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.work[group] += more; p.work[group] == 0 {
		delete(p.work, group)
	}
	p.serve()
}

// ask has begin called, which must not wait, as soon as there is a place. Whoever got one gives it back.
func (p *places) ask(group string, begin func()) *turn {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &turn{group, begin}
	p.waiting = append(p.waiting, t)
	p.serve()
	return t
}

func (p *places) give(group string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.held[group]--
	p.serve()
}

// serve gives out what places there are.
func (p *places) serve() {
	for i := 0; i < len(p.waiting) && p.used < p.all; {
		t := p.waiting[i]
		if !p.may(t.group) {
			i++
			continue
		}
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.used++
		p.held[t.group]++
		t.begin()
	}
}

func (p *places) may(group string) bool {
	others := len(p.work)
	if p.work[group] > 0 {
		others--
	}
	return others == 0 || 2*p.held[group] < p.all
}

// leave takes a question back, unless it was answered.
func (p *places) leave(t *turn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, t)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	return i >= 0
}

// do does something when there is a place. It fails with the cause of ctx if that ends before.
func (p *places) do(ctx context.Context, group string, do func() error) error {
	ready := make(chan struct{})
	t := p.ask(group, func() { close(ready) })
	select {
	case <-ready:
	case <-ctx.Done():
		if p.leave(t) {
			return context.Cause(ctx)
		}
	}
	defer p.give(group)
	return do()
}
