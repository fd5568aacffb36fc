// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package copier

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/steward/internal/manifest"
)

// shelf is a source whose manifests are under names, to refer to them before they are made.
type shelf struct {
	bodies map[string]string // by digest
	served map[string]string
}

func (s *shelf) add(body string, served string) string {
	d := manifest.DigestOf([]byte(body))
	s.bodies[d], s.served[d] = body, served
	return d
}

func (s *shelf) Manifest(_ context.Context, _, reference string) ([]byte, string, error) {
	body, ok := s.bodies[reference]
	if !ok {
		return nil, "", manifest.ErrNoManifest
	}
	return []byte(body), s.served[reference], nil
}

func (s *shelf) Blob(context.Context, string, string, int64) (io.ReadCloser, error) {
	return nil, io.EOF
}
func (s *shelf) Tags(context.Context, string) ([]string, error)              { return nil, nil }
func (s *shelf) Referrers(context.Context, string, string) ([]string, error) { return nil, nil }

func digit(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func part(digest string, size int, kind string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, kind, digest, size)
}

func anImage(config string, layers ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":` + config + `,"layers":[` + strings.Join(layers, ",") + `]}`
}

func anIndex(children ...string) string {
	return `{"schemaVersion":2,"mediaType":"` + ociIndex + `","manifests":[` + strings.Join(children, ",") + `]}`
}

// crowd is an index of images with 999 parts each.
func crowd(s *shelf, images int) string {
	var children []string
	for n := range images {
		body := anImage(part(digit(n+1), 10, ""), slices.Repeat([]string{part(digit(99), 5, "")}, 998)...)
		children = append(children, part(s.add(body, ""), len(body), ociManifest))
	}
	return anIndex(children...)
}

// CP-7: what is not an image as clients read it is refused, and why.
func TestImagesThatAreRefused(t *testing.T) {
	config := part(digit(1), 10, "application/vnd.oci.image.config.v1+json")
	good := anImage(config)
	deep := func(s *shelf, levels int) string {
		body := good
		for range levels {
			body = anIndex(part(s.add(body, ""), len(body), ""))
		}
		return body
	}
	for name, c := range map[string]struct {
		body   func(s *shelf) string
		served string
		want   string
	}{
		"good":           {func(*shelf) string { return good }, "", ""},
		"good by header": {func(*shelf) string { return strings.Replace(good, `"mediaType":"`+ociManifest+`",`, "", 1) }, dockerV2, ""},
		"good and vague": {func(*shelf) string { return good }, "text/plain; charset=utf-8", ""},
		"deep":           {func(s *shelf) string { return deep(s, 4) }, "", ""},
		"too deep":       {func(s *shelf) string { return deep(s, 5) }, "", "more than 5 deep"},
		"other type":     {func(*shelf) string { return good }, dockerV2, "called something else"},
		"no type":        {func(*shelf) string { return `{"schemaVersion":2,"config":` + config + `}` }, "", "neither an image nor an index"},
		"unknown type":   {func(*shelf) string { return `{"schemaVersion":2,"mediaType":"hunter22"}` }, "", "neither an image nor an index"},
		"schema 1":       {func(*shelf) string { return `{"schemaVersion":1,"fsLayers":[]}` }, dockerSigned, "schema 1"},
		"schema 9":       {func(*shelf) string { return `{"schemaVersion":9}` }, "", "not a manifest of schema 2"},
		"no JSON":        {func(*shelf) string { return `<html>` }, "", "no JSON"},
		"both":           {func(*shelf) string { return strings.Replace(good, `"layers"`, `"manifests":[`+config+`],"layers"`, 1) }, "", "an image and an index"},
		"both, an index": {func(*shelf) string {
			return strings.Replace(anIndex(), `"manifests"`, `"config":`+config+`,"manifests"`, 1)
		}, "", "an image and an index"},
		"no config":         {func(*shelf) string { return `{"schemaVersion":2,"mediaType":"` + ociManifest + `"}` }, "", "without a config"},
		"not a digest":      {func(*shelf) string { return anImage(part("sha256:1", 1, "")) }, "", "not sha256"},
		"sha512":            {func(*shelf) string { return anImage(part("sha512:"+strings.Repeat("0", 128), 1, "")) }, "", "not sha256"},
		"less than nothing": {func(*shelf) string { return anImage(part(digit(1), -1, "")) }, "", "as it cannot have"},
		"nothing":           {func(*shelf) string { return anImage(part(digit(1), 0, "")) }, "", "as it cannot have"},
		"empty blob":        {func(*shelf) string { return anImage(part(manifest.DigestOf(nil), 0, "")) }, "", ""},
		"two sizes":         {func(*shelf) string { return anImage(config, part(digit(2), 5, ""), part(digit(2), 6, "")) }, "", "said to have 5 bytes and 6"},
		"size of a child":   {func(s *shelf) string { return anIndex(part(s.add(good, ""), 7, ociManifest)) }, "", "its index says 7"},
		"lost child":        {func(*shelf) string { return anIndex(part(digit(9), 7, ociManifest)) }, "", "no such manifest"},
		"itself": {func(s *shelf) string {
			s.bodies[digit(3)] = anIndex(part(digit(3), 9, ""))
			return anIndex(part(digit(3), 9, ""))
		}, "", "another digest"},
		"too many layers":   {func(*shelf) string { return anImage(config, slices.Repeat([]string{part(digit(2), 5, "")}, 1000)...) }, "", "more than 1000 parts"},
		"too many children": {func(*shelf) string { return anIndex(slices.Repeat([]string{part(digit(2), 5, "")}, 1001)...) }, "", "more than 1000 parts"},
		"twice":             {func(*shelf) string { return strings.Replace(good, `"layers"`, `"layers":[`+config+`],"layers"`, 1) }, "", `says "layers" twice`},
		"twice in a part":   {func(*shelf) string { return strings.Replace(good, `"size":10`, `"size":10,"size":9`, 1) }, "", `says "size" twice`},
		"twice in a layer": {func(*shelf) string {
			return anImage(config, strings.Replace(config, `"digest"`, `"digest":"","digest"`, 1))
		}, "", `says "digest" twice`},
		"twice in a child": {func(*shelf) string { return anIndex(strings.Replace(config, `"digest"`, `"digest":"","digest"`, 1)) }, "", `says "digest" twice`},
		"twice, in escapes": {func(*shelf) string {
			return strings.Replace(good, `"layers"`, `"l\u0061yers":[`+config+`],"layers"`, 1)
		}, "", `says "layers" twice`},
		"another case":      {func(*shelf) string { return strings.Replace(good, `"layers"`, `"LAYERS"`, 1) }, "", `says "layers" in another case`},
		"another s":         {func(*shelf) string { return strings.Replace(good, `"layers"`, `"layer\u017f"`, 1) }, "", `says "layers" in another case`},
		"case of a part":    {func(*shelf) string { return strings.Replace(good, `"digest"`, `"Digest":"","digest"`, 1) }, "", `says "digest" in another case`},
		"case of a subject": {func(*shelf) string { return strings.Replace(good, `"layers"`, `"Subject":`+config+`,"layers"`, 1) }, "", `says "subject" in another case`},
		"two platforms": {func(*shelf) string {
			return anIndex(strings.Replace(config, `"size"`, `"platform":{"os":"linux","os":"windows"},"size"`, 1))
		}, "", `says "os" twice`},
		"unknown, twice": {func(*shelf) string { return strings.Replace(good, `"layers"`, `"hunter22":1,"hunter22":2,"layers"`, 1) }, "", `says something twice`},
		"unknown in cases": {func(*shelf) string {
			return strings.Replace(good, `"layers"`, `"annotations":{"a":"1","A":"2","LAYERS":"3"},"x":{"Size":1e999},"layers"`, 1)
		}, "", ""},
		"nested": {func(*shelf) string {
			return strings.Replace(good, `"layers"`, `"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`,"layers"`, 1)
		}, "", ""},
		"nested deeply": {func(*shelf) string {
			return strings.Replace(good, `"layers"`, `"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,"layers"`, 1)
		}, "", "more than 32 deep"},
		"many parts": {func(s *shelf) string { return crowd(s, 10) }, "", ""},
		"crowded":    {func(s *shelf) string { return crowd(s, 11) }, "", "more than 10000 parts"},
		"too large":  {func(*shelf) string { return good + strings.Repeat(" ", maxBody) }, "", "more than 4194304 bytes"},
	} {
		s := &shelf{map[string]string{}, map[string]string{}}
		digest := s.add(c.body(s), c.served)
		l := newLoader(s, make(chan struct{}, 1))
		_, err := l.load(t.Context(), "example.org/a", []string{digest})
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v", name, err)
		case err != nil && strings.Contains(err.Error(), "hunter22"):
			t.Errorf("%s quotes the server: %v", name, err)
		}
	}
}

