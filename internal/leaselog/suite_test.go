// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselog

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sirupsen/logrus"

	"sigs.k8s.io/steward/internal/lease"
	"sigs.k8s.io/steward/internal/lease/leasetest"
	"sigs.k8s.io/steward/internal/wal"
)

func TestStore(t *testing.T) {
	for name, snapshot := range map[string]int64{"log alone": 1 << 30, "with snapshots": 2048} {
		t.Run(name, func(t *testing.T) {
			leasetest.Run(t, func(t *testing.T) leasetest.Backend {
				return &machine{dir: filepath.Join(t.TempDir(), "pool"), snapshot: snapshot}
			})
		})
	}
}

// What a process leaves that was killed in the middle of a snapshot goes.
func TestUnfinishedSnapshot(t *testing.T) {
	dir := t.TempDir()
	left, other := filepath.Join(dir, ".snapshot-123"), filepath.Join(dir, "notes")
	for _, name := range []string{left, other} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

// machine is a directory and the process that has it open. Killed means that its disk does nothing more for it.
type machine struct {
	dir      string
	snapshot int64
	store    *Store

	mu     sync.Mutex
	at     int // the write at which the process is killed
	late   bool
	writes int
	dead   bool
}

func (m *machine) Open(t *testing.T) lease.Store {
	t.Helper()
	if m.store != nil {
		_ = m.store.Close() // reports what killed it
	}
	m.mu.Lock()
	m.dead = false
	m.mu.Unlock()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s, err := Open(m.dir, Options{
		Log:           wal.Options{SegmentBytes: 1 << 20, Sink: func(f *os.File) wal.Sink { return &plug{f, m} }},
		SnapshotBytes: m.snapshot, Say: logrus.NewEntry(log),
	})
	if err != nil {
		if m.killed() {
			return corpse{}
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	m.store = s
	return s
}

func (m *machine) Cut(n int, late bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at, m.late, m.writes, m.dead = n, late, 0, false
}

func (m *machine) Writes() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.writes
}

func (m *machine) killed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

func (m *machine) Rival(t *testing.T) lease.Store {
	t.Helper()
	if _, err := Open(m.dir, Options{}); !errors.Is(err, wal.ErrLocked) {
		t.Errorf("a second process opens the pool: %v", err)
	}
	return nil
}

func (m *machine) TooMuch() []lease.Record {
	r := lease.Resource{Name: "large", Type: "t", UserData: map[string]string{"x": strings.Repeat("x", 2<<20)}}
	return []lease.Record{{Kind: lease.KindResource, Key: r.Name, Resource: &r}}
}

var errKilled = errors.New("the process was killed")

// plug is a segment file of a process that may be killed.
type plug struct {
	file *os.File
	m    *machine
}

func (p *plug) Write(b []byte) (int, error) {
	err := p.do(func() error {
		_, err := p.file.Write(b)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *plug) Sync() error { return p.do(p.file.Sync) }

func (p *plug) do(act func() error) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.m.dead {
		return errKilled
	}
	p.m.writes++
	if p.m.writes != p.m.at {
		return act()
	}
	p.m.dead = true
	if p.m.late {
		return errors.Join(act(), errKilled)
	}
	return errKilled
}

// corpse is a process that was killed before it had opened the pool.
type corpse struct{ lease.Store }

func (corpse) Load(context.Context) (lease.State, lease.Epoch, error) { return nil, 0, errKilled }
