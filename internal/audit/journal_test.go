// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/state"
)

// memory is a state.Store whose writes fail from the nth on.
type memory struct {
	mu    sync.Mutex
	all   map[string][]byte
	fails int // writes left before they fail; negative: never
	takes time.Duration
}

func newMemory() *memory { return &memory{all: map[string][]byte{}, fails: -1} }

func (m *memory) Get(_ context.Context, key string) ([]byte, state.Version, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if content, ok := m.all[key]; ok {
		return content, state.Version("v" + string(content)), nil
	}
	return nil, "", fs.ErrNotExist
}

func (m *memory) Put(ctx context.Context, key string, content []byte, v state.Version) (state.Version, error) {
	_, now, err := m.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		now = state.Absent
	}
	select { // as a store does that is far away
	case <-time.After(m.takes):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fails == 0 {
		return "", errors.New("the store is gone")
	}
	m.fails--
	if now != v {
		return "", state.ErrConflict
	}
	m.all[key] = content
	return state.Version("v" + string(content)), state.CheckKey(key)
}

func (m *memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for key := range m.all {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

func (m *memory) Delete(_ context.Context, key string, _ state.Version) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, key)
	return nil
}

func begin(t *testing.T, s state.Store, commit string, resume bool) *StoreJournal {
	t.Helper()
	j, err := OpenJournal(t.Context(), s, RunID{Declared: commit, Parts: []string{"books"}, Started: time.Now()}, resume)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func reading(n int) Reading { return Reading{Data: json.RawMessage(fmt.Sprint(n)), Objects: n} }

// kill forgets a journal as a dead process does: what was not flushed is lost.
func kill(j *StoreJournal) {
	j.mu.Lock()
	j.pending = nil
	j.mu.Unlock()
	close(j.quit)
	<-j.stopped
}

func TestJournalSurvivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		first := begin(t, store, "c1", true)
		if first.From != "" {
			t.Errorf("there was no run %q", first.From)
		}
		first.Record("books", "a", reading(1))
		first.Record("books", "a", Reading{Objects: 7, Gaps: []finding.Gap{{Scope: "x"}}})
		time.Sleep(2 * flushEvery)
		first.Record("books", "b", reading(2))
		for range flushAfter { // a full buffer does not wait
			first.Record("books", "c", reading(3))
		}
		synctest.Wait()
		first.Record("books", "lost", reading(4))
		kill(first)

		second := begin(t, store, "c1", true)
		got := second.Readings("books")
		if second.From == "" || len(got) != 3 || got["a"].Objects != 7 || got["b"].Objects != 2 || got["c"].Objects != 3 {
			t.Errorf("resumed %q with %v", second.From, got)
		}
		second.Record("books", "lost", reading(5))
		if err := second.Close(t.Context(), false); err != nil { // as after a SIGTERM
			t.Error(err)
		}
		third := begin(t, store, "c1", true)
		if got := third.Readings("books"); got["lost"].Objects != 5 || len(got) != 4 {
			t.Errorf("resumed again with %v", got)
		}
		if err := third.Close(t.Context(), true); err != nil {
			t.Error(err)
		}
		if fourth := begin(t, store, "c1", true); fourth.From != "" {
			t.Errorf("a run that is over was resumed: %s", fourth.From)
		} else {
			kill(fourth)
		}
	})
}

func TestOnlyTheSameRunIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		kill(begin(t, store, "c1", false))
		for name, open := range map[string]func() *StoreJournal{
			"another commit": func() *StoreJournal { return begin(t, store, "c2", true) },
			"not asked to":   func() *StoreJournal { return begin(t, store, "c1", false) },
		} {
			time.Sleep(time.Second)
			j := open()
			if j.From != "" {
				t.Errorf("%s: resumed %s", name, j.From)
			}
			kill(j)
		}
		time.Sleep(MaxAge + time.Hour)
		old := begin(t, store, "c1", true)
		if old.From != "" {
			t.Error("readings of yesterday are used")
		}
		kill(old)
	})
}

func TestJournalSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		for range runsKept + 4 {
			time.Sleep(time.Second)
			j := begin(t, store, "c1", false)
			j.Record("books", "a", reading(1))
			if err := errors.Join(j.Close(t.Context(), true), j.Sweep(t.Context())); err != nil {
				t.Error(err)
			}
		}
		runs, err := listRuns(t.Context(), store)
		if err != nil || len(runs) != runsKept || len(store.all) != 3*runsKept {
			t.Errorf("%d runs in %d objects, %v", len(runs), len(store.all), err)
		}
	})
}

// A store that fails costs the journal, not the run, and Close tells.
func TestJournalTellsThatItFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		j := begin(t, store, "c1", false)
		store.fails = 0
		j.Record("books", "a", reading(1))
		time.Sleep(2 * flushEvery)
		j.Record("books", "b", reading(1))
		if err := j.Close(t.Context(), true); err == nil || !strings.Contains(err.Error(), "the store is gone") {
			t.Errorf("error %v", err)
		}
	})
}

func TestBrokenJournalSaysWhatToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		j := begin(t, store, "c1", false)
		j.Record("books", "a", reading(1))
		time.Sleep(2 * flushEvery)
		kill(j)
		store.all[j.dir+"/000001.json"] = []byte("{")
		_, err := OpenJournal(t.Context(), store, RunID{Declared: "c1", Parts: []string{"books"}, Started: time.Now()}, true)
		if err == nil || !strings.Contains(err.Error(), "delete the run's folder") {
			t.Errorf("error %v", err)
		}
	})
}

// Closing waits for what is under way, and what is pending is stored as well.
func TestCloseLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		j := begin(t, store, "c1", false)
		store.takes = 3 * time.Second
		j.Record("books", "a", reading(1))
		time.Sleep(flushEvery + time.Millisecond) // the store is at work
		j.Record("books", "b", reading(2))
		if err := j.Close(t.Context(), false); err != nil {
			t.Error(err)
		}
		again := begin(t, store, "c1", true)
		if got := again.Readings("books"); len(got) != 2 {
			t.Errorf("kept %v", got)
		}
		// A store that never answers holds nobody for ever.
		store.takes = time.Hour
		again.Record("books", "c", reading(3))
		time.Sleep(flushEvery + time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := again.Close(ctx, true); err == nil {
			t.Error("what could not be stored is no error")
		}
	})
}
