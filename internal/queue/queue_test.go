// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/wal"
)

func quiet() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

func open(t *testing.T, dir string, opts Options) *Queue {
	t.Helper()
	log, err := wal.Open(dir, wal.Options{SegmentBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	opts.Log = quiet()
	q, err := Open(log, opts)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// runUntil works until the queue has nothing to do, then stops it.
func runUntilIdle(t *testing.T, q *Queue, handle Handler) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- q.Run(ctx, handle) }()
	if err := q.Idle(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, q *Queue, id, key string) bool {
	t.Helper()
	fresh, err := q.Put(t.Context(), Item{ID: id, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return fresh
}

// what was put is handled once, together per key, also after a restart.
func TestItemsOfAKeyComeTogetherAndSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := open(t, dir, Options{})
		for i := range 10 {
			put(t, q, fmt.Sprint("id", i), fmt.Sprint("key", i%2))
		}
		if put(t, q, "id3", "key1") {
			t.Error("a known id is fresh")
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}

		q = open(t, dir, Options{})
		if put(t, q, "id3", "key1") {
			t.Error("a known id is fresh after a restart")
		}
		var mu sync.Mutex
		got := map[string]int{}
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			mu.Lock()
			defer mu.Unlock()
			got[j.Key] += len(j.Items)
			return nil
		})
		if got["key0"] != 5 || got["key1"] != 5 || q.Stats().Handled != 2 {
			t.Errorf("handled %v, %+v", got, q.Stats())
		}
		q.Close()

		q = open(t, dir, Options{})
		defer q.Close()
		if s := q.Stats(); s.Keys != 0 || s.Remembered != 10 {
			t.Errorf("after the second restart: %+v", s)
		}
	})
}

// never two handlers for one key, and no item is skipped.
func TestOneWorkerAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), Options{Workers: 8})
		defer q.Close()
		var mu sync.Mutex
		busy, seen := map[string]bool{}, map[string]bool{}
		go func() {
			for i := range 500 {
				put(t, q, fmt.Sprint(i), fmt.Sprint(i%7))
			}
		}()
		synctest.Wait()
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			mu.Lock()
			if busy[j.Key] {
				t.Errorf("two handlers for %s", j.Key)
			}
			busy[j.Key] = true
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			busy[j.Key] = false
			for _, item := range j.Items {
				seen[item.ID] = true
			}
			return nil
		})
		if len(seen) != 500 {
			t.Errorf("%d of 500 items were handled", len(seen))
		}
	})
}

// a failing or panicking key backs off alone and ends as a dead letter,
// which survives a restart and goes with the next success.
func TestFailuresAndDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := open(t, dir, Options{MaxAttempts: 4})
		put(t, q, "1", "bad")
		put(t, q, "2", "good")
		put(t, q, "3", "panics")
		var at []time.Duration
		var mu sync.Mutex
		start := time.Now()
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			mu.Lock()
			defer mu.Unlock()
			switch j.Key {
			case "bad":
				at = append(at, time.Since(start))
				return errors.New("boom")
			case "panics":
				panic("oh")
			}
			return nil
		})
		if len(at) != 4 || at[3] < 5*time.Second || at[3] > 8*time.Second {
			t.Errorf("attempts at %v", at)
		}
		letters := q.Dead()
		if len(letters) != 2 || letters[0].Error != "boom" || letters[0].Attempts != 4 || !strings.Contains(letters[1].Error, "panic: oh") {
			t.Fatalf("letters %+v", letters)
		}
		q.Close()

		q = open(t, dir, Options{})
		if s := q.Stats(); s.Letters != 2 || s.Keys != 0 {
			t.Fatalf("after a restart: %+v", s)
		}
		put(t, q, "", "bad")
		runUntilIdle(t, q, func(context.Context, Job) error { return nil })
		q.Close()
		q = open(t, dir, Options{})
		defer q.Close()
		if l := q.Dead(); len(l) != 1 || l[0].Key != "panics" {
			t.Errorf("letters %+v", l)
		}
	})
}

type pauseError struct{ until time.Time }

func (pauseError) Error() string           { return "rate limited" }
func (e pauseError) PauseUntil() time.Time { return e.until }

type soonError struct{ in time.Duration }

func (soonError) Error() string            { return "stale" }
func (e soonError) RetryIn() time.Duration { return e.in }

// a rate limit stops every key until it ends and costs no attempt.
func TestPauseStopsEveryKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), Options{Workers: 1, MaxAttempts: 2})
		defer q.Close()
		until := time.Now().Add(10 * time.Minute)
		put(t, q, "1", "a")
		put(t, q, "2", "b")
		var early int
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			if time.Now().Before(until) {
				early++
				return pauseError{until}
			}
			if j.Attempt != 1 {
				t.Errorf("attempt %d", j.Attempt)
			}
			return nil
		})
		if early != 1 || q.Stats().Handled != 2 {
			t.Errorf("%d calls before the end of the pause, %+v", early, q.Stats())
		}
	})
}

func TestRetryIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), Options{})
		defer q.Close()
		put(t, q, "1", "a")
		start := time.Now()
		var second time.Duration
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			if j.Attempt == 1 {
				return soonError{300 * time.Millisecond}
			}
			second = time.Since(start)
			return nil
		})
		if second != 300*time.Millisecond {
			t.Errorf("second attempt after %v", second)
		}
	})
}

// what is put or woken while its key is worked on is looked at afterwards.
func TestWakeWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), Options{})
		defer q.Close()
		var jobs []int
		put(t, q, "1", "a")
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			jobs = append(jobs, len(j.Items))
			switch len(jobs) {
			case 1:
				put(t, q, "2", "a")
			case 2:
				q.Wake("a")
			}
			return nil
		})
		if !slices.Equal(jobs, []int{1, 1, 0}) {
			t.Errorf("jobs with %v items", jobs)
		}
	})
}

// at the end running handlers finish; after the grace time they are cancelled
// and their items stay.
func TestDrain(t *testing.T) {
	for _, length := range []time.Duration{time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			q := open(t, dir, Options{Workers: 1, Grace: time.Minute, Timeout: 2 * time.Hour})
			put(t, q, "1", "a")
			put(t, q, "2", "b")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() {
				done <- q.Run(ctx, func(ctx context.Context, _ Job) error {
					select {
					case <-time.After(length):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
			}()
			synctest.Wait()
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			q.Close()
			q = open(t, dir, Options{})
			defer q.Close()
			want := 1
			if length == time.Hour {
				want = 2
			}
			if s := q.Stats(); s.Waiting != want {
				t.Errorf("handler of %v: %d items left, want %d", length, s.Waiting, want)
			}
			time.Sleep(2 * time.Hour) // let the timers of this bubble end
		})
	}
}

// old IDs are forgotten, open items and letters are kept, segments go.
func TestCompact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		q := open(t, dir, Options{MaxAttempts: 1})
		for i := range 200 {
			put(t, q, fmt.Sprint("old", i), "done")
		}
		put(t, q, "dead", "dead")
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			if j.Key == "dead" {
				return errors.New("boom")
			}
			return nil
		})
		put(t, q, "open", "open")
		time.Sleep(25 * time.Hour)
		put(t, q, "new", "new")
		time.Sleep(time.Hour)
		before := q.log.First()
		if err := q.Compact(time.Now()); err != nil {
			t.Fatal(err)
		}
		if q.log.First() == before {
			t.Error("no segment was dropped")
		}
		check := func(when string) {
			s := q.Stats()
			if s.Waiting != 2 || s.Letters != 1 {
				t.Errorf("%s: %+v", when, s)
			}
			if !put(t, q, "old1", "done") || put(t, q, "open", "open") || put(t, q, "new", "new") {
				t.Errorf("%s: wrong IDs are remembered", when)
			}
		}
		check("in memory")
		runUntilIdle(t, q, func(_ context.Context, j Job) error {
			if j.Key == "dead" {
				t.Error("a dead letter was worked on")
			}
			return nil
		})
		q.Close()
		q = open(t, dir, Options{})
		defer q.Close()
		if s := q.Stats(); s.Waiting != 0 || s.Letters != 1 {
			t.Errorf("after a restart: %+v", s)
		}
	})
}

// A full disk: nothing is acknowledged, and Run ends with the cause so that the
// process is restarted.
func TestFailingJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := open(t, t.TempDir(), Options{})
		put(t, q, "1", "a")
		q.log.Close()
		if _, err := q.Put(t.Context(), Item{ID: "2", Key: "b"}); err == nil {
			t.Error("an item was acknowledged without a journal")
		}
		if err := q.Run(t.Context(), func(context.Context, Job) error { return nil }); !errors.Is(err, wal.ErrClosed) {
			t.Errorf("Run = %v", err)
		}
	})
}

// Model test: random puts, failures, restarts and compactions never lose an item.
func TestRandomLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 7))
		dir := t.TempDir()
		q := open(t, dir, Options{Remember: time.Hour, MaxAttempts: 1000})
		open1 := map[string]bool{}
		var mu sync.Mutex
		handled := map[string]bool{}
		for i := range 2000 {
			switch rng.IntN(12) {
			case 0:
				q.Close()
				q = open(t, dir, Options{Remember: time.Hour, MaxAttempts: 1000})
			case 1:
				if err := q.Compact(time.Now()); err != nil {
					t.Fatal(err)
				}
			case 2:
				time.Sleep(time.Duration(rng.IntN(40)) * time.Minute)
			case 3:
				runUntilIdle(t, q, func(_ context.Context, j Job) error {
					if j.Attempt < 2 && j.Key == "3" {
						return errors.New("once more")
					}
					mu.Lock()
					defer mu.Unlock()
					for _, item := range j.Items {
						handled[item.ID] = true
					}
					return nil
				})
				for id := range open1 {
					if !handled[id] {
						t.Fatalf("step %d: %s was lost", i, id)
					}
				}
				clear(open1)
			default:
				id := fmt.Sprint(i)
				put(t, q, id, fmt.Sprint(rng.IntN(5)))
				open1[id] = true
			}
		}
		q.Close()
	})
}
