// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sigs.k8s.io/steward/internal/sweep"
)

func bucketRows() []row {
	return []row{{name: "s3.buckets", global: true, list: listBuckets, remove: deleteBucket}}
}

// perBatch is how many objects one call lists and one call deletes.
const perBatch = 1000

func (r *region) s3() *s3.Client {
	return s3.NewFromConfig(r.sdk("s3"), func(o *s3.Options) { o.UsePathStyle = r.opts.Endpoint != "" })
}

func listBuckets(ctx context.Context, r *region) ([]item, error) {
	api := r.s3()
	var items []item
	err := paged(func(token string) (string, error) {
		given := &s3.ListBucketsInput{MaxBuckets: awssdk.Int32(perBatch)}
		if token != "" {
			given.ContinuationToken = &token
		}
		out, err := api.ListBuckets(ctx, given)
		if err != nil {
			return "", bareAPI(err)
		}
		for _, b := range out.Buckets {
			name := awssdk.ToString(b.Name)
			items = append(items, item{
				name: name, arn: "arn:aws:s3:::" + name, created: awssdk.ToTime(b.CreationDate), location: awssdk.ToString(b.BucketRegion),
			})
		}
		return awssdk.ToString(out.ContinuationToken), nil
	})
	if err != nil {
		return nil, err
	}
	return items, fill(items, func(one *item) error { return describeBucket(ctx, r, one) })
}

// describeBucket finds the region, in which a bucket has to be asked, and the tags. A bucket in a region that could not be
// read stays, and aws.regions stands against "clean"; one in a region that was said to be empty is an error.
func describeBucket(ctx context.Context, r *region, one *item) error {
	if one.location == "" {
		out, err := r.s3().GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: &one.name})
		if err != nil {
			return bareAPI(err)
		}
		switch at := string(out.LocationConstraint); at {
		case "":
			one.location = "us-east-1"
		case "EU":
			one.location = "eu-west-1"
		default:
			one.location = at
		}
	}
	if slices.Contains(r.opts.Without, one.location) {
		return fmt.Errorf("bucket %s is in %s, which is configured as a region without anything", one.name, one.location)
	}
	r.mu.Lock()
	closed := r.closed[one.location]
	r.mu.Unlock()
	if closed {
		one.keep = "its region " + one.location + " could not be read"
		return nil
	}
	at := &region{r.Client, one.location}
	out, err := at.s3().GetBucketTagging(ctx, &s3.GetBucketTaggingInput{Bucket: &one.name})
	if err != nil {
		if codeOf(err) == "NoSuchTagSet" {
			return nil
		}
		return bareAPI(err)
	}
	one.tags = map[string]string{}
	for _, t := range out.TagSet {
		one.tags[awssdk.ToString(t.Key)] = awssdk.ToString(t.Value)
	}
	return nil
}

// deleteBucket deletes every version and every delete marker first, a page at a time.
func deleteBucket(ctx context.Context, r *region, o sweep.Object) error {
	api := r.s3()
	err := paged(func(token string) (string, error) {
		given := &s3.ListObjectVersionsInput{Bucket: &o.Name, MaxKeys: awssdk.Int32(perBatch)}
		if key, version, more := strings.Cut(token, "\x00"); more {
			given.KeyMarker = &key
			if version != "" {
				given.VersionIdMarker = &version
			}
		}
		out, err := api.ListObjectVersions(ctx, given)
		if err != nil {
			return "", bareAPI(err)
		}
		if err := deleteVersions(ctx, api, o.Name, out); err != nil {
			return "", err
		}
		if !awssdk.ToBool(out.IsTruncated) {
			return "", nil
		}
		return awssdk.ToString(out.NextKeyMarker) + "\x00" + awssdk.ToString(out.NextVersionIdMarker), nil
	})
	if err != nil {
		return err
	}
	_, err = api.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &o.Name})
	return bareAPI(err)
}

func deleteVersions(ctx context.Context, api *s3.Client, bucket string, page *s3.ListObjectVersionsOutput) error {
	var batch []types.ObjectIdentifier
	for _, v := range page.Versions {
		batch = append(batch, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, m := range page.DeleteMarkers {
		batch = append(batch, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
	}
	if len(batch) == 0 {
		return nil
	}
	out, err := api.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &types.Delete{Objects: batch, Quiet: awssdk.Bool(true)}})
	if err != nil {
		return bareAPI(err)
	}
	if len(out.Errors) > 0 {
		first := out.Errors[0]
		return fmt.Errorf("%d of %d objects, the first of them: %w", len(out.Errors), len(batch),
			&refused{code: awssdk.ToString(first.Code), message: awssdk.ToString(first.Message), status: 200})
	}
	return nil
}
