// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// stuck is a store that does not answer some questions, and tells as little of a file as a foreign writer left.
type stuck struct {
	filestore.Store
	list, stat, read bool
}

func (s stuck) List(ctx context.Context, prefix string) iter.Seq2[filestore.Object, error] {
	return func(yield func(filestore.Object, error) bool) {
		for o, err := range s.Store.List(ctx, prefix) {
			if !yield(bare(o), err) {
				return
			}
			if s.list {
				<-ctx.Done()
				yield(filestore.Object{}, ctx.Err())
				return
			}
		}
	}
}

func (s stuck) Stat(ctx context.Context, name string) (filestore.Object, error) {
	if s.stat {
		<-ctx.Done()
		return filestore.Object{}, ctx.Err()
	}
	o, err := s.Store.Stat(ctx, name)
	return bare(o), err
}

func (s stuck) Open(ctx context.Context, name string) (io.ReadCloser, filestore.Object, error) {
	r, o, err := s.Store.Open(ctx, name)
	if s.read && err == nil {
		r.Close()
		r = mute{ctx}
	}
	return r, bare(o), err
}

func bare(o filestore.Object) filestore.Object {
	o.SHA256, o.MD5 = "", ""
	return o
}

type mute struct{ ctx context.Context } //nolint:containedctx // of the request

func (m mute) Read([]byte) (int, error) {
	<-m.ctx.Done()
	return 0, m.ctx.Err()
}

func (mute) Close() error { return nil }

// TestStoreThatHangs (PF-11): it is given up after a while, and no other store is held up.
func TestStoreThatHangs(t *testing.T) {
	for name, hang := range map[string]stuck{
		"listed":    {list: true},
		"asked":     {stat: true},
		"read":      {read: true},
		"not stuck": {},
	} {
		t.Run(name, func(t *testing.T) {
			bases, stores := []string{"file:///staging/", "file:///one/", "file:///two/"}, map[string]filestore.Store{}
			for i, base := range bases {
				dir := t.TempDir()
				for _, name := range []string{"x", "y"} {
					if err := os.WriteFile(filepath.Join(dir, name), []byte("content"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				d := disk.OpenFolder(dir)
				t.Cleanup(func() { _ = d.Close() })
				stores[base] = stuck{Store: d}
				if i == 1 {
					hang.Store = d
					stores[base] = hang
				}
			}
			p := &fileProject{declared: &manifest.FileProject{
				Name: "p", Whole: true, Source: manifest.Filestore{Base: bases[0]}, Destinations: []manifest.Filestore{{Base: bases[1]}, {Base: bases[2]}},
				Files: []manifest.DeclaredFile{{Name: "x", SHA256: fmt.Sprintf("%064d", 0)}, {Name: "y", SHA256: fmt.Sprintf("%064d", 0)}},
			}}
			if name == "asked" {
				p.scope.Names = map[string]bool{"x": true}
			}
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				r := &fileRun{flags: &filesFlags{}, stores: stores, progress: newProgress(io.Discard)}
				held := r.read(t.Context(), p)
				if name == "not stuck" {
					if len(r.coverage.Gaps) > 0 || held[1]["x"].SHA256 == "" || time.Since(began) > 0 {
						t.Errorf("gaps %v, held %v after %v", r.coverage.Gaps, held, time.Since(began))
					}
					return
				}
				if took := time.Since(began); took != storePatience {
					t.Errorf("it took %v", took)
				}
				if gaps := map[bool]int{false: 1, true: 2}[name == "read"]; len(r.coverage.Gaps) != gaps || r.coverage.Gaps[0].Reason != finding.TimedOut ||
					r.coverage.Gaps[0].Scope != bases[1]+map[string]string{"read": "x"}[name] {
					t.Errorf("gaps %v", r.coverage.Gaps)
				}
				if held[2]["x"].SHA256 == "" || !p.unread {
					t.Errorf("the other store: %v", held[2])
				}
			})
		})
	}
}

// A run that is ended says so, and not that a store is late.
func TestPatienceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := patiently(ctx, func(ctx context.Context, _ func()) error { return ctx.Err() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
