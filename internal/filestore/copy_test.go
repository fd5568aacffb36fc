// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
)

// folder is a store in a directory.
func folder(t *testing.T) *disk.Folder {
	t.Helper()
	f := disk.OpenFolder(t.TempDir())
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// spy counts and breaks what goes through a store.
type spy struct {
	filestore.Store
	opened  atomic.Int32
	open    func(n int32) error                          // before the open of that number
	reader  func(n int32, r io.ReadCloser) io.ReadCloser // of the open of that number
	written func(piece int) error                        // instead of a write
	commit  func(sink filestore.Sink) error
	create  error
	stat    error
}

func (s *spy) Open(ctx context.Context, name string) (io.ReadCloser, filestore.Object, error) {
	n := s.opened.Add(1)
	if s.open != nil {
		if err := s.open(n); err != nil {
			return nil, filestore.Object{}, fail(ctx, err)
		}
	}
	r, o, err := s.Store.Open(ctx, name)
	if err == nil && s.reader != nil {
		r = &spyReader{s.reader(n, r), ctx}
	}
	return r, o, err
}

func (s *spy) Stat(ctx context.Context, name string) (filestore.Object, error) {
	if s.stat != nil {
		return filestore.Object{}, fail(ctx, s.stat)
	}
	return s.Store.Stat(ctx, name)
}

type spyReader struct {
	io.ReadCloser
	ctx context.Context
}

func (s *spyReader) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	return n, fail(s.ctx, err)
}

func (s *spy) Create(ctx context.Context, name, version string, c filestore.Content) (filestore.Sink, error) {
	if s.create != nil {
		return nil, s.create
	}
	sink, err := s.Store.Create(ctx, name, version, c)
	return &spySink{Sink: sink, spy: s, ctx: ctx}, err
}

type spySink struct {
	filestore.Sink
	spy    *spy
	ctx    context.Context
	pieces int
}

func (s *spySink) Write(p []byte) (int, error) {
	s.pieces++
	if s.spy.written != nil {
		if err := s.spy.written(s.pieces); err != nil {
			return 0, fail(s.ctx, err)
		}
	}
	return s.Sink.Write(p)
}

func (s *spySink) Commit() error {
	if s.spy.commit != nil {
		return fail(s.ctx, s.spy.commit(s.Sink))
	}
	return s.Sink.Commit()
}

var errHang = errors.New("hang")

// fail returns an error; one that hangs waits for the end of ctx.
func fail(ctx context.Context, err error) error {
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// cut ends a reader early.
type cut struct {
	io.Reader
	io.Closer
	err error
}

func (c cut) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = c.err
	}
	return n, err
}

