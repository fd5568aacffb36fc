// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"io"
	"slices"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// place is what is known of one blob on one host. The spool's lock guards it.
type place struct {
	in      []string      // repositories that have it
	doing   []string      // repositories that are getting it
	changed chan struct{} // closed when either changes; nil while nobody waits
}

// place is to be called with the spool's lock.
func (b *blob) place(host string) *place {
	if b.at == nil {
		b.at = map[string]*place{}
	}
	p := b.at[host]
	if p == nil {
		p = &place{}
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
		if p.changed == nil {
			p.changed = make(chan struct{})
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
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
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
	err = t.deliver(ctx, b, from)
	t.run.spool.settle(b, t.host.name, t.Repository, err == nil)
	return err
}

// deliver sends a blob, unless it is there or the host shares it from another repository.
func (t *task) deliver(ctx context.Context, b *blob, from string) error {
	home := from == "" && manifest.HostOf(t.source) == t.host.name
	switch {
	case home:
		from = t.source
	case from == "" && t.asks():
		if has, err := t.has(ctx, b); err != nil || has {
			return err
		}
	}
	mounted, err := t.upload(ctx, b, from)
	if err == nil && mounted && home {
		// Nobody has read it, so its size is what the manifest says, and nothing more.
		if mounted, err = t.has(ctx, b); err == nil && !mounted {
			_, err = t.upload(ctx, b, "")
		}
	}
	if err == nil {
		t.sent(b, mounted)
	}
	return err
}

// has asks whether the target has a blob. One of another size is not what the source's manifest says.
func (t *task) has(ctx context.Context, b *blob) (has bool, err error) {
	var size int64
	err = t.write(ctx, func() (err error) {
		size, has, err = t.run.to.HasBlob(ctx, t.Repository, b.Digest)
		return err
	})
	if err == nil && has && size != b.Size {
		err = errSource{audit.Fail(finding.Malformed, "blob %s has %d bytes at %s, the image's manifest says %d",
			b.Digest, size, t.Repository, b.Size), t.source}
	}
	return has, err
}

// upload sends a blob. Where it was read from another image's source, and that failed, it is sent anew, from the own source in
// the end: each is asked once.
func (t *task) upload(ctx context.Context, b *blob, from string) (mounted bool, err error) {
	for {
		err = t.write(ctx, func() (err error) {
			mounted, err = t.run.to.Upload(ctx, t.Repository, b.Digest, b.Size, from, func(ctx context.Context) (io.ReadCloser, error) {
				return t.run.spool.open(ctx, t.source, b), nil
			})
			return err
		})
		var lost errSource
		if !errors.As(err, &lost) || lost.source == "" || lost.source == t.source {
			return mounted, err
		}
	}
}

// errSource is a failure that is not the destination's: of a source if it has a name, else of the way from there.
type errSource struct {
	error
	source string
}

func (e errSource) Unwrap() error { return e.error }

// OfSource tells whether the error of an outcome is the source's, so that no destination has to be looked at.
func OfSource(err error) bool {
	var lost errSource
	return errors.As(err, &lost)
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
