// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/google"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/manifest"
)

// open is a world in which everything can be pushed everywhere.
const open = "-- cloud.yaml --\noci: {any: true}\n"

func indexOf(t *testing.T, images int) v1.ImageIndex {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for range images {
		img, err := random.Image(2000, 2)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img})
	}
	return index
}

// TestPush (CF-O5) lets go-containerregistry's client push, mount and read.
func TestPush(t *testing.T) {
	s := Start(t, Options{}, open)
	opts := []remote.Option{remote.WithTransport(through(strings.TrimPrefix(s.URL, "http://"))), remote.WithContext(t.Context())}
	index := indexOf(t, 2)
	first := where(t, "us-docker.pkg.dev/p/i/tool").Tag("v1")
	if err := remote.WriteIndex(first, index, opts...); err != nil {
		t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(first, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(where(t, "us-docker.pkg.dev/p/i/k8s/tool").Tag("v1"), got, opts...); err != nil { // with layers that can be mounted
		t.Error(err)
	}
	c := s.OCI.Counts()
	if taken := c.Taken; c.Requests["POST uploads"] == 0 || taken < 4*2000 {
		t.Errorf("%+v", c)
	}
	tags, err := google.List(where(t, "us-docker.pkg.dev/p/i/k8s/tool"), google.WithTransport(through(strings.TrimPrefix(s.URL, "http://"))))
	if err != nil || len(tags.Manifests) != 3 || !slices.Equal(tags.Manifests[digest.String()].Tags, []string{"v1"}) {
		t.Errorf("%+v, %v", tags, err)
	}
	list, err := got.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Manifests { // all of it, with its bytes
		img, err := remote.Image(where(t, "us-docker.pkg.dev/p/i/k8s/tool").Digest(m.Digest.String()), opts...)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil || len(layers) != 2 {
			t.Fatal(err)
		}
		for _, l := range layers {
			body, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, body); err != nil { // the client checks the digest
				t.Error(err)
			}
		}
	}
	if got := s.OCI.Tags(); len(got) != 2 || got["us-docker.pkg.dev/p/i/tool:v1"] != digest.String() {
		t.Errorf("%v", got)
	}
	if err := remote.Delete(where(t, "us-docker.pkg.dev/p/i/tool").Tag("v1"), opts...); err != nil {
		t.Error(err)
	}
	if _, err := remote.Head(first, opts...); err == nil {
		t.Error("the tag is there")
	}
	if err := remote.Delete(where(t, "us-docker.pkg.dev/p/i/tool").Digest(digest.String()), opts...); err != nil {
		t.Error(err)
	}
}

// TestMount (CF-O5): within a host, of a repository that has the blob, and not elsewhere.
func TestMount(t *testing.T) {
	s := Start(t, Options{}, open)
	digest, err := s.OCI.Blob("a.example.org/x", []byte("blob"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"a.example.org/y/blobs/uploads/?from=a.example.org/x&mount=" + digest: http.StatusCreated,
		"a.example.org/z/blobs/uploads/?from=x&mount=" + digest:               http.StatusCreated,
		"a.example.org/z/blobs/uploads/?from=w&mount=" + digest:               http.StatusAccepted,
		"b.example.org/y/blobs/uploads/?from=x&mount=" + digest:               http.StatusAccepted,
	} {
		if got := send(t, http.MethodPost, s.URL+"/v2/"+path, "", ""); got.code != want {
			t.Errorf("%s: %d %s, want %d", path, got.code, got.body, want)
		}
	}
	for path, want := range map[string]int{"a.example.org/y": 200, "a.example.org/z": 200, "b.example.org/y": 404, "a.example.org/w": 404} {
		if got := send(t, http.MethodGet, s.URL+"/v2/"+path+"/blobs/"+digest, "", ""); got.code != want || want == 200 && got.body != "blob" {
			t.Errorf("%s: %d %q", path, got.code, got.body)
		}
	}
}

type answered struct {
	code   int
	body   string
	header http.Header
}

func send(t *testing.T, method, address, body, contentType string, headers ...string) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answered{body: err.Error()}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return answered{code: resp.StatusCode, body: string(raw) + " " + err.Error(), header: resp.Header}
	}
	return answered{resp.StatusCode, string(raw), resp.Header}
}