// TestCopy (PF-9 to PF-13) breaks one thing at a time. ok are the targets that have the file afterwards.
func TestCopy(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), filestore.PieceSize/16*2+3)
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		source func(*spy)
		second func(*spy) // the second of three targets
		ok     string
		reads  int32
		err    string
	}{
		"all is well":                  {ok: "1 1 1", reads: 1},
		"a store refuses":              {second: func(s *spy) { s.create = boom }, ok: "1 0 1", reads: 3, err: "boom"},
		"a store breaks in the middle": {second: func(s *spy) { s.written = func(n int) error { return map[int]error{2: boom}[n] } }, ok: "1 0 1", reads: 3, err: "boom"},
		"a store breaks once": {second: func(s *spy) {
			var n atomic.Int32
			s.written = func(int) error { return map[int32]error{2: boom}[n.Add(1)] }
		}, ok: "1 1 1", reads: 2},
		"a store hangs": {second: func(s *spy) { s.written = func(int) error { return errHang } }, ok: "1 0 1", reads: 3, err: "took longer than 5m0s"},
		"a store hangs at the end, and when it is asked": {second: func(s *spy) {
			s.commit = func(k filestore.Sink) error { k.Abort(); return errHang }
			s.stat = errHang
		}, ok: "1 0 1", reads: 3, err: "took longer than 5m0s"},
		"the end of a write is lost": {second: func(s *spy) { s.commit = func(k filestore.Sink) error { return errors.Join(k.Commit(), boom) } }, ok: "1 1 1", reads: 1},
		"the end of a write fails":   {second: func(s *spy) { s.commit = func(k filestore.Sink) error { k.Abort(); return boom } }, ok: "1 0 1", reads: 3, err: "boom"},
		"somebody else wrote":        {second: func(s *spy) { s.commit = func(k filestore.Sink) error { k.Abort(); return filestore.ErrChanged } }, ok: "1 0 1", reads: 1, err: "not what it was"},
		"the source ends early": {source: func(s *spy) {
			s.reader = func(_ int32, r io.ReadCloser) io.ReadCloser { return cut{io.LimitReader(r, 100), r, io.EOF} }
		}, ok: "0 0 0", reads: 3, err: "100 bytes came"},
		"the source breaks once": {source: func(s *spy) {
			s.reader = func(n int32, r io.ReadCloser) io.ReadCloser {
				if n == 1 {
					return cut{io.LimitReader(r, filestore.PieceSize+5), r, boom}
				}
				return r
			}
		}, ok: "1 1 1", reads: 2},
		"the source does not open":      {source: func(s *spy) { s.open = func(int32) error { return errHang } }, ok: "0 0 0", reads: 3, err: "source: nothing came for 5m0s"},
		"the source does not open once": {source: func(s *spy) { s.open = func(n int32) error { return map[int32]error{1: errHang}[n] } }, ok: "1 1 1", reads: 2},
		"the source hangs": {source: func(s *spy) {
			s.reader = func(_ int32, r io.ReadCloser) io.ReadCloser {
				return cut{io.LimitReader(r, filestore.PieceSize), r, errHang}
			}
		}, ok: "0 0 0", reads: 3, err: "source: nothing came for 5m0s"},
		"the source hangs in the middle of a piece": {source: func(s *spy) {
			s.reader = func(_ int32, r io.ReadCloser) io.ReadCloser {
				return cut{io.LimitReader(r, filestore.PieceSize+5), r, errHang}
			}
		}, ok: "0 0 0", reads: 3, err: "source: only 5 bytes came in 5m0s"},
		"the source hangs in the middle of a piece, once": {source: func(s *spy) {
			s.reader = func(n int32, r io.ReadCloser) io.ReadCloser {
				if n == 1 {
					return cut{io.LimitReader(r, filestore.PieceSize+5), r, errHang}
				}
				return r
			}
		}, ok: "1 1 1", reads: 2},
		"the source has another content": {source: func(s *spy) {
			s.reader = func(_ int32, r io.ReadCloser) io.ReadCloser {
				return cut{io.MultiReader(strings.NewReader("X"), io.LimitReader(r, int64(len(content)-1))), r, io.EOF}
			}
		}, ok: "0 0 0", reads: 3, err: "not what is declared"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, second := &spy{Store: folder(t)}, &spy{Store: folder(t)}
				if tt.source != nil {
					tt.source(source)
				}
				if tt.second != nil {
					tt.second(second)
				}
				copied(t, content, source, second, tt.ok, tt.err)
				if n := source.opened.Load(); n != tt.reads {
					t.Errorf("%d reads, want %d", n, tt.reads)
				}
			})
		})
	}
}

