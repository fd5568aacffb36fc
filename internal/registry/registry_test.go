// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/secret"
)

const (
	google = "us-docker.pkg.dev"
	plain  = "registry.example.org"
	repo   = "/prod/images/pause"
)

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

// fast are options of a client that does not wait long.
func fast(endpoints map[string]string) Options {
	return Options{
		HTTP:      httpread.Options{Attempts: 2, Timeout: time.Minute, MaxBody: 1 << 20, Backoff: time.Microsecond},
		Pace:      pace.Options{Rate: 1e6},
		Endpoints: endpoints,
	}
}

// start serves a scenario and returns a client of both hosts.
func start(t *testing.T, scenario string, change func(*Options)) (*Registry, *cloudfake.Running) {
	t.Helper()
	s := cloudfake.Start(t, cloudfake.Options{}, scenario)
	at := strings.TrimPrefix(s.URL, "http://")
	opts := fast(map[string]string{google: at, plain: at, "evil.example.org": at})
	if change != nil {
		change(&opts)
	}
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// world has one repository on both hosts, with two tags, an untagged digest and a child.
func world() string {
	text := "-- cloud.yaml --\noci:\n  changes:\n"
	for _, host := range []string{google, plain} {
		at := host + repo
		text += fmt.Sprintf("  - {tag: '%s:1', digest: '%s'}\n  - {tag: '%s:2', digest: '%s'}\n  - {tag: '%s:x', digest: '%s'}\n  - {untag: '%s:x'}\n  - {tag: '%s/win:1', digest: '%s'}\n",
			at, digest(1), at, digest(2), at, digest(3), at, at, digest(4))
	}
	return text
}

func reason(err error) finding.Reason { return audit.GapOf("", err).Reason }

func TestListOfGoogle(t *testing.T) {
	r, s := start(t, world(), nil)
	l, err := r.List(t.Context(), google+repo)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Full || !maps.Equal(l.Tags, map[string]string{"1": digest(1), "2": digest(2)}) || len(l.Digests) != 3 || !slices.Equal(l.Children, []string{"win"}) {
		t.Errorf("%+v", l)
	}
	if _, err := r.List(t.Context(), google+repo+"/win"); err != nil {
		t.Error(err)
	}
	// One ping and one token for the host, then one request for each repository.
	var asked []string
	for _, q := range s.Faults.Requests() {
		asked = append(asked, q.Path)
	}
	if want := []string{"/v2/", "/v2/token", "/v2" + repo + "/tags/list", "/v2" + repo + "/win/tags/list"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v", asked)
	}
	if r.hosts[google].challenge.Insecure {
		t.Error("the endpoint made the host one of plain HTTP")
	}
	if l, err = r.List(t.Context(), google+"/prod/images"); err != nil || !slices.Equal(l.Children, []string{"pause"}) || len(l.Digests) != 0 {
		t.Errorf("a folder: %+v, %v", l, err)
	}
}

func TestListOfOthers(t *testing.T) {
	r, s := start(t, world(), nil)
	for i := range 250 {
		if err := s.OCI.Change(cloudfake.Change{Tag: fmt.Sprintf("%s/many:t%d", plain, i), Digest: digest(i % 7)}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := r.List(t.Context(), plain+repo)
	if err != nil || l.Full || !maps.Equal(l.Tags, map[string]string{"1": digest(1), "2": digest(2)}) || len(l.Digests) != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err = r.List(t.Context(), plain+"/many"); err != nil || len(l.Tags) != 250 || l.Tags["t249"] != digest(249%7) {
		t.Errorf("%d tags, %v", len(l.Tags), err)
	}
	all, err := r.Catalog(t.Context(), plain+"/prod")
	if want := []string{"images/pause", "images/pause/win"}; err != nil || !slices.Equal(all, want) {
		t.Errorf("catalog: %v, %v", all, err)
	}
	if _, err := r.Catalog(t.Context(), google+"/prod"); !errors.Is(err, manifest.ErrNotOffered) {
		t.Errorf("catalog of Google: %v", err)
	}
}

// TestPages lets the fake give pages of three.
func TestPages(t *testing.T) {
	r, s := start(t, world(), nil)
	for i := range 10 {
		if err := s.OCI.Change(cloudfake.Change{Tag: fmt.Sprintf("%s/many:t%d", plain, i), Digest: digest(i)}); err != nil {
			t.Fatal(err)
		}
	}
	reg, err := name.NewRegistry(plain)
	if err != nil {
		t.Fatal(err)
	}
	var c collection
	pages := 0
	if err := r.pages(t.Context(), reg, "", "/v2/many/tags/list?n=3&ours=", func(body []byte) (int, error) {
		pages++
		return c.add(body)
	}); err != nil || len(c.tags) != 10 || pages != 4 {
		t.Errorf("%d tags in %d pages, %v", len(c.tags), pages, err)
	}
}

// TestListsThatCannotBe are refused whole.
func TestListsThatCannotBe(t *testing.T) {
	two := fmt.Sprintf(`{"manifest":{"%s":{"tag":["a"]},"%s":{"tag":["a"]}}}`, digest(1), digest(2))
	for name, pages := range map[string][]string{
		"a tag on two digests":           {two},
		"a tag on two digests, by pages": {fmt.Sprintf(`{"manifest":{"%s":{"tag":["a"]}}}`, digest(1)), fmt.Sprintf(`{"manifest":{"%s":{"tag":["a"]}}}`, digest(2))},
		"a digest that is none":          {`{"manifest":{"sha256:1":{}}}`},
		"a tag that is none":             {`{"tags":["a b"]}`},
		"a tag of a digest that is none": {fmt.Sprintf(`{"manifest":{"%s":{"tag":["-"]}}}`, digest(1))},
		"a child that is none":           {`{"child":[".."]}`},
		"another type":                   {`{"tags":"a"}`},
		"nothing":                        {``},
	} {
		var c collection
		var err error
		for _, page := range pages {
			if err == nil {
				_, err = c.add([]byte(page))
			}
		}
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// TestAgainstAnotherImplementation reads go-containerregistry's registry, which is
// filled by its own client.
func TestAgainstAnotherImplementation(t *testing.T) {
	srv := httptest.NewServer(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	at := strings.TrimPrefix(srv.URL, "http://")
	index, child, attached := push(t, at+"/a/b")
	r, err := New(fast(nil))
	if err != nil {
		t.Fatal(err)
	}
	l, err := r.List(t.Context(), at+"/a/b")
	if err != nil || l.Full || l.Tags["v1"] != index || len(l.Tags) != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	if got, err := r.Resolve(t.Context(), at+"/a/b", child); err != nil || got != child {
		t.Errorf("resolve: %s, %v", got, err)
	}
	if c, err := r.Content(t.Context(), at+"/a/b", index); err != nil || !slices.Contains(c.Manifests, child) || len(c.Manifests) != 2 {
		t.Errorf("index: %+v, %v", c, err)
	}
	if c, err := r.Content(t.Context(), at+"/a/b", attached); err != nil || c.Subject != index {
		t.Errorf("referrer: %+v, %v", c, err)
	}
	if _, err := r.List(t.Context(), at+"/a/c"); !errors.Is(err, manifest.ErrNoRepository) || reason(err) != finding.NotFound {
		t.Errorf("no repository: %v", err)
	}
	if _, err := r.Resolve(t.Context(), at+"/a/b", digest(1)); !errors.Is(err, manifest.ErrNoManifest) {
		t.Errorf("no manifest: %v", err)
	}
	if all, err := r.Catalog(t.Context(), at+"/a"); err != nil || !slices.Equal(all, []string{"b"}) {
		t.Errorf("catalog: %v, %v", all, err)
	}
}

// push makes an index of two images under v1, and something attached to it.
func push(t *testing.T, at string) (index, child, attached string) {
	t.Helper()
	where, err := name.NewRepository(at)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	image := func() v1.Image {
		i, err := random.Image(10, 1)
		must(err)
		return i
	}
	one, two := image(), image()
	both := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one}, mutate.IndexAddendum{Add: two})
	must(remote.WriteIndex(where.Tag("v1"), both))
	of := func(d v1.Hash, err error) v1.Hash { must(err); return d }
	size, err := both.Size()
	must(err)
	mediaType, err := both.MediaType()
	must(err)
	ref := mutate.Subject(image(), v1.Descriptor{Digest: of(both.Digest()), Size: size, MediaType: mediaType}).(v1.Image)
	must(remote.Write(where.Digest(of(ref.Digest()).String()), ref))
	return of(both.Digest()).String(), of(one.Digest()).String(), of(ref.Digest()).String()
}

func TestAbsenceIsTheRegistrysOwnWord(t *testing.T) {
	r, s := start(t, world(), nil)
	ctx := t.Context()
	for _, host := range []string{google, plain} {
		if _, err := r.List(ctx, host+"/none/such"); !errors.Is(err, manifest.ErrNoRepository) {
			t.Errorf("%s: %v", host, err)
		}
		if _, err := r.Resolve(ctx, host+repo, "none"); !errors.Is(err, manifest.ErrNoManifest) {
			t.Errorf("%s: %v", host, err)
		}
		// Somebody between us says 404.
		inject(t, s, fault.Rule{Path: "/tags/list$|/manifests/", Action: "status", Status: 404, Body: "404 page not found"})
		for what, err := range map[string]error{
			"list":    second(r.List(ctx, host+repo)),
			"resolve": second(r.Resolve(ctx, host+repo, "1")),
			"content": second(r.Content(ctx, host+repo, digest(1))),
		} {
			if reason(err) != finding.NotFound || errors.Is(err, manifest.ErrNoRepository) || errors.Is(err, manifest.ErrNoManifest) {
				t.Errorf("%s %s: %v", host, what, err)
			}
		}
		s.Faults.Heal()
		// The registry says so once, wrongly; or says so and lets nobody in.
		inject(t, s, fault.Rule{Path: "/tags/list$", Action: "status", Status: 404, Times: 1})
		if l, err := r.List(ctx, host+repo); err != nil || len(l.Tags) != 2 {
			t.Errorf("%s: said once: %v", host, err)
		}
		s.Faults.Heal()
		inject(t, s, fault.Rule{Path: "/tags/list$", Action: "status", Status: 404}, fault.Rule{Path: "^/v2/$", Action: "status", Status: 403})
		if _, err := r.List(ctx, host+repo); err == nil || errors.Is(err, manifest.ErrNoRepository) {
			t.Errorf("%s: not let in: %v", host, err)
		}
		s.Faults.Heal()
		// A HEAD has no words: what it denies is asked again.
		inject(t, s, fault.Rule{Method: "HEAD", Action: "status", Status: 404})
		if _, err := r.Resolve(ctx, host+repo, "none"); !errors.Is(err, manifest.ErrNoManifest) {
			t.Errorf("%s: %v", host, err)
		}
		if _, err := r.Resolve(ctx, host+repo, "1"); errors.Is(err, manifest.ErrNoManifest) {
			t.Errorf("%s: a HEAD decided: %v", host, err)
		}
		s.Faults.Heal()
	}
}

func second[T any](_ T, err error) error { return err }

func inject(t *testing.T, s *cloudfake.Running, rules ...fault.Rule) {
	t.Helper()
	if err := s.Faults.Inject(rules...); err != nil {
		t.Fatal(err)
	}
}

// TestPageInThePlaceOfAManifest has a gateway that answers 200 to everything. What it
// sends has a digest too, and would make every tag a moved one.
func TestPageInThePlaceOfAManifest(t *testing.T) {
	for _, page := range []string{"{}", "<html>", `{"schemaVersion":9}`, "[]"} {
		r, s := start(t, world(), nil)
		inject(t, s, fault.Rule{Path: "/manifests/", Action: "status", Status: 200, Body: page})
		if got, err := r.Resolve(t.Context(), plain+repo, "1"); reason(err) != finding.Malformed {
			t.Errorf("%s: %s, %v", page, got, err)
		}
	}
}

func TestTagsThatCannotBeReadAreNamed(t *testing.T) {
	r, s := start(t, world(), nil)
	inject(t, s, fault.Rule{Path: "/manifests/1$", Action: "status", Status: 500})
	l, err := r.List(t.Context(), plain+repo)
	if err != nil || l.Tags["2"] != digest(2) || len(l.Tags) != 1 || reason(l.Unread["1"]) != finding.Unavailable {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestTokens counts what tokens cost, and what a refused one leads to.
func TestTokens(t *testing.T) {
	password := func(text string) func(*Options) {
		return func(o *Options) {
			o.Google = func(context.Context) (secret.String, error) { return secret.New(text), nil }
		}
	}
	for name, c := range map[string]struct {
		style    cloudfake.RegistryStyle
		change   func(*Options)
		requests int // for four lists
		reason   finding.Reason
	}{
		"one for all":    {cloudfake.RegistryStyle{Auth: "token"}, nil, 2 + 4, ""},
		"none":           {cloudfake.RegistryStyle{Auth: "none"}, nil, 1 + 4, ""},
		"one each":       {cloudfake.RegistryStyle{Auth: "token", Scoped: true}, nil, 9, ""},
		"private":        {cloudfake.RegistryStyle{Auth: "private", Password: "open sesame"}, password("open sesame"), 2 + 4, ""},
		"basic":          {cloudfake.RegistryStyle{Auth: "basic", Password: "open sesame"}, password("open sesame"), 1 + 4, ""},
		"wrong password": {cloudfake.RegistryStyle{Auth: "private", Password: "open sesame"}, password("hunter22"), 0, finding.Denied},
		"no password":    {cloudfake.RegistryStyle{Auth: "private", Password: "open sesame"}, nil, 0, finding.Denied},
		"basic, wrong":   {cloudfake.RegistryStyle{Auth: "basic", Password: "open sesame"}, password("hunter22"), 0, finding.Denied},
		"basic, nothing": {cloudfake.RegistryStyle{Auth: "basic", Password: "open sesame"}, nil, 0, finding.Denied},
	} {
		r, s := start(t, world(), c.change)
		c.style.Google = true
		if err := s.OCI.Host(google, c.style); err != nil {
			t.Fatal(err)
		}
		for _, repository := range []string{repo, repo + "/win", repo, "/prod/images"} {
			_, err := r.List(t.Context(), google+repository)
			if c.reason == "" && err != nil || c.reason != "" && reason(err) != c.reason {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "sesame")) {
				t.Errorf("%s: a secret in %v", name, err)
			}
		}
		if n := len(s.Faults.Requests()); c.requests > 0 && n != c.requests {
			t.Errorf("%s: %d requests, want %d: %v", name, n, c.requests, s.Faults.Requests())
		}
	}
}

func TestTokensAreRenewed(t *testing.T) {
	r, s := start(t, world(), nil)
	if _, err := r.List(t.Context(), google+repo); err != nil {
		t.Fatal(err)
	}
	inject(t, s, fault.Rule{Path: "/tags/list$", Action: "status", Status: 401, Times: 1})
	if _, err := r.List(t.Context(), google+repo); err != nil {
		t.Errorf("a token that was refused once: %v", err)
	}
	inject(t, s, fault.Rule{Path: "/tags/list$", Action: "status", Status: 401})
	if _, err := r.List(t.Context(), google+repo); reason(err) != finding.Denied {
		t.Errorf("refused for ever: %v", err)
	}
}

// TestCredentialsStayAtHome has registries that ask for the credential at another
// host, by a realm or a redirect, and one that is not Google's.
func TestCredentialsStayAtHome(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Host+" "+req.URL.Path+" "+req.Header.Get("Authorization"))
		switch {
		case req.Host == "gcr.io" && req.URL.Path == "/v2/":
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://evil.example.org/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case req.Host == plain && req.URL.Path == "/v2/":
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		case req.Host == google && req.URL.Path == "/v2/":
			_, _ = io.WriteString(w, "{}")
		case req.URL.Path == "/token":
			_, _ = io.WriteString(w, `{"token":"t"}`)
		case strings.HasSuffix(req.URL.Path, "/list"):
			http.Redirect(w, req, "https://evil.example.org/v2/steal", http.StatusTemporaryRedirect)
		}
	}))
	defer srv.Close()
	at := strings.TrimPrefix(srv.URL, "http://")
	opts := fast(map[string]string{"gcr.io": at, plain: at, google: at, "evil.example.org": at})
	opts.Google = func(context.Context) (secret.String, error) { return secret.New("hunter22"), nil }
	r, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"gcr.io", plain, google} {
		if _, err := r.List(t.Context(), host+"/a/b"); err == nil || strings.Contains(err.Error(), "evil") {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, line := range seen {
		host, rest, _ := strings.Cut(line, " ")
		path, authorization, _ := strings.Cut(rest, " ")
		if host == "evil.example.org" && (path == "/v2/steal" || authorization != "") || strings.HasPrefix(authorization, "Basic") {
			t.Errorf("asked %s", line)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %v", seen)
	}
}

func TestHostileAnswersAreBounded(t *testing.T) {
	for mode, want := range map[string]struct{ list, content finding.Reason }{
		"endless": {finding.TooLarge, ""},
		"loop":    {finding.Malformed, ""},
		"away":    {finding.Malformed, ""},
		"giant":   {finding.TooLarge, finding.TooLarge},
		"deep":    {finding.Malformed, ""},
		"type":    {finding.Malformed, ""},
		"names":   {finding.Malformed, ""},
		"digest":  {"", finding.Malformed},
	} {
		for _, host := range []string{google, plain} {
			r, s := start(t, world(), nil)
			const body = `{"schemaVersion":2}`
			if err := s.OCI.Change(cloudfake.Change{Put: host + repo, Body: body, MediaType: "application/json"}, cloudfake.Change{Lie: host + repo, Mode: mode}); err != nil {
				t.Fatal(err)
			}
			_, err := r.List(t.Context(), host+repo)
			if err == nil && want.list != "" || err != nil && reason(err) != want.list {
				t.Errorf("%s: list of %s: %v", mode, host, err)
			}
			_, err = r.Content(t.Context(), host+repo, manifest.DigestOf([]byte(body)))
			if err == nil && want.content != "" || err != nil && reason(err) != want.content {
				t.Errorf("%s: content of %s: %v", mode, host, err)
			}
			if n := len(s.Faults.Requests()); n > maxPages+10 {
				t.Errorf("%s: %d requests", mode, n)
			}
		}
	}
}

// TestServersAreNotQuoted plants a secret wherever a server can write.
func TestServersAreNotQuoted(t *testing.T) {
	const planted = "hunter22"
	for name, answer := range map[string]func(w http.ResponseWriter, path string){
		"bodies": func(w http.ResponseWriter, _ string) {
			http.Error(w, `{"errors":[{"code":"`+planted+`","message":"`+planted+`"}]}`, http.StatusForbidden)
		},
		"redirects": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", "https://"+planted+".example.org/?"+planted)
			w.WriteHeader(http.StatusFound)
		},
		"challenges": func(w http.ResponseWriter, _ string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ftp://`+planted+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"tokens": func(w http.ResponseWriter, path string) {
			if path == "/v2/" {
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+plain+`/token?`+planted+`"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
			_, _ = io.WriteString(w, `{"tokn":"`+planted+`"}`)
		},
		"lists": func(w http.ResponseWriter, _ string) {
			_, _ = io.WriteString(w, `{"tags":["`+planted+`/"],"repositories":["`+planted+`/"]}`)
		},
		"links": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Link", `<`+planted+`:>; rel="next"`)
			_, _ = io.WriteString(w, `{"tags":[],"repositories":[]}`)
		},
		"digests": func(w http.ResponseWriter, _ string) {
			w.Header().Set("Docker-Content-Digest", planted)
			_, _ = io.WriteString(w, `{"`+planted+`":`)
		},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { answer(w, req.URL.Path) }))
		r, err := New(fast(map[string]string{plain: strings.TrimPrefix(srv.URL, "http://")}))
		if err != nil {
			t.Fatal(err)
		}
		ctx := t.Context()
		for what, err := range map[string]error{
			"list": second(r.List(ctx, plain+repo)), "catalog": second(r.Catalog(ctx, plain)),
			"resolve": second(r.Resolve(ctx, plain+repo, digest(1))), "content": second(r.Content(ctx, plain+repo, digest(1))),
		} {
			if err == nil || strings.Contains(err.Error(), planted) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		srv.Close()
	}
}

func TestNamesAreChecked(t *testing.T) {
	r, s := start(t, world(), nil)
	ctx := t.Context()
	for what, err := range map[string]error{
		"list":    second(r.List(ctx, google+"/../x")),
		"no host": second(r.List(ctx, "prod/images")),
		"catalog": second(r.Catalog(ctx, "a b")),
		"resolve": second(r.Resolve(ctx, google+repo, "../x")),
		"content": second(r.Content(ctx, google+repo, "1")),
	} {
		if err == nil {
			t.Errorf("%s was asked", what)
		}
	}
	if len(s.Faults.Requests()) > 0 {
		t.Errorf("asked %v", s.Faults.Requests())
	}
	for _, to := range []string{"example.org:80", "10.0.0.1:80", "127.0.0.1"} {
		if _, err := New(Options{Endpoints: map[string]string{plain: to}}); err == nil {
			t.Errorf("endpoint %s was accepted", to)
		}
	}
}

func TestCancelled(t *testing.T) {
	r, s := start(t, world(), nil)
	inject(t, s, fault.Rule{Action: "hang"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := r.List(ctx, plain+repo); reason(err) != finding.TimedOut {
		t.Errorf("%v", err)
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(`{"child":["a"],"manifest":{"` + digest(1) + `":{"imageSizeBytes":"1","mediaType":"x","tag":["a","b"],"timeCreatedMs":"0"}},"name":"n","tags":["a","b","c"]}`))
	f.Add([]byte(`{"tags":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var c collection
		fresh, err := c.add(body)
		if err != nil {
			return
		}
		again, err := c.add(body)
		if err != nil || again != 0 {
			t.Errorf("the same page brings %d more, %v", again, err)
		}
		l, open := c.listing()
		if len(l.Tags)+len(open)+len(l.Digests)+len(l.Children) != fresh {
			t.Errorf("%d of %+v and %v", fresh, l, open)
		}
		for tag, d := range l.Tags {
			if !manifest.IsTag(tag) || !manifest.IsDigest(d) {
				t.Errorf("tag %q on %q", tag, d)
			}
		}
		for d := range l.Digests {
			if !manifest.IsDigest(d) {
				t.Errorf("digest %q", d)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"manifests":[{"digest":"x"}],"subject":{"digest":"y"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if c, err := decode(body); err == nil && len(c.Manifests) > maxManifests {
			t.Errorf("%d manifests", len(c.Manifests))
		}
		_ = code(body)
	})
}
