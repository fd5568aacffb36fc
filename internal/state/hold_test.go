// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/state"
	"sigs.k8s.io/steward/internal/state/statetest"
)

// far is a store behind a network that may be cut.
type far struct {
	mu      sync.Mutex
	content map[string][]byte
	version map[string]state.Version
	writes  int

	fail  error         // of what is asked
	after bool          // fail when it was done, so that only the answer is lost
	takes time.Duration // from when something is done to the answer
	deaf  bool          // nothing is answered, and nobody may give up
}

var errCut = errors.New("the network is cut")

func newFar() *far {
	return &far{content: map[string][]byte{}, version: map[string]state.Version{}}
}

// over changes the network.
func (f *far) over(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// do does something behind the network.
func (f *far) do(ctx context.Context, something func() error) error {
	f.mu.Lock()
	fail, after, takes, deaf := f.fail, f.after, f.takes, f.deaf
	var err error
	if fail == nil || after {
		err = something()
	}
	f.mu.Unlock()
	if deaf {
		time.Sleep(24 * time.Hour)
	}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if fail != nil {
		return fail
	}
	return err
}

func (f *far) Get(ctx context.Context, key string) (content []byte, v state.Version, err error) {
	if err := state.CheckKey(key); err != nil {
		return nil, "", err
	}
	err = f.do(ctx, func() error {
		if content, v = slices.Clone(f.content[key]), f.version[key]; v == state.Absent {
			return fs.ErrNotExist
		}
		return nil
	})
	return content, v, err
}

func (f *far) Put(ctx context.Context, key string, content []byte, v state.Version) (state.Version, error) {
	if err := state.CheckKey(key); err != nil {
		return "", err
	}
	var next state.Version
	err := f.do(ctx, func() error {
		if f.version[key] != v {
			return state.ErrConflict
		}
		f.writes++
		next = state.Version(strconv.Itoa(f.writes))
		f.content[key], f.version[key] = slices.Clone(content), next
		return nil
	})
	return next, err
}

func (f *far) Delete(ctx context.Context, key string, v state.Version) error {
	return f.do(ctx, func() error {
		if is := f.version[key]; is != v && is != state.Absent && v != state.Any {
			return state.ErrConflict
		}
		delete(f.content, key)
		delete(f.version, key)
		return nil
	})
}

func (f *far) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = f.do(ctx, func() error {
		for key := range f.content {
			if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		return nil
	})
	return keys, err
}

func TestFar(t *testing.T) {
	var s *far
	statetest.Run(t, func(t *testing.T) state.Store {
		if s == nil {
			s = newFar()
			t.Cleanup(func() { s = nil })
		}
		return s
	})
}

const (
	lockKey = "lock.json"
	ttl     = time.Minute
)

func take(t *testing.T, ctx context.Context, s state.Store) *state.Hold {
	t.Helper()
	h, err := state.Take(ctx, s, lockKey, ttl, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestHoldEndsBeforeItsLock breaks the network 5 seconds after the lock was taken, in all ways. The lock of a minute
// expires no earlier than a minute after it was written.
func TestHoldEndsBeforeItsLock(t *testing.T) {
	for name, tt := range map[string]struct {
		slow   time.Duration // what renewals take before
		cut    func(*far)
		mended time.Duration // after it was cut; 0 is never
		lost   time.Duration // after the lock was taken; 0 is never
	}{
		"nothing is broken":                {cut: func(*far) {}},
		"for ever":                         {cut: func(f *far) { f.fail = errCut }, lost: 45 * time.Second},
		"with no answer":                   {cut: func(f *far) { f.takes = 24 * time.Hour }, lost: 45 * time.Second},
		"in the middle of a call":          {cut: func(f *far) { f.deaf = true }, lost: 45 * time.Second},
		"only answers":                     {cut: func(f *far) { f.fail, f.after = errCut, true }, lost: 45 * time.Second},
		"for a while":                      {cut: func(f *far) { f.fail = errCut }, mended: 20 * time.Second},
		"for a while, with no answer":      {cut: func(f *far) { f.takes = 24 * time.Hour }, mended: 20 * time.Second},
		"after an answer that was on time": {slow: 10 * time.Second, cut: func(f *far) { f.fail = errCut }, lost: 45 * time.Second},
		"renewals that take long":          {cut: func(f *far) { f.takes = 10 * time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFar()
				s.over(func() { s.takes = tt.slow })
				began := time.Now().Add(tt.slow) // the lock is read first
				h := take(t, t.Context(), s)
				var ended time.Duration
				context.AfterFunc(h.Context(), func() { ended = time.Since(began) })
				time.Sleep(time.Until(began.Add(tt.slow + 5*time.Second)))
				s.over(func() { tt.cut(s) })
				if tt.mended > 0 {
					time.Sleep(tt.mended)
					s.over(func() { s.fail, s.takes = nil, 0 })
				}
				time.Sleep(2 * ttl)
				synctest.Wait()
				if ended != tt.lost {
					t.Errorf("it ended after %v, want %v", ended, tt.lost)
				}
				s.over(func() { s.fail, s.takes = nil, 0 })
				if tt.lost == 0 {
					if err := errors.Join(h.Lost(), h.Release()); err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(h.Lost(), state.ErrLate) || !errors.Is(context.Cause(h.Context()), state.ErrLate) {
					t.Errorf("lost: %v, cause %v", h.Lost(), context.Cause(h.Context()))
				}
				if err := h.Release(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// another takes the lock when it has expired.
func another(t *testing.T, s *far) {
	t.Helper()
	s.over(func() { s.fail, s.takes = nil, 0 })
	_, err := state.Acquire(t.Context(), s, lockKey, "somebody else", ttl)
	var held *state.HeldError
	if !errors.As(err, &held) {
		t.Fatalf("the hold ended when others could have the lock: %v", err)
	}
	time.Sleep(time.Until(held.Until))
	if _, err := state.Acquire(t.Context(), s, lockKey, "somebody else", ttl); err != nil {
		t.Fatal(err)
	}
}

// TestReleaseOfALostHold gives back what is its own, and nothing else.
func TestReleaseOfALostHold(t *testing.T) {
	for name, tt := range map[string]struct {
		cut   func(*far)
		taken bool // by somebody else
	}{
		"nobody has it": {cut: func(f *far) { f.fail = errCut }},
		"nobody has it, and the last answer was lost":  {cut: func(f *far) { f.fail, f.after = errCut, true }},
		"nobody has it, and nothing was ever answered": {cut: func(f *far) { f.takes = 24 * time.Hour }},
		"somebody else has it":                         {cut: func(f *far) { f.fail = errCut }, taken: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFar()
				h := take(t, t.Context(), s)
				s.over(func() { tt.cut(s) })
				time.Sleep(ttl*3/4 + time.Second)
				if tt.taken {
					another(t, s)
				}
				s.over(func() { s.fail, s.takes = nil, 0 })
				if err := h.Release(); err != nil {
					t.Errorf("release: %v", err)
				}
				if _, _, err := s.Get(t.Context(), lockKey); errors.Is(err, fs.ErrNotExist) == tt.taken {
					t.Errorf("the lock is %v", err)
				}
			})
		})
	}
}

// TestTakenOver: a lock that somebody else has taken is lost at the next renewal, whatever else ended the run before.
func TestTakenOver(t *testing.T) {
	for name, ended := range map[string]bool{"while it runs": false, "while it ends": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newFar()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				h := take(t, ctx, s)
				if err := s.Delete(t.Context(), lockKey, state.Any); err != nil {
					t.Fatal(err)
				}
				if _, err := state.Acquire(t.Context(), s, lockKey, "somebody else", time.Hour); err != nil {
					t.Fatal(err)
				}
				if ended {
					cancel()
				}
				time.Sleep(ttl)
				if !errors.Is(h.Lost(), state.ErrLost) || h.Context().Err() == nil {
					t.Errorf("lost: %v", h.Lost())
				}
				if err := h.Release(); err != nil {
					t.Errorf("release: %v", err)
				}
				if _, _, err := s.Get(t.Context(), lockKey); err != nil {
					t.Errorf("the lock of somebody else is gone: %v", err)
				}
			})
		})
	}
}

// TestReleaseDoesNotWait: a renewal that gets no answer holds nobody who ends.
func TestReleaseDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFar()
		h := take(t, t.Context(), s)
		s.over(func() { s.takes = 24 * time.Hour })
		time.Sleep(ttl/4 + time.Second) // a renewal is on its way
		s.over(func() { s.takes = 0 })
		began := time.Now()
		if err := h.Release(); err != nil {
			t.Errorf("release: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %v", took)
		}
		if _, _, err := s.Get(t.Context(), lockKey); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the lock is still there: %v", err)
		}
	})
}
