// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gcs is a state.Store in Cloud Storage: gs://BUCKET/PREFIX.
//
// A version is an object's generation, and every write carries it as a precondition,
// so that the bucket itself decides between two writers. Credentials are those of the
// environment (application default credentials); STORAGE_EMULATOR_HOST points at an
// emulator, as for every client of Google's library.
package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"sigs.k8s.io/steward/internal/state"
)

// Store is a bucket below a prefix.
type Store struct {
	client *storage.Client
	bucket *storage.BucketHandle
	name   string // gs://bucket/prefix, for errors
	prefix string // "" or ending in a slash
}

// Open connects. It reads nothing: a bucket that is not there is found by the first Get.
func Open(ctx context.Context, bucket, prefix string, opts ...option.ClientOption) (*Store, error) {
	// Reads by JSON, so that an emulator needs one protocol only.
	client, err := storage.NewClient(ctx, append([]option.ClientOption{storage.WithJSONReads()}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("open state gs://%s: %w", bucket, err)
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return &Store{client: client, bucket: client.Bucket(bucket), name: "gs://" + bucket + "/" + prefix, prefix: prefix}, nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

func (s *Store) object(key string) (*storage.ObjectHandle, error) {
	if err := state.CheckKey(key); err != nil {
		return nil, err
	}
	return s.bucket.Object(s.prefix + key), nil
}

// Get reads the newest generation.
func (s *Store) Get(ctx context.Context, key string) ([]byte, state.Version, error) {
	object, err := s.object(key)
	if err != nil {
		return nil, "", err
	}
	r, err := object.NewReader(ctx)
	if err != nil {
		return nil, "", s.explain(key, err)
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, state.MaxObject+1))
	if err != nil {
		return nil, "", s.explain(key, err)
	}
	if len(content) > state.MaxObject {
		return nil, "", fmt.Errorf("%s%s: more than %d bytes", s.name, key, state.MaxObject)
	}
	return content, versionOf(r.Attrs.Generation), nil
}

func versionOf(generation int64) state.Version {
	return state.Version(strconv.FormatInt(generation, 10))
}

// conditions are those under which version v is what is stored.
func conditions(v state.Version) (storage.Conditions, error) {
	if v == state.Absent {
		return storage.Conditions{DoesNotExist: true}, nil
	}
	generation, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		return storage.Conditions{}, fmt.Errorf("version %q is not one of Cloud Storage", v)
	}
	return storage.Conditions{GenerationMatch: generation}, nil
}

// Put writes with a precondition. It is tried again by the library after errors that
// pass, which the precondition makes safe; where an attempt whose answer was lost had
// succeeded, the next one is a conflict. Whoever can tell its own content from that of
// others looks.
func (s *Store) Put(ctx context.Context, key string, content []byte, v state.Version) (state.Version, error) {
	object, err := s.object(key)
	if err != nil {
		return "", err
	}
	match, err := conditions(v)
	if err != nil {
		return "", err
	}
	w := object.If(match).NewWriter(ctx)
	w.ContentType = contentType(key)
	// Reports are read by people and by steward-hook while they are fresh.
	w.CacheControl = "no-cache"
	_, err = w.Write(content)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", s.explain(key, err)
	}
	return versionOf(w.Attrs().Generation), nil
}

func contentType(key string) string {
	for suffix, kind := range map[string]string{".json": "application/json", ".html": "text/html; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".xml": "application/xml"} {
		if strings.HasSuffix(key, suffix) {
			return kind
		}
	}
	return "application/octet-stream"
}

// Delete removes a generation.
func (s *Store) Delete(ctx context.Context, key string, v state.Version) error {
	object, err := s.object(key)
	if err != nil {
		return err
	}
	if v != state.Any {
		match, err := conditions(v)
		if err != nil {
			return err
		}
		object = object.If(match)
	}
	if err := s.explain(key, object.Delete(ctx)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// List returns the keys below the store's prefix.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	query := &storage.Query{Prefix: s.prefix + prefix}
	if err := query.SetAttrSelection([]string{"Name"}); err != nil {
		return nil, s.explain(prefix, err)
	}
	var keys []string
	for objects := s.bucket.Objects(ctx, query); ; {
		attrs, err := objects.Next()
		if errors.Is(err, iterator.Done) {
			slices.Sort(keys)
			return keys, nil
		}
		if err != nil {
			return nil, s.explain(prefix, err)
		}
		if key := strings.TrimPrefix(attrs.Name, s.prefix); state.CheckKey(key) == nil {
			keys = append(keys, key)
		}
	}
}

// explain says in the words of package state what the library's error means.
func (s *Store) explain(key string, err error) error {
	var api *googleapi.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, storage.ErrBucketNotExist):
		return fmt.Errorf("%s: there is no such bucket, or no permission to see it", s.name)
	case errors.Is(err, storage.ErrObjectNotExist):
		return fmt.Errorf("%s%s: %w", s.name, key, fs.ErrNotExist)
	case errors.As(err, &api) && api.Code == http.StatusPreconditionFailed:
		return fmt.Errorf("%s%s: %w", s.name, key, state.ErrConflict)
	}
	return fmt.Errorf("%s%s: %w", s.name, key, err)
}
