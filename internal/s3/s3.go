// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package s3 is a filestore.Store in Amazon S3, or whatever speaks its protocol: s3://BUCKET/PREFIX.
//
// Credentials and endpoint are those of the environment (the SDK's own variables and files;
// AWS_ENDPOINT_URL points at another server). The region of a bucket is asked for once.
// Every part is sent with its sha256, which the server compares before it takes it.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/manifest"
)

// sumKey is the metadata in which a writer leaves what it proved.
const sumKey = "steward-sha256"

// Files is a bucket below a prefix.
type Files struct {
	bucket, prefix string // the prefix is "" or ends in a slash

	turn   chan struct{} // holds what is below; waiting for it ends with ctx
	client *s3.Client
	conf   aws.Config
	placed bool // the region is the bucket's
}

// Open reads the configuration of the environment. It asks nobody.
func Open(ctx context.Context, bucket, prefix string, opts ...func(*config.LoadOptions) error) (*Files, error) {
	conf, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("open filestore s3://%s: %w", bucket, err)
	}
	if conf.Region == "" {
		conf.Region = "us-east-1" // which tells where every bucket is
	}
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	f := &Files{bucket: bucket, prefix: prefix, conf: conf, turn: make(chan struct{}, 1)}
	f.connect(conf.Region)
	return f, nil
}

func (f *Files) connect(region string) {
	f.client = s3.NewFromConfig(f.conf, func(o *s3.Options) {
		o.Region = region
		// Another server has one name, and buckets are paths of it.
		o.UsePathStyle = o.BaseEndpoint != nil
		// What is served compressed has no checksum of what comes out of it.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// api returns the client for the region in which the bucket is.
func (f *Files) api(ctx context.Context) (*s3.Client, error) {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if f.placed {
		return f.client, nil
	}
	out, err := f.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &f.bucket})
	var answer *awshttp.ResponseError
	switch {
	case err == nil && aws.ToString(out.BucketRegion) != "":
		f.connect(*out.BucketRegion)
	case errors.As(err, &answer) && answer.Response != nil && answer.Response.Header.Get("X-Amz-Bucket-Region") != "":
		f.connect(answer.Response.Header.Get("X-Amz-Bucket-Region"))
	case err != nil && !errors.As(err, &answer):
		return nil, tell(err)
	}
	f.placed = true
	return f.client, nil
}

func (f *Files) key(name string) (*string, error) {
	if !manifest.IsFileName(name) {
		return nil, fmt.Errorf("%q is not the name of a file in a store", name)
	}
	key := f.prefix + name
	return &key, nil
}

// tell turns an answer of the API into the store's own errors. What a server wrote is left
// out of the others.
func tell(err error) error {
	var answer *awshttp.ResponseError
	var api smithy.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &api) && (api.ErrorCode() == "NoSuchKey" || api.ErrorCode() == "NotFound"):
		return filestore.ErrNotFound
	case errors.As(err, &api) && (api.ErrorCode() == "PreconditionFailed" || api.ErrorCode() == "ConditionalRequestConflict"):
		return filestore.ErrChanged
	case !errors.As(err, &answer):
		return errors.New("s3 cannot be reached, or there are no credentials")
	case answer.HTTPStatusCode() == http.StatusPreconditionFailed || answer.HTTPStatusCode() == http.StatusConflict:
		return filestore.ErrChanged
	case answer.HTTPStatusCode() == http.StatusNotFound:
		return filestore.ErrNotFound
	}
	return fmt.Errorf("s3 answers %d", answer.HTTPStatusCode())
}

// md5Form is an ETag that is an MD5: of an object that was put in one piece.
var md5Form = regexp.MustCompile(`^[0-9a-f]{32}$`)

func objectOf(name, etag string, size int64, metadata map[string]string) filestore.Object {
	o := filestore.Object{Name: name, Size: size, Version: etag, SHA256: metadata[sumKey]}
	if sum := strings.Trim(etag, `"`); md5Form.MatchString(sum) {
		o.MD5 = sum
	}
	return o
}