// copied copies a file to three targets. Those of ok have it afterwards, and of the others it is said why not.
func copied(t *testing.T, content []byte, source, second *spy, ok, why string) {
	t.Helper()
	if err := filestoretest.Put(t.Context(), source.Store, "x", "", content); err != nil {
		t.Fatal(err)
	}
	stores := []*spy{{Store: folder(t)}, second, {Store: folder(t)}}
	job := filestore.Job{Name: "x", SHA256: filestoretest.Sum(content), From: source}
	for _, s := range stores {
		job.To = append(job.To, filestore.Target{Store: s})
	}
	told := 0
	outcomes := filestore.Copy(t.Context(), []filestore.Job{job}, filestore.Options{}, func(filestore.Event) { told++ })
	var have []string
	for i, s := range stores {
		got, o, err := filestoretest.Get(t.Context(), s.Store, "x")
		there := err == nil && bytes.Equal(got, content) && o.SHA256 == job.SHA256
		if !there && !errors.Is(err, filestore.ErrNotFound) {
			t.Errorf("target %d has something else: %d bytes, %v", i, len(got), err)
		}
		if there != (outcomes[i].Err == nil) {
			t.Errorf("target %d: there %v, said %v", i, there, outcomes[i].Err)
		}
		if !there && !strings.Contains(fmt.Sprint(outcomes[i].Err), why) {
			t.Errorf("target %d: %v, want %s", i, outcomes[i].Err, why)
		}
		have = append(have, fmt.Sprint(boolInt(there)))
	}
	if got := strings.Join(have, " "); got != ok || told != 3 || len(outcomes) != 3 {
		t.Errorf("targets %s, told %d times; want %s", got, told, ok)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// What is overwritten is kept, and only what was meant is overwritten (PF-12).
func TestOverwrite(t *testing.T) {
	ctx := t.Context()
	source, target := folder(t), folder(t)
	for _, err := range []error{
		filestoretest.Put(ctx, source, "d/x", "", []byte("new")), filestoretest.Put(ctx, target, "d/x", "", []byte("old")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	old, err := target.Stat(ctx, "d/x")
	if err != nil {
		t.Fatal(err)
	}
	job := filestore.Job{Name: "d/x", SHA256: filestoretest.Sum([]byte("new")), From: source, To: []filestore.Target{{Store: target, Replaces: "another", Kept: ".replaced/x"}}}
	if got := filestore.Copy(ctx, []filestore.Job{job}, filestore.Options{}, func(filestore.Event) {}); !errors.Is(got[0].Err, filestore.ErrChanged) {
		t.Errorf("%v", got)
	}
	job.To[0].Replaces = old.Version
	if got := filestore.Copy(ctx, []filestore.Job{job}, filestore.Options{}, func(filestore.Event) {}); got[0].Err != nil || got[0].Bytes != 3 {
		t.Errorf("%v", got)
	}
	for name, want := range map[string]string{"d/x": "new", ".replaced/x": "old"} {
		if got, _, err := filestoretest.Get(ctx, target, name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
}

// Many files at once, and an end in the middle: what is there is whole.
func TestCopyEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	source, target := folder(t), folder(t)
	var jobs []filestore.Job
	for i := range 40 {
		content := bytes.Repeat([]byte{byte(i)}, 1000*i)
		name := fmt.Sprintf("f%02d", i)
		if err := filestoretest.Put(ctx, source, name, "", content); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, filestore.Job{Name: name, SHA256: filestoretest.Sum(content), From: source, To: []filestore.Target{{Store: target}}})
	}
	done := 0
	outcomes := filestore.Copy(ctx, jobs, filestore.Options{Parallel: 4}, func(filestore.Event) {
		if done++; done == 15 {
			stop()
		}
	})
	there, err := filestoretest.List(t.Context(), target, "")
	if err != nil || len(outcomes) != 40 {
		t.Fatal(err, len(outcomes))
	}
	for _, o := range outcomes {
		if _, is := there[jobs[o.Job].Name]; is != (o.Err == nil) {
			t.Errorf("%s: there %v, said %v", jobs[o.Job].Name, is, o.Err)
		}
	}
	if len(there) < 15 || len(there) == 40 {
		t.Errorf("%d are there", len(there))
	}
	left, err := os.ReadDir(filepath.Join(target.Dir(), ".steward", "new"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
