// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/google"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/manifest"
)

const ociWorld = `
-- cloud.yaml --
oci:
  hosts:
    plain.example.org: {}
    private.example.org: {auth: private, password: sesame, scoped: true}
  changes:
  - {tag: 'us-docker.pkg.dev/p/i/b/deep:9', digest: 'sha256:2222222222222222222222222222222222222222222222222222222222222222'}
  - {tag: 'plain.example.org/x:1', digest: 'sha256:3333333333333333333333333333333333333333333333333333333333333333'}
  - {tag: 'private.example.org/x:1', digest: 'sha256:3333333333333333333333333333333333333333333333333333333333333333'}
  - {put: us-docker.pkg.dev/p/i/real, tags: [v1, v2], mediaType: application/vnd.oci.image.manifest.v1+json, body: '{"schemaVersion":2}'}
  - {untag: 'us-docker.pkg.dev/p/i/real:v2'}
  - {remove: 'us-docker.pkg.dev/p/i/a@sha256:5555555555555555555555555555555555555555555555555555555555555555'}
  - {drop: eu-docker.pkg.dev/p/i/a}
-- oci/registry.k8s.io/manifests/p/promoter-manifest.yaml --
registries: [{name: gcr.io/staging, src: true}, {name: us-docker.pkg.dev/p/i}, {name: eu-docker.pkg.dev/p/i}]
-- oci/registry.k8s.io/images/p/images.yaml --
- name: a
  dmap:
    "sha256:1111111111111111111111111111111111111111111111111111111111111111": ["1.10", x]
    "sha256:5555555555555555555555555555555555555555555555555555555555555555": [gone]
- name: b
  dmap: {"sha256:4444444444444444444444444444444444444444444444444444444444444444": []}
- name: empty
`

// through reaches every host at one address.
type through string

