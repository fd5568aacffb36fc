// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"slices"
	"time"
)

// queue holds those who wait at one place. A waiter stands in it while it is present: while its caller waits for the answer,
// or for the grace afterwards. One that stays away longer is parked: it keeps its number and steps back in when it asks again.
type queue struct {
	arrival heap[*Waiter]      // by number, for those who are overdue
	wanted  int                // by all of them together
	classes []*heap[*line]     // by class, most urgent first
	lines   map[lineName]*line // of those heaps
}

type lineName struct {
	class   int
	account string
}

// line is an account's waiters of one class. What it has spent is kept with it, because a heap must not see it change.
type line struct {
	lineName
	waiters heap[*Waiter]
	spent   float64
	full    bool // at its quota: it cannot be served
}

func newQueue() queue {
	return queue{arrival: newHeap(sooner), lines: map[lineName]*line{}}
}

func sooner(a, b *Waiter) bool { return a.Seq < b.Seq }

// fairer orders the lines of a class: what can be served, who has spent less, who came first (P-13, P-14).
func fairer(a, b *line) bool {
	if a.full != b.full {
		return b.full
	}
	if a.spent != b.spent {
		return a.spent < b.spent
	}
	return sooner(a.waiters.first(), b.waiters.first())
}

func (q *queue) len() int { return q.arrival.len() }

func (q *queue) class(n int) *heap[*line] {
	for len(q.classes) <= n {
		h := newHeap(fairer)
		q.classes = append(q.classes, &h)
	}
	return q.classes[n]
}

// enqueue lets a waiter step into the queues of all that it wants, if it is present.
func (p *Pool) enqueue(w *Waiter) {
	if w.Parked {
		return
	}
	for _, want := range w.Wants {
		at := place{want.Type, w.From}
		q := &p.spot(at).queue
		q.arrival.add(w)
		q.wanted += want.Count
		name := p.lineOf(w)
		l := q.lines[name]
		if l == nil {
			l = &line{lineName: name, waiters: newHeap(sooner)}
			q.lines[name] = l
		}
		q.class(name.class).remove(l)
		l.waiters.add(w)
		p.refresh(l, want.Type)
		q.class(name.class).add(l)
	}
}

func (p *Pool) dequeue(w *Waiter) {
	for _, want := range w.Wants {
		at := place{want.Type, w.From}
		q := &p.spot(at).queue
		if q.arrival.remove(w) {
			q.wanted -= want.Count
		}
		name := p.lineOf(w)
		if l := q.lines[name]; l != nil {
			q.class(name.class).remove(l)
			l.waiters.remove(w)
			if l.waiters.len() > 0 {
				q.class(name.class).add(l)
			} else {
				delete(q.lines, name)
			}
		}
		p.tidy(at)
	}
}

// lineOf names the line in which a waiter stands. First come, first served is one line for all accounts.
func (p *Pool) lineOf(w *Waiter) lineName {
	account := w.Account
	if p.policy.FIFO {
		account = ""
	}
	return lineName{p.policy.class(w.Class), account}
}

// refresh reads what a line's account has spent, while the line is in no heap.
func (p *Pool) refresh(l *line, typ string) {
	if p.policy.FIFO {
		return
	}
	s := p.share(typ, l.account)
	l.spent = s.Spent
	quota, limited := p.policy.quota(l.account, typ)
	l.full = limited && s.Holds >= quota
}

// reorder moves an account's lines after its share changed.
func (p *Pool) reorder(typ, account string) {
	if p.policy.FIFO {
		return
	}
	for _, s := range p.places[typ] {
		for class := range s.classes {
			l := s.lines[lineName{class, account}]
			if l == nil {
				continue
			}
			s.class(class).remove(l)
			p.refresh(l, typ)
			s.class(class).add(l)
		}
	}
}