// CP-7: layers that may not be distributed are left where their urls say.
func TestForeignLayers(t *testing.T) {
	s := &shelf{map[string]string{}, map[string]string{}}
	body := anImage(part(digit(1), 10, "x"), part(digit(2), 5, foreignDocker+"diff.tar.gzip"), part(digit(3), 5, foreignOCI+"v1.tar"), part(digit(4), 5, "hunter/unknown"))
	l := newLoader(s, make(chan struct{}, 1))
	trees, err := l.load(t.Context(), "example.org/a", []string{s.add(body, "")})
	if err != nil || len(trees[0].blobs) != 2 || trees[0].blobs[1].Digest != digit(4) {
		t.Errorf("%v, %v", trees, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(anImage(part(digit(1), 10, ""))), ociManifest)
	f.Add([]byte(anIndex(part(digit(1), 10, ""))), "")
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`), dockerList)
	f.Add([]byte(`{"schemaVersion":2,"Manifests":[],"manifests":null}`), dockerList)
	f.Add([]byte(`{"schemaVersion":2,"config":{"size":1,"ſize":2}}`), ociManifest)
	f.Fuzz(func(t *testing.T, body []byte, served string) {
		n, err := parse(body, served)
		if err != nil {
			return
		}
		if n.Digest != manifest.DigestOf(body) || len(n.children) > 0 && len(n.blobs) > 0 || len(n.blobs) > maxBlobs {
			t.Errorf("%+v", n)
		}
		for _, d := range slices.Concat(n.children, n.blobs) {
			if !manifest.IsDigest(d.Digest) || d.Size < 0 {
				t.Errorf("%+v", d)
			}
		}
		// Who tells cases apart reads the same.
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(body, &exact); err != nil {
			t.Error(err)
		}
		for key := range exact {
			if slices.ContainsFunc(aManifest.keys(), func(k string) bool { return k != key && strings.EqualFold(k, key) }) {
				t.Errorf("%q is read as another key", key)
			}
		}
	})
}

func FuzzEnter(f *testing.F) {
	f.Add([]byte(anIndex()))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:1"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, index []byte) {
		n, err := parse([]byte(anImage(part(digit(1), 10, ""))), "")
		if err != nil {
			t.Fatal(err)
		}
		out, err := enter(index, n)
		if err != nil || out == nil {
			return
		}
		if again, err := enter(out, n); err != nil || again != nil {
			t.Errorf("entered twice: %s, %v", again, err)
		}
	})
}
