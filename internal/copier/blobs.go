// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"io"
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// place is what is known of one blob on one host. The spool's lock guards it.
type place struct {
	in      []string      // repositories that have it
	doing   []string      // repositories that are getting it
	changed chan struct{} // closed when either changes
}

// place is to be called with the spool's lock.
func (b *blob) place(host string) *place {
	p := b.at[host]
	if p == nil {
		p = &place{changed: make(chan struct{})}
		b.at[host] = p
	}
	return p
}

// claim says that a repository is to get a blob now, and from which other one it may be
// shared; had says that it has it already. A repository gets a blob once; the first
// repository of a host gets it before the others do, so that they can mount it.
func (s *spool) claim(ctx context.Context, b *blob, host, repository string) (from string, had bool, err error) {
	for {
		s.mu.Lock()
		p := b.place(host)
		switch {
		case slices.Contains(p.in, repository):
			s.mu.Unlock()
			return "", true, nil
		case !slices.Contains(p.doing, repository) && (len(p.in) > 0 || len(p.doing) == 0):
			if len(p.in) > 0 {
				from = p.in[0]
			}
			p.doing = append(p.doing, repository)
			s.mu.Unlock()
			return from, false, nil
		}
		changed := p.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		}
	}
}

// settle ends a claim.
func (s *spool) settle(b *blob, host, repository string, has bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := b.at[host]
	p.doing = slices.DeleteFunc(p.doing, func(r string) bool { return r == repository })
	if has {
		p.in = append(p.in, repository)
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// has notes that a repository holds those of the blobs that are known.
func (s *spool) has(blobs []*blob, known map[string]bool, host, repository string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range blobs {
		if !known[b.Digest] {
			continue
		}
		p := b.place(host)
		if !slices.Contains(p.in, repository) {
			p.in = append(p.in, repository)
		}
	}
}

// bring sees to it that the target has a blob.
func (t *task) bring(ctx context.Context, b *blob) error {
	from, had, err := t.run.spool.claim(ctx, b, t.host.name, t.Repository)
	if err != nil || had {
		return err
	}
	has := false
	defer func() { t.run.spool.settle(b, t.host.name, t.Repository, has) }()
	if from == "" && manifest.HostOf(t.source) == t.host.name {
		from = t.source
	}
	if from == "" && t.asks() {
		err = t.host.write(ctx, func() (err error) {
			has, err = t.run.to.HasBlob(ctx, t.Repository, b.Digest)
			return err
		})
		if err != nil || has {
			return err
		}
	}
	var mounted bool
	err = t.host.write(ctx, func() (err error) {
		mounted, err = t.run.to.Upload(ctx, t.Repository, b.Digest, b.Size, from, func(ctx context.Context) (io.ReadCloser, error) {
			return &ours{ReadCloser: t.run.spool.open(ctx, t.source, b)}, nil
		})
		return err
	})
	if err != nil {
		return err
	}
	has = true
	t.sent(b, mounted)
	return nil
}

// errSource is a failure that is not the destination's.
type errSource struct{ error }

func (e errSource) Unwrap() error { return e.error }

// ours marks the failures of a reader of ours.
type ours struct{ io.ReadCloser }

func (o *ours) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // io.Reader's own word
		err = errSource{err}
	}
	return n, err
}

// sent counts.
func (t *task) sent(b *blob, mounted bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mounted {
		t.out.Mounted++
		return
	}
	t.out.Uploaded++
	t.out.Bytes += b.Size
}
