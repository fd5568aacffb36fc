// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/pace"
)

// scripted is a registry whose answers a test gives. It keeps what was asked.
type scripted struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func script(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body []byte)) (*scripted, *Registry) {
	t.Helper()
	s := &scripted{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		line := r.Method + " " + r.Host + r.URL.RequestURI()
		if err != nil {
			line += " cut"
		}
		if a := r.Header.Get("Authorization"); a != "" {
			line += " " + a
		}
		s.asked = append(s.asked, line)
		answer(w, r, body)
	}))
	t.Cleanup(s.Close)
	at := strings.TrimPrefix(s.URL, "http://")
	r, err := New(fast(map[string]string{google: at, plain: at, "blobs.example.net": at, "auth.example.org": at, "evil.example.com": at}))
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

func (s *scripted) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, line := range s.asked {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

const blobText = "the bytes of a blob"

func blobOf(text string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// TestUpload has registries that take blobs in all the ways there are.
func TestUpload(t *testing.T) {
	digest := manifest.DigestOf([]byte(blobText))
	const session = "/upload/session"
	accept := func(w http.ResponseWriter) {
		w.Header().Set("Location", session+"?state=a%2Fb")
		w.WriteHeader(http.StatusAccepted)
	}
	for name, c := range map[string]struct {
		from    string
		answer  func(w http.ResponseWriter, r *http.Request, body []byte, n int)
		mounted bool
		reason  finding.Reason
		asked   int // without the ping
	}{
		"whole with the first": {answer: func(w http.ResponseWriter, r *http.Request, body []byte, _ int) {
			if r.URL.Query().Get("digest") == digest && string(body) == blobText {
				w.WriteHeader(http.StatusCreated)
			}
		}, asked: 1},
		"in two": {answer: func(w http.ResponseWriter, r *http.Request, body []byte, _ int) {
			switch {
			case r.Method == http.MethodPost:
				accept(w)
			case r.URL.Path == session && r.URL.Query().Get("state") == "a/b" && r.URL.Query().Get("digest") == digest && string(body) == blobText:
				w.WriteHeader(http.StatusCreated)
			}
		}, asked: 2},
		"in two, refused in one": {answer: func(w http.ResponseWriter, r *http.Request, _ []byte, n int) {
			switch {
			case n == 1:
				w.WriteHeader(http.StatusMethodNotAllowed)
			case r.Method == http.MethodPost:
				accept(w)
			default:
				w.WriteHeader(http.StatusCreated)
			}
		}, asked: 3},
		"mounted": {from: plain + "/other", answer: func(w http.ResponseWriter, r *http.Request, _ []byte, _ int) {
			if q := r.URL.Query(); q.Get("mount") == digest && q.Get("from") == "other" {
				w.WriteHeader(http.StatusCreated)
			}
		}, mounted: true, asked: 1},
		"not mounted": {from: plain + "/other", answer: func(w http.ResponseWriter, r *http.Request, _ []byte, _ int) {
			if r.Method == http.MethodPost {
				accept(w)
				return
			}
			w.WriteHeader(http.StatusCreated)
		}, asked: 2},
		"not to be mounted": {from: plain + "/other", answer: func(w http.ResponseWriter, r *http.Request, _ []byte, _ int) {
			if r.URL.Query().Get("mount") != "" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.WriteHeader(http.StatusCreated)
		}, asked: 2},
		"broken once": {answer: func(w http.ResponseWriter, r *http.Request, _ []byte, n int) {
			switch {
			case r.Method == http.MethodPost:
				accept(w)
			case n == 2:
				w.WriteHeader(http.StatusInternalServerError)
			default:
				w.WriteHeader(http.StatusCreated)
			}
		}, asked: 4},
		"forgotten once": {answer: func(w http.ResponseWriter, r *http.Request, _ []byte, n int) {
			switch {
			case r.Method == http.MethodPost:
				accept(w)
			case n == 2:
				w.WriteHeader(http.StatusNotFound)
				_, _ = io.WriteString(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)
			default:
				w.WriteHeader(http.StatusCreated)
			}
		}, asked: 4},
		"throttled": {answer: func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) {
			w.WriteHeader(http.StatusTooManyRequests)
		}, reason: finding.Throttled, asked: 2},
		"denied": {answer: func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) {
			w.WriteHeader(http.StatusForbidden)
		}, reason: finding.Denied, asked: 1},
		"led away": {answer: func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) {
			w.Header().Set("Location", "https://evil.example.com/steal")
			w.WriteHeader(http.StatusAccepted)
		}, reason: finding.Malformed, asked: 1},
		"redirected": {answer: func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, reason: finding.Malformed, asked: 2},
		"another digest": {answer: func(w http.ResponseWriter, _ *http.Request, _ []byte, _ int) {
			w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			w.WriteHeader(http.StatusCreated)
		}, reason: finding.Malformed, asked: 1},
	} {
		n := 0
		s, r := script(t, func(w http.ResponseWriter, req *http.Request, body []byte) {
			if req.URL.Path == "/v2/" {
				return
			}
			n++
			c.answer(w, req, body, n)
		})
		mounted, err := r.Upload(t.Context(), plain+"/a/b", digest, int64(len(blobText)), c.from, blobOf(blobText))
		if mounted != c.mounted || c.reason == "" && err != nil || c.reason != "" && reason(err) != c.reason {
			t.Errorf("%s: %v, %v", name, mounted, err)
		}
		if n != c.asked {
			t.Errorf("%s: asked %v", name, s.asked)
		}
	}
}

