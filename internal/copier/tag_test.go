// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/steward/internal/manifest"
)

// CP-8: a tag that somebody puts while an image is copied is left alone, and then none of the target is put.
func TestATagThatIsPutMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		known Known
		there bool // the image is in the repository already
		same  bool // the tag is put for the image itself
	}{
		"nothing is known":        {},
		"of a new repository":     {known: Known{New: true}},
		"a list without it":       {known: Known{Tags: map[string]string{}}},
		"of an image that was in": {there: true},
		"for the same image":      {same: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStock()
			digest := s.build("x.test/p/a", 0, "layer")
			other := anImage(part(digit(1), 1, ""))
			if c.there {
				s.put("one.test/a", digest, s.manifests["x.test/p/a@"+digest])
			}
			if c.same {
				other = s.manifests["x.test/p/a@"+digest]
			}
			meanwhile := sync.OnceFunc(func() { s.put("one.test/a", "v2", other) })
			s.before = func(_ context.Context, request string) error {
				// After all that the image has, and before its tags.
				if strings.HasPrefix(request, "upload one.test/a") || c.there && strings.HasPrefix(request, "manifest x.test") {
					meanwhile()
				}
				return nil
			}
			o := New(s, s, Options{Dir: t.TempDir()}).Copy(t.Context(), []Job{
				{"x.test/p/a", digest, []Target{{Repository: "one.test/a", Tags: []string{"v1", "v2"}, Known: c.known}}},
			}, nil)[0]
			switch {
			case s.tags["one.test/a:v2"] != manifest.DigestOf([]byte(other)):
				t.Errorf("the tag was moved: %v", o.Err)
			case c.same && (o.Err != nil || s.tags["one.test/a:v1"] != digest):
				t.Errorf("%v, %v", o.Err, s.tags)
			case !c.same && (!errors.Is(o.Err, ErrTagMove) || s.tags["one.test/a:v1"] != "" || len(o.Written) > 0):
				t.Errorf("%v, %v", o.Err, s.tags)
			}
		})
	}
}

// CP-10: a signature that somebody puts while another is copied is left alone.
func TestASignatureThatIsPutMeanwhile(t *testing.T) {
	for name, known := range map[string]Known{"nothing is known": {}, "of a new repository": {New: true}} {
		t.Run(name, func(t *testing.T) {
			s := newStock()
			digest := s.build("x.test/p/a", 0, "layer")
			tag := manifest.DigestTag(digest) + ".sig"
			signature := s.keep("x.test/p/a", "a signature")
			s.put("x.test/p/a", tag, anImage(part(s.keep("x.test/p/a", "{}").Digest, 2, ""), part(signature.Digest, int(signature.Size), "")))
			other := anImage(part(digit(1), 1, ""))
			s.before = func(_ context.Context, request string) error {
				if request == "upload one.test/a@"+signature.Digest {
					s.put("one.test/a", tag, other)
				}
				return nil
			}
			o := New(s, s, Options{Dir: t.TempDir(), Attached: true}).Copy(t.Context(), []Job{
				{"x.test/p/a", digest, []Target{{Repository: "one.test/a", Tags: []string{"v1"}, Known: known}}},
			}, nil)[0]
			if o.Err != nil || o.Attached != 0 || s.tags["one.test/a:v1"] != digest {
				t.Errorf("%+v", o)
			}
			if got := s.tags["one.test/a:"+tag]; got != manifest.DigestOf([]byte(other)) {
				t.Errorf("the signature is %s", got)
			}
		})
	}
}
