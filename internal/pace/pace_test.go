// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask starts n requests at once and returns when each of them started.
func ask(t *testing.T, l *Limiter, n int, takes time.Duration) []time.Duration {
	var mu sync.Mutex
	var started []time.Duration
	begin := time.Now()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := l.Acquire(t.Context()); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			started = append(started, time.Since(begin))
			mu.Unlock()
			time.Sleep(takes)
			l.Release()
		})
	}
	all.Wait()
	return started
}

func TestStartsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := ask(t, New(Options{Rate: 10}), 21, time.Millisecond)
		if last := started[20]; last < 1900*time.Millisecond || last > 2100*time.Millisecond {
			t.Errorf("21 requests at 10 a second: the last starts after %v", last)
		}
		inOne := 0
		for _, s := range started {
			if s < time.Second {
				inOne++
			}
		}
		if inOne > 11 {
			t.Errorf("%d requests start in the first second", inOne)
		}
	})
}

func TestParallelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := ask(t, New(Options{Rate: 1e6, Parallel: 2}), 4, time.Second)
		if started[3] < time.Second {
			t.Errorf("with two at once the fourth starts after %v", started[3])
		}
	})
}

func TestPushBackHalvesOnceABurstAndGrowsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Rate: 100})
		for range 50 {
			l.PushedBack(0)
		}
		if rate, pushes := l.Rate(); rate != 50 || pushes != 50 {
			t.Errorf("after a burst: rate %v, pushes %d", rate, pushes)
		}
		time.Sleep(time.Second)
		l.PushedBack(0)
		if rate, _ := l.Rate(); rate != 25 {
			t.Errorf("a second later: rate %v", rate)
		}
		for range 200 {
			l.OK()
		}
		if rate, _ := l.Rate(); rate != 100 {
			t.Errorf("after good answers: rate %v", rate)
		}
	})
}

func TestRetryAfterHoldsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Rate: 1000})
		l.PushedBack(7 * time.Second)
		if started := ask(t, l, 3, 0); started[0] < 7*time.Second {
			t.Errorf("started after %v", started[0])
		}
		l.PushedBack(time.Hour)
		if started := ask(t, l, 1, 0); started[0] > maxPause {
			t.Errorf("a Retry-After of an hour was believed: %v", started[0])
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{Rate: 1000, Parallel: 1})
		l.PushedBack(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		// The place was given back.
		if started := ask(t, l, 1, 0); len(started) != 1 {
			t.Error("the limiter is stuck")
		}
	})
}
