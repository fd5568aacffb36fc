// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
)

// few files are asked for one by one; for more a store is listed.
const (
	fewFiles  = 50
	askAtOnce = 16

	storePatience = 5 * time.Minute // with a page of a list, an answer, or a piece of a file
)

// read asks the stores of a project what they hold. One that cannot be read is a gap, and nil.
func (r *fileRun) read(ctx context.Context, p *fileProject) []filestore.Held {
	if filestore.Broken(p.declared) {
		p.unread = true
		return nil
	}
	bases := filestore.Bases(p.declared)
	held, errs := make([]filestore.Held, len(bases)), make([]error, len(bases))
	var all sync.WaitGroup
	for i, base := range bases {
		store, err := r.store(ctx, base)
		if errs[i] = err; err != nil {
			continue
		}
		all.Go(func() {
			errs[i] = patiently(ctx, func(ctx context.Context, alive func()) (err error) {
				held[i], err = hold(ctx, p, store, alive)
				return err
			})
		})
	}
	all.Wait()
	for i, base := range bases {
		r.unit(p, base, held[i], errs[i])
		if errs[i] != nil {
			held[i] = nil
		}
	}
	for name, o := range r.planned[bases[0]] {
		if held[0] != nil && p.scope.Has(name) {
			held[0][name] = o
		}
	}
	late := make([]error, len(bases)) // of stores that were given up
	for _, d := range filestore.Doubts(p.declared, p.scope, held, r.flags.prove) {
		var o filestore.Object
		err := late[d.Store]
		if err == nil {
			o, err = r.prove(ctx, r.stores[bases[d.Store]], d.Name)
		}
		if errors.Is(err, errLate) {
			late[d.Store] = err
		}
		if err != nil {
			r.gap(p, bases[d.Store]+d.Name, err)
			continue
		}
		held[d.Store][d.Name] = o
	}
	return held
}

// unit counts a store that was read, or not.
func (r *fileRun) unit(p *fileProject, base string, held filestore.Held, err error) {
	r.coverage.Units++
	if err != nil {
		r.gap(p, base, err)
		return
	}
	r.coverage.Read++
	r.coverage.Objects += len(held)
}

func (r *fileRun) gap(p *fileProject, scope string, err error) {
	p.unread = true
	r.coverage.Gaps = append(r.coverage.Gaps, audit.GapOf(scope, err))
}

// store opens a store once.
func (r *fileRun) store(ctx context.Context, base string) (filestore.Store, error) {
	if s := r.stores[base]; s != nil {
		return s, nil
	}
	s, done, err := r.deps.Files(ctx, base)
	if err != nil {
		return nil, err
	}
	r.stores[base], r.done = s, append(r.done, done)
	return s, nil
}

var errLate = errors.New("no answer")

// patiently asks a store for something. Where nothing comes for storePatience the store is given up: one that hangs holds no
// other, and no other project.
func patiently(ctx context.Context, do func(ctx context.Context, alive func()) error) error {
	ctx, alive, stop := pace.Watchdog(ctx, storePatience, audit.Fail(finding.TimedOut, "%w for %v", errLate, storePatience))
	defer stop()
	err := do(ctx, alive)
	if late := context.Cause(ctx); err != nil && late != nil {
		return late
	}
	return err
}

// hold asks one store for the files in question.
func hold(ctx context.Context, p *fileProject, store filestore.Store, alive func()) (filestore.Held, error) {
	if p.scope.Names != nil && len(p.scope.Names) <= fewFiles {
		return ask(ctx, slices.Sorted(maps.Keys(p.scope.Names)), store, alive)
	}
	held := filestore.Held{}
	for o, err := range store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		alive()
		if _, declared := p.declared.File(o.Name); declared && p.scope.Has(o.Name) {
			held[o.Name] = o
		}
	}
	return held, nil
}

// ask asks for files one by one.
func ask(ctx context.Context, names []string, store filestore.Store, alive func()) (filestore.Held, error) {
	objects, errs := make([]filestore.Object, len(names)), make([]error, len(names))
	pace.Each(names, askAtOnce, func(i int, name string) {
		objects[i], errs[i] = store.Stat(ctx, name)
		alive()
	})
	held := filestore.Held{}
	for i, name := range names {
		switch {
		case errors.Is(errs[i], filestore.ErrNotFound):
		case errs[i] != nil:
			return nil, errs[i]
		default:
			held[name] = objects[i]
		}
	}
	return held, nil
}

// prove finds out what the content of a file is: by what its writer left, or by reading it.
func (r *fileRun) prove(ctx context.Context, store filestore.Store, name string) (o filestore.Object, err error) {
	err = patiently(ctx, func(ctx context.Context, alive func()) error {
		if o, err = store.Stat(ctx, name); err != nil || o.SHA256 != "" {
			return err
		}
		r.progress.tell(func() string { return fmt.Sprintf("reading %s, of which nobody knows the content", name) })
		alive()
		o, err = content(ctx, store, name, alive)
		return err
	})
	return o, err
}

// content reads a file. Each piece that comes is a sign of life, as it is where files are copied.
func content(ctx context.Context, store filestore.Store, name string, alive func()) (filestore.Object, error) {
	in, o, err := store.Open(ctx, name)
	if err != nil {
		return o, err
	}
	defer in.Close() // it is only read
	sum, read := sha256.New(), int64(0)
	for err == nil {
		alive()
		var n int64
		n, err = io.CopyN(sum, in, filestore.PieceSize)
		read += n
	}
	if !errors.Is(err, io.EOF) {
		return o, err
	}
	if read != o.Size {
		return o, audit.Fail(finding.Unavailable, "%d bytes came instead of %d", read, o.Size)
	}
	o.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return o, nil
}
