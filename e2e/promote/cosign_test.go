// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote

import (
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/e2e/toolbin"
	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/signing"
)

const password = "a password"

// cosigner runs the real cosign, with keys of its own, on a registry.
type cosigner struct {
	t          *testing.T
	bin, dir   string
	repository string // HOST:PORT/PATH
	reg        *registry.Registry
}

func newCosigner(t *testing.T, opts ...ggcr.Option) *cosigner {
	t.Helper()
	root, err := toolbin.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, _, err := toolbin.Build(t.Context(), root, "cosign")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ggcr.New(append(opts, ggcr.Logger(log.New(io.Discard, "", 0)))...))
	t.Cleanup(server.Close)
	host := strings.Replace(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", "localhost", 1)
	reg, err := registry.New(registry.Options{Endpoints: map[string]string{"*": server.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	c := &cosigner{t: t, bin: filepath.Join(bin, "cosign"), dir: t.TempDir(), repository: host + "/tools/tool", reg: reg}
	for _, key := range []string{"own", "other"} {
		c.must("generate-key-pair", "--output-key-prefix", key)
	}
	c.must("signing-config", "create", "--out", "signing.json")
	return c
}

func (c *cosigner) run(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), c.bin, args...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "COSIGN_PASSWORD="+password, "HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cosigner) must(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatalf("cosign %v: %v\n%s", args, err, out)
	}
	return out
}

// push puts an image for two platforms there.
func (c *cosigner) push(tag string) (digest string) {
	c.t.Helper()
	index := v1.ImageIndex(empty.Index)
	for range 2 {
		img, err := random.Image(100, 1)
		if err != nil {
			c.t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img})
	}
	ref, err := name.NewTag(c.repository+":"+tag, name.Insecure)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		c.t.Fatal(err)
	}
	h, err := index.Digest()
	if err != nil {
		c.t.Fatal(err)
	}
	return h.String()
}

// believes tells which layouts of an image a public key of cosign's proves, by our verifier.
func (c *cosigner) believes(key, digest string) (old, bundle int) {
	c.t.Helper()
	public, err := os.ReadFile(filepath.Join(c.dir, key+".pub"))
	if err != nil {
		c.t.Fatal(err)
	}
	v, err := signing.ByKey(string(public))
	if err != nil {
		c.t.Fatal(err)
	}
	signatures, err := attest.Signatures(c.t.Context(), c.reg, c.repository, digest)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range signatures {
		if _, err := v.Signature(s.Payload, s.Signature); err == nil {
			old++
		}
	}
	bundles, err := attest.Bundles(c.t.Context(), c.reg, c.repository, digest)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, raw := range bundles {
		if said, _, err := v.Bundle(raw, digest); err == nil {
			if kind, err := attest.KindOf(said, digest); err == nil && kind == attest.SignatureType {
				bundle++
			}
		}
	}
	return old, bundle
}

// layouts are how cosign signs and verifies in each.
func layouts() map[string]struct{ sign, verify []string } {
	return map[string]struct{ sign, verify []string }{
		"old": {
			[]string{"--use-signing-config=false", "--new-bundle-format=false", "--tlog-upload=false"},
			[]string{"--new-bundle-format=false", "--insecure-ignore-tlog=true"},
		},
		"bundle": {
			[]string{"--signing-config=signing.json"},
			[]string{"--new-bundle-format=true", "--insecure-ignore-tlog=true"},
		},
	}
}

// TestCosign (SIGN-3, SIGN-5, SIGN-11): what cosign signs we verify, and the other way round, in both layouts, on registries with
// and without lists of referrers; nobody believes another key.
func TestCosign(t *testing.T) {
	for name, opts := range map[string][]ggcr.Option{"referrers": {ggcr.WithReferrersSupport(true)}, "tags": nil} {
		t.Run(name, func(t *testing.T) {
			c := newCosigner(t, opts...)
			for layout, how := range layouts() {
				digest := c.push("theirs-" + layout)
				at := c.repository + "@" + digest
				c.must(append(append([]string{"sign", "--key=own.key", "--yes", "--allow-insecure-registry", "--allow-http-registry"}, how.sign...), at)...)
				old, bundle := c.believes("own", digest)
				if want := map[string]string{"old": "1 0", "bundle": "0 1"}[layout]; fmt.Sprint(old, bundle) != want {
					t.Errorf("%s: of cosign we believe %d %d, want %s", layout, old, bundle, want)
				}
				if old, bundle := c.believes("other", digest); old+bundle != 0 {
					t.Errorf("%s: another key is believed", layout)
				}
			}
			c.ours()
		})
	}
}

// ours signs as a run does, with cosign's own key, and has cosign verify it.
func (c *cosigner) ours() {
	t := c.t
	t.Helper()
	key, err := signing.KeyFile(filepath.Join(c.dir, "own.key"), secret.New(password))
	if err != nil {
		t.Fatal(err)
	}
	top := c.push("ours")
	digests, err := attest.Images(t.Context(), c.reg, c.repository, top)
	if err != nil || len(digests) != 3 {
		t.Fatalf("%v, %v", digests, err)
	}
	for _, digest := range digests {
		p := attest.Payload{Reference: "registry.example.org/tools/tool", Digest: digest}
		payload, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(t.Context(), payload)
		if err != nil {
			t.Fatal(err)
		}
		statement, err := attest.SignatureStatement(p)
		if err != nil {
			t.Fatal(err)
		}
		bundle, err := key.Bundle(t.Context(), statement)
		if err != nil {
			t.Fatal(err)
		}
		if err := attest.PutSignature(t.Context(), c.reg, c.repository, digest, attest.Signed{Payload: payload, Signature: signature}); err != nil {
			t.Fatal(err)
		}
		if err := attest.PutBundle(t.Context(), c.reg, c.repository, digest, attest.SignatureType, bundle); err != nil {
			t.Fatal(err)
		}
		for layout, how := range layouts() {
			verify := append([]string{"verify", "--allow-insecure-registry", "--allow-http-registry"}, how.verify...)
			out := c.must(append(verify, "--key=own.pub", c.repository+"@"+digest)...)
			if !strings.Contains(out, digest) {
				t.Errorf("%s: cosign says %s", layout, out)
			}
			if out, err := c.run(append(verify, "--key=other.pub", c.repository+"@"+digest)...); err == nil {
				t.Errorf("%s: cosign believes another key: %s", layout, out)
			}
		}
	}
}