// Stat implements filestore.Store.
func (f *Files) Stat(ctx context.Context, name string) (filestore.Object, error) {
	key, err := f.key(name)
	if err != nil {
		return filestore.Object{}, err
	}
	api, err := f.api(ctx)
	if err != nil {
		return filestore.Object{}, err
	}
	out, err := api.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &f.bucket, Key: key})
	if err != nil {
		return filestore.Object{}, tell(err)
	}
	return objectOf(name, aws.ToString(out.ETag), aws.ToInt64(out.ContentLength), out.Metadata), nil
}

// List implements filestore.Store, with a request for every thousand files. S3 lists no
// metadata, so it knows the sha256 of none.
func (f *Files) List(ctx context.Context, prefix string) iter.Seq2[filestore.Object, error] {
	return func(yield func(filestore.Object, error) bool) {
		api, err := f.api(ctx)
		if err != nil {
			yield(filestore.Object{}, err)
			return
		}
		pages := s3.NewListObjectsV2Paginator(api, &s3.ListObjectsV2Input{Bucket: &f.bucket, Prefix: aws.String(f.prefix + prefix)}, func(o *s3.ListObjectsV2PaginatorOptions) {
			o.StopOnDuplicateToken = true
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(filestore.Object{}, tell(err))
				return
			}
			for _, c := range page.Contents {
				o := objectOf(strings.TrimPrefix(aws.ToString(c.Key), f.prefix), aws.ToString(c.ETag), aws.ToInt64(c.Size), nil)
				if manifest.IsFileName(o.Name) && !yield(o, nil) {
					return
				}
			}
		}
	}
}

// Open implements filestore.Store.
func (f *Files) Open(ctx context.Context, name string) (io.ReadCloser, filestore.Object, error) {
	key, err := f.key(name)
	if err != nil {
		return nil, filestore.Object{}, err
	}
	api, err := f.api(ctx)
	if err != nil {
		return nil, filestore.Object{}, err
	}
	out, err := api.GetObject(ctx, &s3.GetObjectInput{Bucket: &f.bucket, Key: key})
	if err != nil {
		return nil, filestore.Object{}, tell(err)
	}
	return out.Body, objectOf(name, aws.ToString(out.ETag), aws.ToInt64(out.ContentLength), out.Metadata), nil
}

// Keep implements filestore.Store by a copy within the bucket.
func (f *Files) Keep(ctx context.Context, name, version, to string) error {
	from, err := f.key(name)
	if err != nil {
		return err
	}
	target, err := f.key(to)
	if err != nil {
		return err
	}
	switch _, err := f.Stat(ctx, to); {
	case err == nil:
		return f.unchanged(ctx, name, version) // it is kept already
	case !errors.Is(err, filestore.ErrNotFound):
		return err
	}
	api, err := f.api(ctx)
	if err != nil {
		return err
	}
	source := (&url.URL{Path: f.bucket + "/" + *from}).EscapedPath()
	_, err = api.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &f.bucket, Key: target, CopySource: &source, CopySourceIfMatch: &version})
	return tell(err)
}

// unchanged fails unless a file has a version.
func (f *Files) unchanged(ctx context.Context, name, version string) error {
	o, err := f.Stat(ctx, name)
	if errors.Is(err, filestore.ErrNotFound) || err == nil && o.Version != version {
		return filestore.ErrChanged
	}
	return err
}