// next returns who is to be served at a place: by class, share and arrival. Where somebody has waited too long, that one's class
// comes before all others; within it shares decide as ever, or nobody's weight would mean anything in a long queue.
func (p *Pool) next(now time.Time, q *queue) *Waiter {
	if q.arrival.len() == 0 {
		return nil
	}
	if first := q.arrival.first(); p.overdue(first, now) {
		if l := q.classes[p.lineOf(first).class].first(); !l.full {
			return l.waiters.first()
		}
		return first
	}
	for _, class := range q.classes {
		if class.len() > 0 {
			if l := class.first(); !l.full {
				return l.waiters.first()
			}
		}
	}
	return nil
}

func (p *Pool) overdue(w *Waiter, now time.Time) bool { return now.Sub(w.Arrived) >= p.policy.aging() }

// match serves a place as far as what is free there goes. Who is served takes it; who is away for a moment keeps it from
// those behind; who wants more than there is keeps it only once it is overdue, so that it cannot be starved (P-15).
func (p *Pool) match(now time.Time, at place) {
	s := p.places[at.typ][at.state]
	if s == nil {
		return
	}
	left := s.free.len()
	var aside []*Waiter
	for left > 0 {
		w := p.next(now, &s.queue)
		if w == nil {
			break
		}
		n := w.count(at.typ)
		switch {
		case !p.allowed(w):
		case !p.fits(now, w, at, left):
			if p.overdue(w, now) && p.kept(now, at, w.Account) == 0 && p.canServe(w) {
				left -= n
			}
		case w.Here:
			p.serve(now, w)
			left -= n
			continue
		default:
			left -= n
		}
		p.dequeue(w)
		aside = append(aside, w)
	}
	for _, w := range aside {
		p.enqueue(w)
	}
}

// canServe tells whether there can be enough of all that a waiter wants: there may be fewer since it came.
func (p *Pool) canServe(w *Waiter) bool {
	for _, want := range w.Wants {
		if want.Count > p.most(want.Type) {
			return false
		}
	}
	return true
}

// allowed tells whether the quotas of a waiter's account leave room for all it wants.
func (p *Pool) allowed(w *Waiter) bool {
	for _, want := range w.Wants {
		if quota, ok := p.policy.quota(w.Account, want.Type); ok && p.share(want.Type, w.Account).Holds+want.Count > quota {
			return false
		}
	}
	return true
}

// fits tells whether all that a waiter wants is there: here what is left, elsewhere what those before it do not claim.
func (p *Pool) fits(now time.Time, w *Waiter, here place, left int) bool {
	for _, want := range w.Wants {
		at := place{want.Type, w.From}
		n := left
		if at != here {
			n = p.unclaimed(now, w, at)
		}
		if n-p.kept(now, at, w.Account) < want.Count {
			return false
		}
	}
	return true
}

// unclaimed returns how many are free at a place besides those that overdue waiters before w hold back.
func (p *Pool) unclaimed(now time.Time, w *Waiter, at place) int {
	s := p.places[at.typ][at.state]
	if s == nil {
		return 0
	}
	n := s.free.len()
	for _, other := range s.arrival.items {
		if other.Seq < w.Seq && p.overdue(other, now) && p.canServe(other) {
			n -= other.count(at.typ)
		}
	}
	return n
}

// position returns how many are to be served before a waiter at the first place that it waits for, in today's order.
func (p *Pool) position(now time.Time, w *Waiter) int {
	at := place{w.Wants[0].Type, w.From}
	others := slices.Clone(p.spot(at).arrival.items)
	slices.SortFunc(others, func(a, b *Waiter) int { return p.compare(now, at.typ, a, b) })
	return slices.Index(others, w)
}

// compare is the order of service as it stands.
func (p *Pool) compare(now time.Time, typ string, a, b *Waiter) int {
	rank := func(w *Waiter) (int, float64) {
		name := p.lineOf(w)
		if p.overdue(w, now) {
			return -1, 0
		}
		if p.policy.FIFO {
			return name.class, 0
		}
		return name.class, p.share(typ, w.Account).Spent
	}
	classA, spentA := rank(a)
	classB, spentB := rank(b)
	if classA != classB {
		return classA - classB
	}
	if spentA != spentB {
		return sign(spentA - spentB)
	}
	return int(a.Seq) - int(b.Seq)
}

func sign(x float64) int {
	if x < 0 {
		return -1
	}
	return 1
}