// TestUploads (CF-O5): in parts, and what is refused.
func TestUploads(t *testing.T) {
	s := Start(t, Options{}, open)
	base := s.URL + "/v2/a.example.org/x"
	whole := "one two"
	digest := manifest.DigestOf([]byte(whole))
	begun := send(t, http.MethodPost, base+"/blobs/uploads/", "", "")
	at := s.URL + begun.header.Get("Location")
	if begun.code != http.StatusAccepted {
		t.Fatal(begun)
	}
	for _, step := range []struct {
		method, address, body, contentRange string
		code                                int
		want                                string // range, or a code of an error
	}{
		{"PATCH", at, "one ", "0-3", 202, "0-3"},
		{"PATCH", at, "two", "0-3", 416, "BLOB_UPLOAD_INVALID"},
		{"GET", at, "", "", 204, "0-3"},
		{"PUT", at, "two", "", 400, "DIGEST_INVALID"},
		{"PUT", at + "?digest=" + digest, "", "", 201, ""},
		{"PUT", at + "?digest=" + digest, "", "", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"POST", base + "/blobs/uploads/?digest=" + digest, whole, "", 201, ""},
		{"POST", base + "/blobs/uploads/?digest=" + digest, "other", "", 400, "DIGEST_INVALID"},
		{"PUT", base + "/manifests/v1", `{"config": {"digest": "` + digest + `"}}`, "", 201, ""},
		{"PUT", base + "/manifests/v2", `{"layers": [{"digest": "` + manifest.DigestOf(nil) + `"}]}`, "", 400, "MANIFEST_BLOB_UNKNOWN"},
		{"PUT", base + "/manifests/v2", `{"layers": [{"digest": "` + manifest.DigestOf(nil) + `", "urls": ["https://example.org"]}]}`, "", 201, ""},
		{"PUT", base + "/manifests/v3", `{"manifests": [{"digest": "` + digest + `"}]}`, "", 400, "MANIFEST_BLOB_UNKNOWN"},
		{"PUT", base + "/manifests/" + digest, `{}`, "", 400, "DIGEST_INVALID"},
		{"PUT", base + "/manifests/-", `{}`, "", 400, "TAG_INVALID"},
		{"PUT", base + "/manifests/v3", `[]`, "", 400, "MANIFEST_INVALID"},
		{"PUT", base + "/manifests/v3", strings.Repeat(" ", maxManifest) + "{}", "", 400, "MANIFEST_INVALID"},
		{"DELETE", base + "/manifests/v4", "", "", 404, "MANIFEST_UNKNOWN"},
	} {
		var headers []string
		if step.contentRange != "" {
			headers = []string{"Content-Range", step.contentRange}
		}
		got := send(t, step.method, step.address, step.body, "application/octet-stream", headers...)
		said := got.header.Get("Range")
		if strings.HasPrefix(got.body, "{") {
			said = got.body
		}
		if got.code != step.code || !strings.Contains(said, step.want) {
			t.Errorf("%s %.80s: %d %s, want %d %s", step.method, step.address, got.code, said, step.code, step.want)
		}
	}
	if got := s.OCI.Tags(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestLargeBlobs (CF-O6): what the fake makes can be pushed on, whatever its size, and takes no room; another one cannot.
func TestLargeBlobs(t *testing.T) {
	s := Start(t, Options{}, open)
	const size = 3 * maxBlob
	digest, err := s.OCI.Layer("a.example.org/x", 7, size)
	if err != nil {
		t.Fatal(err)
	}
	read := send(t, http.MethodGet, s.URL+"/v2/a.example.org/x/blobs/"+digest, "", "")
	if len(read.body) != size || manifest.DigestOf([]byte(read.body)) != digest {
		t.Fatalf("%d bytes", len(read.body))
	}
	half := send(t, http.MethodGet, s.URL+"/v2/a.example.org/x/blobs/"+digest, "", "", "Range", fmt.Sprintf("bytes=%d-", size/2))
	if half.code != http.StatusPartialContent || half.body != read.body[size/2:] {
		t.Errorf("%d, %d bytes", half.code, len(half.body))
	}
	begun := send(t, http.MethodPost, s.URL+"/v2/b.example.org/x/blobs/uploads/", "", "")
	at := s.URL + begun.header.Get("Location")
	if got := send(t, http.MethodPatch, at, read.body, ""); got.code != http.StatusAccepted {
		t.Fatal(got.code, got.body)
	}
	if got := send(t, http.MethodPut, at+"?digest="+digest, "", ""); got.code != http.StatusCreated {
		t.Error(got.code, got.body)
	}
	other := "x" + read.body
	if got := send(t, http.MethodPost, s.URL+"/v2/b.example.org/x/blobs/uploads/?digest="+manifest.DigestOf([]byte(other)), other, ""); got.code != http.StatusRequestEntityTooLarge {
		t.Error(got.code, got.body)
	}
	if s.OCI.kept != 0 || s.OCI.Counts().Taken != int64(2*size+1) || s.OCI.Counts().Given != int64(size+size/2) {
		t.Errorf("%d bytes kept; %+v", s.OCI.kept, s.OCI.Counts())
	}
}

// TestRoom (CF-O6): blobs that nobody has any more make room; more than that is refused.
func TestRoom(t *testing.T) {
	o := New(Options{}).OCI
	for n := range 100 {
		repo := fmt.Sprint("a.example.org/x", n)
		if _, err := o.Blob(repo, bytes.Repeat([]byte{byte(n)}, 6<<20)); err != nil {
			t.Fatal(err)
		}
		if err := o.Change(Change{Drop: repo}); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for n := range 100 {
		if _, err = o.Blob("a.example.org/x", bytes.Repeat([]byte{byte(n)}, 6<<20)); err != nil {
			break
		}
	}
	if err == nil || o.kept > maxBlobs {
		t.Errorf("%v, %d bytes kept", err, o.kept)
	}
}

// TestReferrers (CF-O5): manifests about another one, by kind.
func TestReferrers(t *testing.T) {
	s := Start(t, Options{}, open)
	base := s.URL + "/v2/us-docker.pkg.dev/x"
	subject := send(t, http.MethodPut, base+"/manifests/v1", `{}`, "application/vnd.oci.image.manifest.v1+json").header.Get("Docker-Content-Digest")
	for _, kind := range []string{"signature", "attestation"} {
		got := send(t, http.MethodPut, base+"/manifests/"+kind, `{"artifactType": "`+kind+`", "subject": {"digest": "`+subject+`"}}`, "application/vnd.oci.image.manifest.v1+json")
		if got.header.Get("OCI-Subject") != subject {
			t.Error(got)
		}
	}
	for query, want := range map[string]int{"": 2, "?artifactType=signature": 1, "?artifactType=other": 0} {
		var index struct {
			Manifests []struct{ ArtifactType, Digest string }
		}
		got := send(t, http.MethodGet, base+"/referrers/"+subject+query, "", "")
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || len(index.Manifests) != want {
			t.Errorf("%s: %s, %v", query, got.body, err)
		}
	}
}

// TestBlobsBreakOff (CF-O8): in the middle, in both directions, as often as was said.
func TestBlobsBreakOff(t *testing.T) {
	s := Start(t, Options{}, open)
	body := strings.Repeat("0123456789", 100_000)
	digest, err := s.OCI.Blob("a.example.org/x", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.OCI.Change(Change{Cut: "a.example.org/x@" + digest, After: 400_000, Times: 2}, Change{Cut: "b.example.org/x", After: 1000}); err != nil {
		t.Fatal(err)
	}
	for n, want := range []int{400_000, 400_000, len(body)} {
		got := send(t, http.MethodGet, s.URL+"/v2/a.example.org/x/blobs/"+digest, "", "")
		if got.code != http.StatusOK || want < len(body) && len(got.body) > want+200 || want == len(body) && got.body != body {
			t.Errorf("reading %d: %d, %d bytes", n, got.code, len(got.body))
		}
	}
	address := s.URL + "/v2/b.example.org/x/blobs/uploads/?digest=" + digest
	if got := send(t, http.MethodPost, address, body, ""); got.code != 0 {
		t.Errorf("sent: %d %s", got.code, got.body)
	}
	if got := send(t, http.MethodPost, address, body, ""); got.code != http.StatusCreated {
		t.Errorf("sent again: %d %s", got.code, got.body)
	}
	if err := s.Faults.Inject(fault.Rule{Path: "/blobs/sha256:", Action: "truncate", Nth: 1}); err != nil {
		t.Fatal(err)
	}
	if got := send(t, http.MethodGet, s.URL+"/v2/a.example.org/x/blobs/"+digest, "", ""); len(got.body) >= len(body) {
		t.Error("a fault did not cut the blob")
	}
	if err := errors.Join(s.OCI.Change(Change{Cut: "a.example.org/x", After: -1}), s.OCI.Change(Change{Down: "a.example.org", Mode: "half"})); err == nil {
		t.Error("nonsense was taken")
	}
}

// TestQuotaOfRegistries (CF-O7): a credential has one quota for all hosts; everybody without one has one together.
func TestQuotaOfRegistries(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s := Start(t, Options{Clock: clock}, `
-- cloud.yaml --
oci:
  any: true
  quota: {requests: 3}
  hosts: {a.example.org: {auth: basic, password: one}, b.example.org: {auth: basic, password: one}, c.example.org: {auth: basic, password: two}, d.example.org: {auth: none}}
`)
	ask := func(host, password string) answered {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		if password != "" {
			req.SetBasicAuth("_token", password)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return answered{code: resp.StatusCode, header: resp.Header}
	}
	for n, step := range []struct {
		host, password string
		code           int
	}{
		{"a.example.org", "one", 200}, {"b.example.org", "one", 200}, {"a.example.org", "one", 200}, {"b.example.org", "one", 429},
		{"c.example.org", "two", 200}, {"d.example.org", "", 200}, {"d.example.org", "", 200}, {"d.example.org", "", 200}, {"d.example.org", "", 429},
	} {
		got := ask(step.host, step.password)
		if got.code != step.code || got.code == 429 && got.header.Get("Retry-After") != "60" {
			t.Errorf("request %d to %s: %d, Retry-After %q; want %d", n, step.host, got.code, got.header.Get("Retry-After"), step.code)
		}
	}
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	if got := ask("b.example.org", "one"); got.code != 200 {
		t.Errorf("a minute later: %d", got.code)
	}
	if c := s.OCI.Counts(); c.Peak != 3 || c.Refused != 2 {
		t.Errorf("%+v", c)
	}
	s.OCI.Clear()
	if c := s.OCI.Counts(); c.Refused != 0 || len(c.Requests) != 0 || len(s.OCI.Asked()) != 0 {
		t.Errorf("%+v", c)
	}
}

// TestDown: a host fails alone, wholly or for writes.
func TestDown(t *testing.T) {
	s := Start(t, Options{}, open)
	for _, c := range []struct {
		mode       string
		read, post int
	}{{"", 404, 202}, {"all", 503, 503}, {"write", 404, 503}, {"deny", 403, 403}, {"", 404, 202}} {
		if err := s.OCI.Change(Change{Down: "a.example.org", Mode: c.mode}); err != nil {
			t.Fatal(err)
		}
		post := send(t, http.MethodPost, s.URL+"/v2/a.example.org/x/blobs/uploads/", "", "").code
		read := send(t, http.MethodGet, s.URL+"/v2/a.example.org/x/tags/list", "", "").code
		other := send(t, http.MethodPost, s.URL+"/v2/b.example.org/x/blobs/uploads/", "", "").code
		if read != c.read || post != c.post || other != 202 {
			t.Errorf("%q: %d %d %d", c.mode, read, post, other)
		}
	}
}

// TestPushWithTokens: a token of a repository is for pushing there and nowhere else.
func TestPushWithTokens(t *testing.T) {
	s := Start(t, Options{}, "-- cloud.yaml --\noci: {hosts: {private.example.org: {auth: private, password: sesame, scoped: true}}}\n")
	auth := remote.WithAuth(&authn.Basic{Username: "_token", Password: "sesame"})
	opts := []remote.Option{remote.WithTransport(through(strings.TrimPrefix(s.URL, "http://"))), remote.WithContext(t.Context())}
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag := where(t, "private.example.org/x").Tag("v1")
	if err := remote.Write(tag, img, append(opts, auth)...); err != nil {
		t.Error(err)
	}
	if err := remote.Write(name.MustParseReference("private.example.org/x:v2").(name.Tag), img, opts...); err == nil {
		t.Error("pushed without a password")
	}
	if got := s.OCI.Tags(); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// TestPushesAtOnce: many clients push to many repositories; every blob is read and sent without a lock.
func TestPushesAtOnce(t *testing.T) {
	s := Start(t, Options{Latency: time.Millisecond}, open)
	index := indexOf(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for n := range 12 {
		all.Go(func() {
			to := where(t, fmt.Sprintf("host%d.pkg.dev/p/tool", n%3)).Tag(fmt.Sprint("v", n))
			if err := remote.WriteIndex(to, index, remote.WithTransport(through(strings.TrimPrefix(s.URL, "http://"))), remote.WithContext(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(s.OCI.Tags()); n != 12 {
		t.Errorf("%d tags", n)
	}
}