// Create implements filestore.Store. What fits into one piece is one request, the rest an
// upload of several parts, which is nothing until it is completed.
func (f *Files) Create(ctx context.Context, name, version string, c filestore.Content) (filestore.Sink, error) {
	key, err := f.key(name)
	if err != nil {
		return nil, err
	}
	api, err := f.api(ctx)
	if err != nil {
		return nil, err
	}
	s := &sink{ctx: ctx, files: f, api: api, name: name, key: key, content: c}
	if version == "" {
		s.noneMatch = aws.String("*")
	} else {
		s.match = &version
	}
	if c.Size <= filestore.PieceSize {
		return s, nil
	}
	out, err := api.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &f.bucket, Key: key, Metadata: map[string]string{sumKey: c.SHA256}, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ContentType: aws.String(contentType),
	})
	if err != nil {
		return nil, tell(err)
	}
	s.upload = out.UploadId
	return s, nil
}

const contentType = "application/octet-stream"

// sink is one file on its way.
type sink struct {
	ctx              context.Context //nolint:containedctx // lives as long as one upload
	files            *Files
	api              *s3.Client
	name             string
	key              *string
	content          filestore.Content
	match, noneMatch *string

	upload *string // nil: it is one request
	parts  []types.CompletedPart
	whole  []byte // of a file in one piece
	sent   int64
}

func sumOf(p []byte) *string {
	sum := sha256.Sum256(p)
	return aws.String(base64.StdEncoding.EncodeToString(sum[:]))
}

// Write implements filestore.Sink.
func (s *sink) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	s.sent += int64(len(p))
	if s.upload == nil {
		if s.whole != nil {
			return 0, fmt.Errorf("%s is longer than it was said to be", s.name)
		}
		s.whole = p // the only piece is the last one
		return len(p), nil
	}
	part := types.CompletedPart{PartNumber: aws.Int32(int32(len(s.parts) + 1)), ChecksumSHA256: sumOf(p)} //nolint:gosec // 10,000 at the most
	out, err := s.api.UploadPart(s.ctx, &s3.UploadPartInput{
		Bucket: &s.files.bucket, Key: s.key, UploadId: s.upload, PartNumber: part.PartNumber, Body: bytes.NewReader(p), ChecksumSHA256: part.ChecksumSHA256,
	})
	if err != nil {
		return 0, tell(err)
	}
	part.ETag = out.ETag
	s.parts = append(s.parts, part)
	return len(p), nil
}

// abortTimeout bounds how long parts that nobody wants hold whoever gave them up.
const abortTimeout = time.Minute

// Abort implements filestore.Sink.
func (s *sink) Abort() {
	if s.upload == nil {
		return
	}
	// The context may have ended; parts that stay cost money until a rule of the bucket removes them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), abortTimeout)
	defer cancel()
	_, _ = s.api.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.files.bucket, Key: s.key, UploadId: s.upload})
}

// Commit implements filestore.Sink.
func (s *sink) Commit() error {
	if s.upload == nil {
		_, err := s.api.PutObject(s.ctx, &s3.PutObjectInput{
			Bucket: &s.files.bucket, Key: s.key, Body: bytes.NewReader(s.whole), ChecksumSHA256: sumOf(s.whole),
			Metadata: map[string]string{sumKey: s.content.SHA256}, ContentType: aws.String(contentType), IfNoneMatch: s.noneMatch, IfMatch: s.match,
		})
		return s.finish(err)
	}
	_, err := s.api.CompleteMultipartUpload(s.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.files.bucket, Key: s.key, UploadId: s.upload, IfNoneMatch: s.noneMatch, IfMatch: s.match,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: s.parts},
	})
	if err != nil {
		s.Abort()
	}
	return s.finish(err)
}

// finish looks at what the bucket holds now. A file that was to be replaced and is not there is a change.
func (s *sink) finish(err error) error {
	err = tell(err)
	if errors.Is(err, filestore.ErrNotFound) && s.match != nil {
		return filestore.ErrChanged
	}
	if err != nil {
		return err
	}
	o, err := s.files.Stat(s.ctx, s.name)
	if err != nil {
		return err
	}
	if o.Size != s.sent || o.SHA256 != s.content.SHA256 {
		return fmt.Errorf("the bucket holds other bytes than it was sent: %w", filestore.ErrContent)
	}
	return nil
}
