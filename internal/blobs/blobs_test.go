// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package blobs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

var _ copier.Destination = (*Buckets)(nil)

const base = "s3://example-blobs/"

// folder is a bucket in a directory.
func folder(t *testing.T) filestore.Store {
	t.Helper()
	f := disk.OpenFolder(t.TempDir())
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func open(content []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}

func reason(t *testing.T, err error) finding.Reason {
	t.Helper()
	var unread *audit.Unread
	if !errors.As(err, &unread) {
		t.Fatalf("%v is no failure of the bucket", err)
	}
	return unread.Reason
}

// Blobs of every size arrive under the names that archeio asks for, and records under those of geranos.
func TestNames(t *testing.T) {
	store := folder(t)
	b, name := New(map[string]filestore.Store{base: store}), Name(base)
	for _, size := range []int{0, 1, filestore.PieceSize - 1, filestore.PieceSize, filestore.PieceSize + 1, 2 * filestore.PieceSize} {
		content := bytes.Repeat([]byte{'x'}, size)
		digest := manifest.DigestOf(content)
		for range 2 { // who comes second finds it there
			if mounted, err := b.Upload(t.Context(), name, digest, int64(size), "elsewhere", open(content)); err != nil || mounted {
				t.Fatalf("%d bytes: %v, %v", size, mounted, err)
			}
		}
		if got, _, err := filestoretest.Get(t.Context(), store, "containers/images/"+digest); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d are there, %v", size, len(got), err)
		}
		if got, has, err := b.HasBlob(t.Context(), name, digest); err != nil || !has || got != int64(size) {
			t.Errorf("%d bytes: %v, %v", size, has, err)
		}
	}
	body := []byte(`{"schemaVersion":2}`)
	digest := manifest.DigestOf(body)
	if _, err := b.Resolve(t.Context(), name, digest); !errors.Is(err, manifest.ErrNoManifest) {
		t.Errorf("before: %v", err)
	}
	if listed, err := b.PutManifest(t.Context(), name, "v1", "application/x", body); err != nil || !listed {
		t.Fatalf("%v, %v", listed, err)
	}
	if got, _, err := filestoretest.Get(t.Context(), store, "geranos/uploaded-images/"+digest); err != nil || !bytes.Equal(got, body) {
		t.Errorf("record %q, %v", got, err)
	}
	if got, _, err := b.Manifest(t.Context(), name, digest); err != nil || !bytes.Equal(got, body) {
		t.Errorf("manifest %q, %v", got, err)
	}
	if got, err := b.Resolve(t.Context(), name, digest); err != nil || got != digest {
		t.Errorf("after: %q, %v", got, err)
	}
	for _, ask := range []func() error{
		func() error { _, err := b.Resolve(t.Context(), name, "v1"); return err },
		func() error { _, _, err := b.Manifest(t.Context(), name, "v1"); return err },
		func() error { _, _, err := b.Manifest(t.Context(), name, manifest.DigestOf(nil)); return err },
	} {
		if err := ask(); !errors.Is(err, manifest.ErrNoManifest) {
			t.Errorf("%v", err)
		}
	}
	if err := filestoretest.Put(t.Context(), store, "geranos/uploaded-images/README", "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if all, err := b.Records(t.Context(), name); err != nil || len(all) != 1 {
		t.Errorf("records %v, %v", all, err)
	} else if _, has := all[digest]; !has {
		t.Errorf("records %v", all)
	}
}

// What stands under a name and is not what it says is not taken for it.
func TestOtherContent(t *testing.T) {
	store := folder(t)
	b, name := New(map[string]filestore.Store{base: store}), Name(base)
	content := []byte("content")
	digest := manifest.DigestOf(content)
	for _, at := range []string{blobPrefix, recordPrefix} {
		if err := filestoretest.Put(t.Context(), store, at+digest, "", []byte("short")); err != nil {
			t.Fatal(err)
		}
	}
	_, err := b.Upload(t.Context(), name, digest, int64(len(content)), "", open(content))
	if reason(t, err) != finding.Malformed || !strings.Contains(err.Error(), "5 bytes there instead of 7: remove it") {
		t.Errorf("%v", err)
	}
	if _, _, err = b.Manifest(t.Context(), name, digest); reason(t, err) != finding.Malformed {
		t.Errorf("%v", err)
	}
}

var errSource = errors.New("the source failed")

// A source that fails, or has less than it says, leaves nothing behind, and its error is to be seen.
func TestSourceFails(t *testing.T) {
	store := folder(t)
	b, name := New(map[string]filestore.Store{base: store}), Name(base)
	digest := manifest.DigestOf([]byte("content"))
	for text, from := range map[string]func(context.Context) (io.ReadCloser, error){
		"open": func(context.Context) (io.ReadCloser, error) { return nil, errSource },
		"read": func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("con"), failing{})), nil
		},
		"short": open([]byte("con")),
	} {
		_, err := b.Upload(t.Context(), name, digest, 7, "", from)
		if err == nil || text != "short" && !errors.Is(err, errSource) {
			t.Errorf("%s: %v", text, err)
		}
		if _, has, err := b.HasBlob(t.Context(), name, digest); err != nil || has {
			t.Errorf("%s: %v, %v", text, has, err)
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errSource }

// hanging is a store that never answers.
type hanging struct{ filestore.Store }

func (hanging) Stat(ctx context.Context, _ string) (filestore.Object, error) {
	<-ctx.Done()
	return filestore.Object{}, ctx.Err()
}

func (hanging) List(ctx context.Context, _ string) iter.Seq2[filestore.Object, error] {
	return func(yield func(filestore.Object, error) bool) {
		<-ctx.Done()
		yield(filestore.Object{}, ctx.Err())
	}
}

func (hanging) Create(ctx context.Context, _, _ string, _ filestore.Content) (filestore.Sink, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (hanging) Open(ctx context.Context, _ string) (io.ReadCloser, filestore.Object, error) {
	<-ctx.Done()
	return nil, filestore.Object{}, ctx.Err()
}

// A bucket that hangs fails after a while, and says which one it is.
func TestHang(t *testing.T) {
	digest := manifest.DigestOf(nil)
	for name, ask := range map[string]func(context.Context, *Buckets) error{
		"has": func(ctx context.Context, b *Buckets) error {
			_, _, err := b.HasBlob(ctx, Name(base), digest)
			return err
		},
		"records": func(ctx context.Context, b *Buckets) error { _, err := b.Records(ctx, Name(base)); return err },
		"manifest": func(ctx context.Context, b *Buckets) error {
			_, _, err := b.Manifest(ctx, Name(base), digest)
			return err
		},
		"put": func(ctx context.Context, b *Buckets) error {
			_, err := b.PutManifest(ctx, Name(base), "", "", nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := ask(t.Context(), New(map[string]filestore.Store{base: hanging{}}))
				if reason(t, err) != finding.Unavailable || !strings.Contains(err.Error(), base+": no answer for 2m0s") {
					t.Errorf("%v", err)
				}
			})
		})
	}
}
