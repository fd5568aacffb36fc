// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package awsfake

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Bucket is a bucket with its versions. It is an Object of the kind "s3 bucket" to Left and Deleted.
type Bucket struct {
	Name, Region string
	Created      string // RFC 3339
	Tags         map[string]string
	Versions     []Version
}

// Version is one version of an object, or a delete marker. A Locked one cannot be deleted.
type Version struct {
	Key, ID        string
	Marker, Locked bool
}

const s3Kind = "s3 bucket"

// AddBucket puts a bucket into the account.
func (s *Server) AddBucket(b Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects = append(s.objects, &Object{Kind: s3Kind, Region: b.Region, ID: b.Name, Tags: b.Tags, Fields: map[string]any{"bucket": &b}})
}

func (s *Server) bucket(name string) (*Object, *Bucket) {
	for _, o := range s.objects {
		if o.Kind == s3Kind && o.ID == name {
			b, _ := o.Fields["bucket"].(*Bucket)
			return o, b
		}
	}
	return nil, nil
}

// storage answers S3, with the bucket in the path.
func (s *Server) storage(r *request) (any, *failure) {
	name := strings.Trim(r.URL.Path, "/")
	if name == "" {
		return s.listBuckets(r)
	}
	o, b := s.bucket(name)
	ask := r.URL.Query()
	switch {
	case b == nil:
		return nil, &failure{http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist"}
	case ask.Has("location"):
		at := b.Region
		if at == "us-east-1" {
			at = ""
		}
		return xmlAnswer("LocationConstraint", at), nil
	case b.Region != r.region:
		return nil, &failure{http.StatusMovedPermanently, "PermanentRedirect", "The bucket is in " + b.Region}
	case ask.Has("tagging"):
		if len(b.Tags) == 0 {
			return nil, &failure{http.StatusNotFound, "NoSuchTagSet", "The TagSet does not exist"}
		}
		return xmlAnswer("Tagging", map[string]any{"TagSet": map[string]any{"Tag": pairs(b.Tags, false)}}), nil
	case ask.Has("versions"):
		return s.listVersions(r, b), nil
	case r.Method == http.MethodPost && ask.Has("delete"):
		return s.deleteVersions(r, b)
	case r.Method == http.MethodDelete:
		if len(b.Versions) > 0 {
			return nil, &failure{http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty"}
		}
		s.deleted = append(s.deleted, s3Kind+" "+b.Region+" "+b.Name)
		s.drop(o)
		return []byte{}, nil
	}
	s.unknown = append(s.unknown, "s3 "+r.Method+" "+r.URL.String())
	return nil, &failure{http.StatusNotImplemented, "NotImplemented", "awsfake does not know " + r.URL.String()}
}

func xmlAnswer(name string, value any) []byte {
	var b strings.Builder
	b.WriteString(xml.Header)
	element(&b, name, value)
	return []byte(b.String())
}

func (s *Server) listBuckets(r *request) (any, *failure) {
	var all []any
	for _, o := range s.objects {
		if o.Kind == s3Kind {
			_, b := s.bucket(o.ID)
			all = append(all, map[string]any{"Name": b.Name, "CreationDate": b.Created, "BucketRegion": b.Region})
		}
	}
	first, err := strconv.Atoi(r.form.Get("continuation-token"))
	if err != nil {
		first = 0
	}
	answer := map[string]any{}
	if rest := all[min(first, len(all)):]; len(rest) > s.opts.Page {
		answer["ContinuationToken"], all = strconv.Itoa(first+s.opts.Page), rest[:s.opts.Page]
	} else {
		all = rest
	}
	answer["Buckets"] = map[string]any{"Bucket": all}
	return xmlAnswer("ListAllMyBucketsResult", answer), nil
}

// listVersions answers those after a key and a version, in the order in which they stand.
func (s *Server) listVersions(r *request, b *Bucket) any {
	size, err := strconv.Atoi(r.form.Get("max-keys"))
	if err != nil || size > 1000 {
		size = 1000
	}
	after := func(v Version) bool {
		key, id := r.form.Get("key-marker"), r.form.Get("version-id-marker")
		return key == "" || v.Key > key || v.Key == key && v.ID > id
	}
	var shown []Version
	for _, v := range b.Versions {
		if after(v) {
			shown = append(shown, v)
		}
	}
	slices.SortFunc(shown, func(x, y Version) int { return strings.Compare(x.Key+"\x00"+x.ID, y.Key+"\x00"+y.ID) })
	answer := map[string]any{"Name": b.Name, "IsTruncated": len(shown) > size}
	if len(shown) > size {
		shown = shown[:size]
		answer["NextKeyMarker"], answer["NextVersionIdMarker"] = shown[size-1].Key, shown[size-1].ID
	}
	versions, markers := []any{}, []any{}
	for _, v := range shown {
		if one := map[string]any{"Key": v.Key, "VersionId": v.ID}; v.Marker {
			markers = append(markers, one)
		} else {
			versions = append(versions, one)
		}
	}
	answer["Version"], answer["DeleteMarker"] = versions, markers
	return xmlAnswer("ListVersionsResult", answer)
}

func (s *Server) deleteVersions(r *request, b *Bucket) (any, *failure) {
	var asked struct {
		Object []struct{ Key, VersionId string } //nolint:revive,staticcheck // the name in the protocol
	}
	if err := xml.Unmarshal(r.raw, &asked); err != nil {
		return nil, &failure{http.StatusBadRequest, "MalformedXML", err.Error()}
	}
	if len(asked.Object) == 0 || len(asked.Object) > 1000 {
		return nil, &failure{http.StatusBadRequest, "MalformedXML", fmt.Sprintf("%d objects", len(asked.Object))}
	}
	doomed := map[string]bool{}
	for _, o := range asked.Object {
		doomed[o.Key+"\x00"+o.VersionId] = true
	}
	errs := []any{}
	b.Versions = slices.DeleteFunc(b.Versions, func(v Version) bool {
		if doomed[v.Key+"\x00"+v.ID] && v.Locked {
			errs = append(errs, map[string]any{"Key": v.Key, "VersionId": v.ID, "Code": "AccessDenied", "Message": "it is locked"})
			return false
		}
		return doomed[v.Key+"\x00"+v.ID]
	})
	return xmlAnswer("DeleteResult", map[string]any{"Error": errs}), nil
}
