// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package gcs

import (
	"context"
	"crypto/md5" //nolint:gosec // Cloud Storage's checksum; the content is proven by its sha256
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"iter"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/manifest"
)

// sumKey is the metadata in which a writer leaves what it proved.
const sumKey = "steward-sha256"

// Files is a filestore.Store: a bucket below a prefix.
type Files struct {
	client *storage.Client
	bucket *storage.BucketHandle
	prefix string // "" or ending in a slash
}

// OpenFiles connects. It reads nothing.
func OpenFiles(ctx context.Context, bucket, prefix string, opts ...option.ClientOption) (*Files, error) {
	client, err := storage.NewClient(ctx, append([]option.ClientOption{storage.WithJSONReads()}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("open filestore gs://%s: %w", bucket, err)
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Files{client: client, bucket: client.Bucket(bucket), prefix: prefix}, nil
}

// Close ends the connections.
func (f *Files) Close() error { return f.client.Close() }

func (f *Files) handle(name string) (*storage.ObjectHandle, error) {
	if !manifest.IsFileName(name) {
		return nil, fmt.Errorf("%q is not the name of a file in a store", name)
	}
	return f.bucket.Object(f.prefix + name), nil
}

// tell turns an answer of the API into the store's own errors. What a server wrote is left
// out of the others.
func tell(err error) error {
	var answer *googleapi.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrObjectNotExist):
		return filestore.ErrNotFound
	case !errors.As(err, &answer):
		return fmt.Errorf("cloud storage: %w", err)
	case answer.Code == http.StatusPreconditionFailed:
		return filestore.ErrChanged
	case answer.Code == http.StatusNotFound:
		return filestore.ErrNotFound
	}
	return fmt.Errorf("cloud storage answers %d", answer.Code)
}

func (f *Files) object(a *storage.ObjectAttrs) filestore.Object {
	return filestore.Object{
		Name: strings.TrimPrefix(a.Name, f.prefix), Size: a.Size, SHA256: a.Metadata[sumKey], MD5: hex.EncodeToString(a.MD5),
		Version: strconv.FormatInt(a.Generation, 10),
	}
}

// Stat implements filestore.Store.
func (f *Files) Stat(ctx context.Context, name string) (filestore.Object, error) {
	h, err := f.handle(name)
	if err != nil {
		return filestore.Object{}, err
	}
	attrs, err := h.Attrs(ctx)
	if err != nil {
		return filestore.Object{}, tell(err)
	}
	return f.object(attrs), nil
}

// List implements filestore.Store, with a request for every thousand files.
func (f *Files) List(ctx context.Context, prefix string) iter.Seq2[filestore.Object, error] {
	return func(yield func(filestore.Object, error) bool) {
		query := &storage.Query{Prefix: f.prefix + prefix}
		if err := query.SetAttrSelection([]string{"Name", "Size", "MD5", "Generation", "Metadata"}); err != nil {
			yield(filestore.Object{}, tell(err))
			return
		}
		for it := f.bucket.Objects(ctx, query); ; {
			attrs, err := it.Next()
			if errors.Is(err, iterator.Done) {
				return
			}
			if err != nil {
				yield(filestore.Object{}, tell(err))
				return
			}
			if o := f.object(attrs); manifest.IsFileName(o.Name) && !yield(o, nil) {
				return
			}
		}
	}
}

// Open implements filestore.Store. The content is read at the generation that the object has. One that is stored with
// Content-Encoding gzip comes unpacked, so it is never of its size: such a file is refused and not promoted.
func (f *Files) Open(ctx context.Context, name string) (io.ReadCloser, filestore.Object, error) {
	h, err := f.handle(name)
	if err != nil {
		return nil, filestore.Object{}, err
	}
	attrs, err := h.Attrs(ctx)
	if err != nil {
		return nil, filestore.Object{}, tell(err)
	}
	r, err := h.Generation(attrs.Generation).NewReader(ctx)
	if err != nil {
		return nil, filestore.Object{}, tell(err)
	}
	return r, f.object(attrs), nil
}

// chunkRetry is how long a piece is tried again.
const chunkRetry = 2 * time.Minute

// Create implements filestore.Store by a resumable upload of pieces.
func (f *Files) Create(ctx context.Context, name, version string, c filestore.Content) (filestore.Sink, error) {
	h, err := f.handle(name)
	if err != nil {
		return nil, err
	}
	match := storage.Conditions{DoesNotExist: true}
	if version != "" {
		generation, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("version %q is not one of cloud storage", version)
		}
		match = storage.Conditions{GenerationMatch: generation}
	}
	s := &sink{content: c, sum: md5.New(), check: crc32.New(crc32.MakeTable(crc32.Castagnoli))} //nolint:gosec // see the import
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.w = h.If(match).NewWriter(s.ctx)
	s.w.ChunkSize, s.w.ChunkRetryDeadline = filestore.PieceSize, chunkRetry
	if c.Size < filestore.PieceSize {
		s.w.ChunkSize = int(c.Size) + 1 // one request
	}
	s.w.ContentType = "application/octet-stream"
	s.w.Metadata = map[string]string{sumKey: c.SHA256}
	return s, nil
}

// Keep implements filestore.Store by a copy within the bucket.
func (f *Files) Keep(ctx context.Context, name, version, to string) error {
	from, err := f.handle(name)
	if err != nil {
		return err
	}
	target, err := f.handle(to)
	if err != nil {
		return err
	}
	attrs, err := from.Attrs(ctx)
	switch {
	case errors.Is(err, storage.ErrObjectNotExist), err == nil && strconv.FormatInt(attrs.Generation, 10) != version:
		return filestore.ErrChanged
	case err != nil:
		return tell(err)
	}
	copier := target.If(storage.Conditions{DoesNotExist: true}).CopierFrom(from.Generation(attrs.Generation))
	copier.Metadata, copier.ContentType = maps.Clone(attrs.Metadata), attrs.ContentType
	_, err = copier.Run(ctx)
	if err = tell(err); errors.Is(err, filestore.ErrChanged) {
		return nil // it is kept already
	}
	return err
}

// sink is an upload.
type sink struct {
	ctx     context.Context //nolint:containedctx // lives as long as one upload
	cancel  context.CancelFunc
	w       *storage.Writer
	content filestore.Content
	sum     hash.Hash
	check   hash.Hash32
	sent    int64
}

// Write implements filestore.Sink.
func (s *sink) Write(p []byte) (int, error) {
	s.sum.Write(p)
	s.check.Write(p)
	n, err := s.w.Write(p)
	s.sent += int64(n)
	return n, tell(err)
}

// Abort implements filestore.Sink: an upload that is not finished is nothing.
func (s *sink) Abort() {
	s.cancel()
	_ = s.w.Close() // of a context that has ended
}

// Commit implements filestore.Sink. What the bucket has computed of what it holds is compared.
func (s *sink) Commit() error {
	defer s.cancel()
	if err := s.ctx.Err(); err != nil {
		s.Abort()
		return err
	}
	if err := s.w.Close(); err != nil {
		return tell(err)
	}
	attrs := s.w.Attrs()
	wrong := attrs.Size != s.sent || attrs.CRC32C != s.check.Sum32() || len(attrs.MD5) > 0 && hex.EncodeToString(attrs.MD5) != hex.EncodeToString(s.sum.Sum(nil))
	if wrong {
		return fmt.Errorf("the bucket holds other bytes than it was sent: %w", filestore.ErrContent)
	}
	return nil
}