// TestUploadThatIsOurFault ends unfinished and says why, once.
func TestUploadThatIsOurFault(t *testing.T) {
	s, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
		if req.URL.Path == "/v2/" {
			return
		}
		if req.Method == http.MethodPost && req.URL.Query().Get("digest") == "" {
			w.Header().Set("Location", "/x")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	broken := errors.New("not what it should be")
	open := func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), failing{broken})), nil
	}
	for _, size := range []int64{100, 2 * trialSize} {
		if _, err := r.Upload(t.Context(), plain+"/a/b", manifest.DigestOf(nil), size, "", open); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	}
	if whole := s.count("digest=") - s.count(" cut"); whole > 0 {
		t.Errorf("whole uploads: %v", s.asked)
	}
	if _, err := r.Upload(t.Context(), plain+"/a/b", manifest.DigestOf(nil), 5, "", func(context.Context) (io.ReadCloser, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestPutManifest(t *testing.T) {
	body, fails := []byte(`{"schemaVersion":2}`), 1
	s, r := script(t, func(w http.ResponseWriter, req *http.Request, got []byte) {
		switch {
		case req.URL.Path == "/v2/":
		case !bytes.Equal(got, body) || req.Header.Get("Content-Type") != "a/b":
			w.WriteHeader(http.StatusBadRequest)
		case fails > 0:
			fails--
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(req.URL.Path, "/refused"):
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"hunter22"}]}`)
		default:
			w.Header().Set("OCI-Subject", "x")
			w.WriteHeader(http.StatusCreated)
		}
	})
	if listed, err := r.PutManifest(t.Context(), plain+"/a", "v1", "a/b", body); err != nil || !listed {
		t.Errorf("%v, %v, asked %v", listed, err, s.asked)
	}
	_, err := r.PutManifest(t.Context(), plain+"/a", "refused", "a/b", body)
	if err == nil || !strings.Contains(err.Error(), "MANIFEST_BLOB_UNKNOWN") || strings.Contains(err.Error(), "hunter") || errors.Is(err, manifest.ErrNoManifest) {
		t.Errorf("%v", err)
	}
}

func readAll(ctx context.Context, r *Registry, size int) (string, error) {
	body, err := r.Blob(ctx, plain+"/a", digest(1), int64(size))
	if err != nil {
		return "", err
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	return string(all), err
}

// TestBlob reads blobs from servers that break, move and lie.
func TestBlob(t *testing.T) {
	ranged := func(w http.ResponseWriter, r *http.Request, text string) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
	}
	cut := func(w http.ResponseWriter, n int) {
		w.Header().Set("Content-Length", fmt.Sprint(len(blobText)))
		_, _ = io.WriteString(w, blobText[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request, n int)
		reason finding.Reason
		asked  int // 0: as often as net/http repeats it, too
	}{
		"as it is": {func(w http.ResponseWriter, r *http.Request, _ int) { ranged(w, r, blobText) }, "", 1},
		"cut, then the rest": {func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				cut(w, 5)
			}
			ranged(w, r, blobText)
		}, "", 2},
		"cut, then all again": {func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 1 {
				cut(w, 5)
			}
			_, _ = io.WriteString(w, blobText)
		}, "", 2},
		"cut, then another part": {func(w http.ResponseWriter, _ *http.Request, n int) {
			if n == 1 {
				cut(w, 5)
			}
			w.Header().Set("Content-Range", "bytes 4-18/19")
			w.WriteHeader(http.StatusPartialContent)
		}, finding.Malformed, 2},
		"cut again and again":    {func(w http.ResponseWriter, _ *http.Request, n int) { cut(w, min(n, 5)) }, finding.Unavailable, 0},
		"never more than a word": {func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) }, finding.Unavailable, 0},
		"busy once": {func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			ranged(w, r, blobText)
		}, "", 2},
		"less": {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, blobText[1:]) }, finding.Malformed, 1},
		"more": {func(w http.ResponseWriter, _ *http.Request, _ int) { _, _ = io.WriteString(w, blobText+"!") }, finding.TooLarge, 1},
		"gone": {func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusNotFound) }, finding.NotFound, 1},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request, n int) {
			if r.Host == plain {
				http.Redirect(w, r, "https://blobs.example.net/x?signed=1", http.StatusTemporaryRedirect)
				return
			}
			ranged(w, r, blobText)
		}, "", 2},
		"within": {func(w http.ResponseWriter, r *http.Request, n int) {
			if n == 1 {
				http.Redirect(w, r, "/other", http.StatusFound)
				return
			}
			ranged(w, r, blobText)
		}, "", 2},
		"round and round": {func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, "/other", http.StatusFound)
		}, finding.Malformed, 6},
		"over plain HTTP": {func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, "http://blobs.example.net/x", http.StatusFound)
		}, finding.Malformed, 1},
		"to a bare address": {func(w http.ResponseWriter, r *http.Request, _ int) {
			http.Redirect(w, r, "https://169.254.169.254/x", http.StatusFound)
		}, finding.Malformed, 1},
	} {
		n := 0
		s, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
			switch {
			case req.URL.Path == "/v2/":
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+plain+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			case req.URL.Path == "/token":
				_, _ = io.WriteString(w, `{"token":"t"}`)
			default:
				n++
				c.answer(w, req, n)
			}
		})
		got, err := readAll(t.Context(), r, len(blobText))
		if c.reason == "" && (err != nil || got != blobText) || c.reason != "" && reason(err) != c.reason {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if c.asked > 0 && n != c.asked {
			t.Errorf("%s: asked %v", name, s.asked)
		}
		if s.count("blobs.example.net")-s.count("blobs.example.net/x?signed=1") != 0 || slices.ContainsFunc(s.asked, func(l string) bool {
			return strings.Contains(l, "blobs.example.net") && strings.Contains(l, "Bearer")
		}) {
			t.Errorf("%s: a token went along: %v", name, s.asked)
		}
	}
}

// TestHasBlob: a blob is there only with its size, which is asked for where a HEAD does not tell it.
func TestHasBlob(t *testing.T) {
	const unknown = -1
	ranged := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(blobText))
	}
	away := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://blobs.example.net/x?signed=1", http.StatusTemporaryRedirect)
	}
	for name, c := range map[string]struct {
		head, get http.HandlerFunc
		size      int64
		asked     int
	}{
		"at once":  {head: ranged, size: int64(len(blobText)), asked: 1},
		"not here": {head: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, size: unknown, asked: 1},
		"not said": {head: func(http.ResponseWriter, *http.Request) {}, get: ranged, size: int64(len(blobText)), asked: 2},
		"elsewhere": {head: away, get: func(w http.ResponseWriter, r *http.Request) {
			if r.Host == plain {
				away(w, r)
				return
			}
			ranged(w, r)
		}, size: int64(len(blobText)), asked: 3},
		"elsewhere, whole": {head: away, get: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, blobText) }, size: int64(len(blobText)), asked: 2},
		"elsewhere, lost":  {head: away, get: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, size: unknown, asked: 2},
		"elsewhere, of unknown length": {head: away, get: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/*")
			w.WriteHeader(http.StatusPartialContent)
		}, size: unknown, asked: 2},
	} {
		n := 0
		s, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
			switch n++; {
			case req.URL.Path == "/v2/":
				n--
			case req.Method == http.MethodHead:
				c.head(w, req)
			default:
				c.get(w, req)
			}
		})
		size, has, err := r.HasBlob(t.Context(), plain+"/a", digest(1))
		if err != nil || has != (c.size != unknown) || has && size != c.size || n != c.asked {
			t.Errorf("%s: %v, %d, %v, asked %v", name, has, size, err, s.asked)
		}
	}
}

// keys is a keychain with one credential for every host that asks.
type keys struct{ c authn.AuthConfig }

func (k keys) Resolve(authn.Resource) (authn.Authenticator, error) { return authn.FromConfig(k.c), nil }

// TestKeys: a credential is shown to its host, and to a token server of the same site.
func TestKeys(t *testing.T) {
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:hunter22"))
	for name, c := range map[string]struct {
		challenge string
		config    authn.AuthConfig
		shownAt   string
		bearer    string
	}{
		"basic":           {`Basic realm="x"`, authn.AuthConfig{Username: "me", Password: "hunter22"}, plain, ""},
		"in one word":     {`Basic realm="x"`, authn.AuthConfig{Auth: strings.TrimPrefix(basic, "Basic ")}, plain, ""},
		"own realm":       {`Bearer realm="https://` + plain + `/token"`, authn.AuthConfig{Username: "me", Password: "hunter22"}, plain, "Bearer t"},
		"same site":       {`Bearer realm="https://auth.example.org/token"`, authn.AuthConfig{Username: "me", Password: "hunter22"}, "auth.example.org", "Bearer t"},
		"same site, open": {`Bearer realm="http://auth.example.org/token"`, authn.AuthConfig{Username: "me", Password: "hunter22"}, "", ""},
		"another site":    {`Bearer realm="https://evil.example.com/token"`, authn.AuthConfig{Username: "me", Password: "hunter22"}, "", ""},
		"a token":         {`Bearer realm="https://evil.example.com/token"`, authn.AuthConfig{RegistryToken: "rt"}, "", "Bearer rt"},
		"nothing":         {`Bearer realm="https://evil.example.com/token"`, authn.AuthConfig{}, "", "Bearer t"},
	} {
		s, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
			switch {
			case strings.HasSuffix(req.URL.Path, "/token"):
				_, _ = io.WriteString(w, `{"token":"t"}`)
			case req.Header.Get("Authorization") == "":
				w.Header().Set("WWW-Authenticate", c.challenge)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				_, _ = io.WriteString(w, `{"tags":["a"]}`)
			}
		})
		r.opts.Keys = keys{c.config}
		tags, err := r.Tags(t.Context(), plain+"/a")
		if ok := c.bearer != "" || strings.HasPrefix(c.challenge, "Basic"); ok != (err == nil) || ok && !slices.Equal(tags, []string{"a"}) {
			t.Errorf("%s: %v, %v", name, tags, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "evil")) {
			t.Errorf("%s: %v", name, err)
		}
		for _, line := range s.asked {
			if strings.Contains(line, basic) && (c.shownAt == "" || !strings.Contains(line, " "+c.shownAt+"/")) {
				t.Errorf("%s: shown in %s", name, line)
			}
		}
		if c.shownAt != "" && s.count(basic) == 0 || c.bearer != "" && s.count(c.bearer) == 0 {
			t.Errorf("%s: asked %v", name, s.asked)
		}
	}
	// Google's hosts do not see it.
	s, r := script(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	r.opts.Keys = keys{authn.AuthConfig{Username: "me", Password: "hunter22"}}
	if _, err := r.Tags(t.Context(), google+"/a"); err == nil || s.count("Basic") > 0 {
		t.Errorf("%v, asked %v", err, s.asked)
	}
}

// TestPushTokens: one token to push serves every repository, and reads too, where the host
// allows it.
func TestPushTokens(t *testing.T) {
	for name, scoped := range map[string]bool{"one for all": false, "one each": true} {
		s, r := script(t, func(w http.ResponseWriter, req *http.Request, _ []byte) {
			scope := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
			repo, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
			switch write := req.Method == http.MethodPost; {
			case req.URL.Path == "/token":
				_, _ = fmt.Fprintf(w, `{"token":%q}`, strings.Join(req.URL.Query()["scope"], " "))
			case scope == "", scoped && !strings.Contains(scope, ":"+repo+":pull"), write && !strings.Contains(scope, "push"):
				w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+plain+`/token"`)
				w.WriteHeader(http.StatusUnauthorized)
			case write:
				w.WriteHeader(http.StatusCreated)
			}
		})
		for _, repo := range []string{"/a", "/b", "/c"} {
			if _, ok, err := r.HasBlob(t.Context(), plain+repo, digest(1)); err != nil || !ok {
				t.Errorf("%s: %v, %v", name, ok, err)
			}
			if _, err := r.Upload(t.Context(), plain+repo, digest(1), 1, plain+"/base", blobOf("x")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := r.Referrers(t.Context(), plain+repo, digest(1)); err == nil {
				t.Errorf("%s: an answer without a list was taken for one", name)
			}
		}
		if got, want := s.count("/token?"), map[bool]int{false: 1, true: 6}[scoped]; got > want {
			t.Errorf("%s: %d tokens: %v", name, got, s.asked)
		}
	}
}

