// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package staging

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/httpread"
	"sigs.k8s.io/steward/internal/manifest"
)

const repository = "gcr.io/staging/tool"

// world is a registry that wants a token from everybody, as Google's do, and lists when digests came.
type world struct {
	t        *testing.T
	server   *httptest.Server
	mu       sync.Mutex // of asked, while somebody fills the registry
	asked    []string
	uploaded map[string]time.Time
	answer   func(w http.ResponseWriter, r *http.Request) bool // instead of the registry
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, uploaded: map[string]time.Time{}}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Method+" "+r.URL.Path)
		w.mu.Unlock()
		if r.URL.Path == "/v2/" || strings.HasPrefix(r.UserAgent(), "go-containerregistry") { // who fills it
			inner.ServeHTTP(rw, r)
			return
		}
		switch {
		case w.answer != nil && w.answer(rw, r):
		case r.URL.Path == "/token":
			fmt.Fprintf(rw, `{"token":"anybody's %s"}`, r.URL.Query().Get("scope"))
		case r.Header.Get("Authorization") != "Bearer anybody's repository:staging/tool:pull":
			rw.Header().Set("WWW-Authenticate", `Bearer realm="https://gcr.io/token",service="gcr.io"`)
			rw.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/tags/list"):
			w.list(rw)
		default:
			inner.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) list(rw http.ResponseWriter) {
	all := map[string]any{}
	for digest, at := range w.uploaded {
		all[digest] = map[string]string{"timeUploadedMs": fmt.Sprint(at.UnixMilli())}
	}
	_ = json.NewEncoder(rw).Encode(map[string]any{"manifest": all})
}

func (w *world) client() *Client {
	c, err := New(Options{
		Hosts: func() []string { return []string{"gcr.io", "*.pkg.dev"} }, Endpoints: map[string]string{"*": w.server.Listener.Addr().String()},
		HTTP: httpread.Options{Attempts: 1, Backoff: time.Microsecond},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) ref(tag string) name.Tag {
	ref, err := name.NewTag(w.server.Listener.Addr().String()+"/staging/tool:"+tag, name.Insecure)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

// image pushes an image for a platform.
func (w *world) image(tag, os, arch string) v1.Image {
	img, err := random.Image(1000, 2)
	if err != nil {
		w.t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		w.t.Fatal(err)
	}
	config.OS, config.Architecture = os, arch
	if img, err = mutate.ConfigFile(img, config); err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(w.ref(tag), img); err != nil {
		w.t.Fatal(err)
	}
	return img
}

func digestOf(t *testing.T, d interface{ Digest() (v1.Hash, error) }) string {
	h, err := d.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func weight(t *testing.T, images ...v1.Image) (n int64) {
	for _, img := range images {
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			size, err := l.Size()
			if err != nil {
				t.Fatal(err)
			}
			n += size
		}
	}
	return n
}

func TestImage(t *testing.T) {
	w := newWorld(t)
	amd, arm := w.image("amd", "linux", "amd64"), w.image("arm", "linux", "arm64")
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
	)
	if err := remote.WriteIndex(w.ref("v1"), index); err != nil {
		t.Fatal(err)
	}
	digest := digestOf(t, index)
	came := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w.uploaded[digest] = came
	w.sign(digest, "ci@example.org")
	c := w.client()
	facts, err := c.Image(t.Context(), repository, digest)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(facts.Platforms, want) || facts.Size != weight(t, amd, arm) || !facts.Uploaded.Equal(came) {
		t.Errorf("%+v", facts)
	}
	if !slices.Equal(facts.Signers, []string{"a key", "ci@example.org"}) {
		t.Errorf("signers %v", facts.Signers)
	}
	// What a digest stands for is read once. Its signature may come later.
	before := len(w.asked)
	if _, err := c.Image(t.Context(), repository, digest); err != nil || len(w.asked)-before != 1 {
		t.Errorf("%v, asked again: %v", err, w.asked[before:])
	}
	single, err := c.Image(t.Context(), repository, digestOf(t, arm))
	if err != nil || !slices.Equal(single.Platforms, []string{"linux/arm64"}) || single.Size != weight(t, arm) || !single.Uploaded.IsZero() || single.Signers != nil {
		t.Errorf("%+v, %v", single, err)
	}
}

// sign stores two signatures in the old way: one with a certificate for somebody, one of a key.
func (w *world) sign(digest, who string) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), EmailAddresses: []string{who}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := random.Image(10, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		w.t.Fatal(err)
	}
	signed := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	img, err = mutate.Append(img, mutate.Addendum{Layer: layers[0], Annotations: map[string]string{certificate: string(signed)}})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.Write(w.ref(manifest.DigestTag(digest)+".sig"), img); err != nil {
		w.t.Fatal(err)
	}
}

