// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pace lets a client ask a server as fast as the server likes, and no faster.
//
// A Limiter bounds how many requests run at once and how many start in a second. It
// halves the rate when the server pushes back, waits as long as the server says, and
// grows again while answers are good (additive increase, multiplicative decrease, as
// TCP does). One Limiter stands for one API; what it allows is shared by all callers.
// Each bounds what one caller begins.
package pace

import (
	"context"
	"sync"
	"time"
)

// Options bound a Limiter. Zero values mean the defaults.
type Options struct {
	Rate     float64 // requests a second at the most; 50
	Parallel int     // requests at once at the most; 64
}

// The defaults are below the read quotas of the APIs this project asks, so that
// people and other jobs have room beside it.
const (
	defaultRate     = 50
	defaultParallel = 64

	slowest  = 0.5         // requests a second, whatever the server says
	maxPause = time.Minute // a Retry-After beyond this is not believed
	calm     = time.Second // answers of one burst count as one push back
	growth   = 100         // answers that bring the rate from nothing to the limit
)

// Limiter is safe for concurrent use.
type Limiter struct {
	max   float64
	slots chan struct{}

	mu      sync.Mutex
	rate    float64
	next    time.Time // when the next request may start
	reduced time.Time // when the rate was last reduced
	pushes  int
}

// New returns a limiter at its full rate.
func New(opts Options) *Limiter {
	if opts.Rate <= 0 {
		opts.Rate = defaultRate
	}
	if opts.Parallel <= 0 {
		opts.Parallel = defaultParallel
	}
	return &Limiter{max: opts.Rate, rate: opts.Rate, slots: make(chan struct{}, opts.Parallel)}
}

// Acquire waits for a turn. Whoever got one calls Release when the answer is there.
// The error is that of ctx.
func (l *Limiter) Acquire(ctx context.Context) error {
	select {
	case l.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		wait := l.reserve(time.Now())
		if wait <= 0 {
			return nil
		}
		if err := Sleep(ctx, wait); err != nil {
			<-l.slots
			return err
		}
	}
}

// Release gives the place of a request back.
func (l *Limiter) Release() { <-l.slots }

// reserve takes the next start, or says how long it is until then. Starts are spread
// evenly: there are no bursts, because quotas are counted in short windows.
func (l *Limiter) reserve(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.next.Sub(now); wait > 0 {
		return wait
	}
	step := time.Duration(float64(time.Second) / l.rate)
	// What was not used is lost, but for one step: timers are late.
	if l.next = l.next.Add(step); l.next.Before(now) {
		l.next = now
	}
	return 0
}

// OK tells that the server answered gladly.
func (l *Limiter) OK() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = min(l.max, l.rate+l.max/growth)
}

// PushedBack tells that the server refused for the rate, and how long it wants to be
// left alone (0 where it did not say).
func (l *Limiter) PushedBack(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.pushes++
	if now.Sub(l.reduced) >= calm {
		l.rate, l.reduced = max(l.rate/2, min(slowest, l.max)), now
	}
	if until := now.Add(min(after, maxPause)); until.After(l.next) {
		l.next = until
	}
}

// Rate is what is allowed now, in requests a second, and PushBacks how often the
// server refused.
func (l *Limiter) Rate() (rate float64, pushBacks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rate, l.pushes
}

// Sleep waits, or returns the error of ctx as soon as that ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