// counting is a cloud that lets one user ask so often in any minute, over all hosts.
type counting struct {
	limit   int
	mu      sync.Mutex
	at      []time.Time
	refused int
}

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.mu.Lock()
	now := time.Now()
	for len(c.at) > 0 && now.Sub(c.at[0]) > time.Minute {
		c.at = c.at[1:]
	}
	c.at = append(c.at, now)
	code := http.StatusOK
	if len(c.at) > c.limit {
		c.refused++
		code = http.StatusTooManyRequests
	}
	c.mu.Unlock()
	time.Sleep(20 * time.Millisecond)
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"tags":[]}`)), Request: req}, nil
}

// TestQuota asks 22 regions as much as they can take: none says that it is too much, and it
// takes as long as the quota needs.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := &counting{limit: 5000}
		r, err := New(Options{HTTP: httpread.Options{Base: cloud}, Pace: pace.Options{Rate: 1000}, Quota: GoogleQuota})
		if err != nil {
			t.Fatal(err)
		}
		const regions, each = 22, 600
		began := time.Now()
		var all sync.WaitGroup
		for region := range regions {
			for range 16 {
				all.Go(func() {
					for range each / 16 {
						if _, err := r.Tags(t.Context(), fmt.Sprintf("region%d-docker.pkg.dev/a/b", region)); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		all.Wait()
		took, floor := time.Since(began), time.Duration(regions*(each/16*16)/GoogleQuota)*time.Second
		if cloud.refused > 0 || took < floor || took > floor+floor/10 {
			t.Errorf("%d of the answers were 429, it took %v, the floor is %v", cloud.refused, took, floor)
		}
		// Without the bound it would have been too much.
		if floor < 2*time.Minute {
			t.Errorf("too little was asked to show anything: %v", floor)
		}
	})
}