func (at through) RoundTrip(r *http.Request) (*http.Response, error) {
	near := r.Clone(r.Context())
	near.Host, near.URL.Scheme, near.URL.Host = r.URL.Host, "http", string(at)
	resp, err := http.DefaultTransport.RoundTrip(near)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func where(t *testing.T, text string) name.Repository {
	t.Helper()
	r, err := name.NewRepository(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRegistryWithForeignClients lets Google's client and go-containerregistry's read
// the fake.
func TestRegistryWithForeignClients(t *testing.T) {
	s := Start(t, Options{}, ociWorld)
	at := through(strings.TrimPrefix(s.URL, "http://"))
	got := map[string]string{}
	err := google.Walk(where(t, "us-docker.pkg.dev/p/i"), func(repo name.Repository, tags *google.Tags, err error) error {
		if err != nil {
			return err
		}
		digests := slices.Sorted(maps.Keys(tags.Manifests))
		line := fmt.Sprint(tags.Children, tags.Tags)
		for _, d := range digests {
			line += fmt.Sprintf(" %.9s%v", d, tags.Manifests[d].Tags)
		}
		got[repo.RepositoryStr()] = line
		return nil
	}, google.WithTransport(at), google.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	real := manifest.DigestOf([]byte(`{"schemaVersion":2}`))
	if want := map[string]string{
		"p/i":        "[a b real] []",
		"p/i/a":      "[] [1.10 x] sha256:11[1.10 x]",
		"p/i/b":      "[deep] [] sha256:44[]",
		"p/i/b/deep": "[] [9] sha256:22[9]",
		"p/i/real":   fmt.Sprintf("[] [v1] %.9s[v1]", real),
	}; !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	opts := []remote.Option{remote.WithTransport(at), remote.WithContext(t.Context())}
	if d, err := remote.Get(where(t, "us-docker.pkg.dev/p/i/real").Tag("v1"), opts...); err != nil || d.Digest.String() != real {
		t.Errorf("get: %v, %v", d, err)
	}
	if _, err := remote.Get(where(t, "us-docker.pkg.dev/p/i/a").Digest("sha256:"+strings.Repeat("1", 64)), opts...); err == nil {
		t.Error("bytes with a declared digest were made up")
	}
	if _, err := remote.Head(where(t, "us-docker.pkg.dev/p/i/a").Tag("gone"), opts...); err == nil {
		t.Error("a removed tag is there")
	}
	if _, err := remote.List(where(t, "eu-docker.pkg.dev/p/i/a"), opts...); err == nil {
		t.Error("a dropped repository is there")
	}
	if tags, err := remote.List(where(t, "eu-docker.pkg.dev/p/i/b"), opts...); err != nil || len(tags) != 0 {
		t.Errorf("another mirror: %v, %v", tags, err)
	}
	if tags, err := remote.List(where(t, "plain.example.org/x"), append(opts, remote.WithPageSize(1))...); err != nil || !slices.Equal(tags, []string{"1"}) {
		t.Errorf("plain: %v, %v", tags, err)
	}
	reg := where(t, "plain.example.org/x").Registry
	if all, err := remote.Catalog(t.Context(), reg, opts...); err != nil || !slices.Equal(all, []string{"x"}) {
		t.Errorf("catalog: %v, %v", all, err)
	}
	private := where(t, "private.example.org/x")
	if _, err := remote.List(private, opts...); err == nil {
		t.Error("private to nobody")
	}
	if _, err := remote.List(private, append(opts, remote.WithAuth(&authn.Basic{Username: "_token", Password: "sesame"}))...); err != nil {
		t.Error(err)
	}
}

// TestRegistryByAddress reaches a host by the first segment of the repository.
func TestRegistryByAddress(t *testing.T) {
	s := Start(t, Options{}, ociWorld)
	at := strings.TrimPrefix(s.URL, "http://")
	tags, err := remote.List(where(t, at+"/us-docker.pkg.dev/p/i/b/deep"), remote.WithContext(t.Context()))
	if err != nil || !slices.Equal(tags, []string{"9"}) {
		t.Errorf("%v, %v", tags, err)
	}
	reg, err := name.NewRegistry(at)
	if err != nil {
		t.Fatal(err)
	}
	all, err := remote.Catalog(t.Context(), reg)
	if err != nil || !slices.Contains(all, "plain.example.org/x") || !slices.Contains(all, "eu-docker.pkg.dev/p/i/b") {
		t.Errorf("%v, %v", all, err)
	}
}

func TestRegistryPages(t *testing.T) {
	s := Start(t, Options{}, "")
	if err := s.OCI.Host("p.example.org", RegistryStyle{Auth: "none", Catalog: true}); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		if err := s.OCI.Change(Change{Tag: fmt.Sprintf("p.example.org/x:%d", i), Digest: "sha256:" + strings.Repeat("1", 64)}); err != nil {
			t.Fatal(err)
		}
	}
	at := through(strings.TrimPrefix(s.URL, "http://"))
	tags, err := remote.List(where(t, "p.example.org/x"), remote.WithPageSize(3), remote.WithTransport(at), remote.WithContext(t.Context()))
	if err != nil || len(tags) != 7 {
		t.Errorf("%v, %v", tags, err)
	}
	if n := len(s.Faults.Requests()); n != 1+3 {
		t.Errorf("%d requests", n)
	}
}

func TestRegistryControls(t *testing.T) {
	s := Start(t, Options{}, ociWorld)
	for _, c := range []struct{ path, body, want string }{
		{"change", `[{"drop":"plain.example.org/x"},{"put":"plain.example.org/y","body":"{}","tags":["t"]}]`, `200 {"changes":2}`},
		{"change", `[{"tag":"x","digest":"y"}]`, `400 {"message":"x: no : in it"}`},
		{"change", `[{}]`, `400 {"message":"change: want one of tag, untag, remove, drop, put, lie, down, cut"}`},
		{"change", `[{"tog":"x"}]`, `400 {"message":"request body: json: unknown field \"tog\""}`},
		{"host", `{"plain.example.org":{"auth":"none"}}`, `200 {}`},
		{"host", `{"plain.example.org":{"auth":"maybe"}}`, `400 {"message":"auth \"maybe\" is not token, private, basic or none"}`},
	} {
		if got := talk(t, "POST", s.URL+"/_fake/oci/"+c.path, c.body); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.path, c.body, got, c.want)
		}
	}
	if got := talk(t, "GET", s.URL+"/_fake/oci/hosts", ""); got != `200 ["eu-docker.pkg.dev","plain.example.org","private.example.org","us-docker.pkg.dev"]` {
		t.Error(got)
	}
	if got := talk(t, "GET", s.URL+"/v2/plain.example.org/_catalog", ""); !strings.HasPrefix(got, "501") {
		t.Error(got)
	}
	if got := talk(t, "GET", s.URL+"/v2/plain.example.org/y/tags/list", ""); got != `200 {"name":"plain.example.org/y","tags":["t"]}` {
		t.Error(got)
	}
	s.Server.unknown = nil
}

// TestLyingRegistries shows that each mode answers something; what a client makes of
// it is the client's test.
func TestLyingRegistries(t *testing.T) {
	s := Start(t, Options{}, ociWorld)
	const repo = "us-docker.pkg.dev/p/i/a"
	client := http.Client{Transport: through(strings.TrimPrefix(s.URL, "http://"))}
	if err := s.OCI.Host("us-docker.pkg.dev", RegistryStyle{Google: true, Auth: "none"}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, mode := range []string{"endless", "loop", "away", "deep", "half", "type", "digest", "names", ""} {
		if err := s.OCI.Change(Change{Lie: repo, Mode: mode}); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/v2/p/i/a/tags/list", "/v2/p/i/a/manifests/x"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://us-docker.pkg.dev"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			seen[mode] += fmt.Sprintln(resp.StatusCode, resp.Header.Get("Link"), resp.Header.Get("Content-Type"), string(body))
		}
	}
	for a, x := range seen {
		for b, y := range seen {
			// A list of one digest has nothing to leave out.
			if a < b && x == y && !(a == "" && b == "half") {
				t.Errorf("%q and %q answer the same", a, b)
			}
		}
	}
}