// Only a registry's own word says that something is not there, and only hosts that were allowed are asked.
func TestWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	digest := digestOf(t, w.image("v1", "linux", "amd64"))
	other := "sha256:" + strings.Repeat("0", 64)
	c := w.client()
	if _, err := c.Image(t.Context(), repository, other); !errors.Is(err, manifest.ErrNoManifest) {
		t.Errorf("missing: %v", err)
	}
	asked := len(w.asked)
	for _, where := range []string{"evil.example/staging/tool", "pkg.dev/x/y", "gcr.io.evil.example/x", "127.0.0.1:80/x", "gcr.io/../x"} {
		if _, err := c.Image(t.Context(), where, digest); !errors.Is(err, manifest.ErrNotOffered) {
			t.Errorf("%s: %v", where, err)
		}
	}
	if len(w.asked) != asked {
		t.Errorf("asked %v", w.asked[asked:])
	}
	for what, answer := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"another 404": func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(404); return true },
		"denied":      func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(403); return true },
		"broken":      func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(500); return true },
		"a token from elsewhere": func(rw http.ResponseWriter, _ *http.Request) bool {
			rw.Header().Set("WWW-Authenticate", `Bearer realm="https://evil.example/token",service="gcr.io"`)
			rw.WriteHeader(401)
			return true
		},
		"a redirect": func(rw http.ResponseWriter, r *http.Request) bool {
			http.Redirect(rw, r, "http://169.254.169.254/", http.StatusFound)
			return true
		},
		"other bytes": func(rw http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(rw, `{"schemaVersion":2}`); return true },
		"no JSON":     func(rw http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(rw, `<html>`); return true },
	} {
		w.answer = answer
		_, err := w.client().Image(t.Context(), repository, digest)
		var unread *audit.Unread
		if !errors.As(err, &unread) || strings.Contains(err.Error(), "evil") || strings.Contains(err.Error(), "169.254") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What a server writes of platforms and sizes is bounded and plain.
func TestHostileIndex(t *testing.T) {
	child := `{"schemaVersion":2,"layers":[{"digest":"x","size":9223372036854775807},{"digest":"y","size":9223372036854775807},{"digest":"z","size":-5}]}`
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"digest":%q,"platform":{"os":"<b>","architecture":"x"}}]}`, manifest.DigestOf([]byte(child)))
	many := `{"schemaVersion":2,"manifests":[` + strings.Repeat(`{"digest":"x"},`, 50) + `{}]}`
	none := `{"schemaVersion":2,"manifests":[{"digest":"../../x"}]}`
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, r *http.Request) bool {
		for _, body := range []string{child, index, many, none} {
			if strings.HasSuffix(r.URL.Path, manifest.DigestOf([]byte(body))) {
				fmt.Fprint(rw, body)
				return true
			}
		}
		rw.WriteHeader(404)
		return true
	}
	c := w.client()
	facts, err := c.Image(t.Context(), repository, manifest.DigestOf([]byte(index)))
	if err != nil || len(facts.Platforms) != 0 || facts.Size != 0 {
		t.Errorf("%+v, %v", facts, err)
	}
	for _, body := range []string{many, none} {
		if _, err := c.Image(t.Context(), repository, manifest.DigestOf([]byte(body))); err == nil {
			t.Errorf("%.60s: no error", body)
		}
	}
}
