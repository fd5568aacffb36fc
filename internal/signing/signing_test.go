// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/api/option"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/secret"
)

const digest = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"

func documents(t *testing.T) (payload, statement []byte) {
	t.Helper()
	p := attest.Payload{Reference: "registry.example.org/tools/tool", Digest: digest}
	payload, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if statement, err = attest.SignatureStatement(p); err != nil {
		t.Fatal(err)
	}
	return payload, statement
}

// check signs both layouts and verifies them with some, and not with others or for anything else.
func check(t *testing.T, s attest.Signer, by string, others ...attest.Verifier) {
	t.Helper()
	payload, statement := documents(t)
	signature, err := s.Sign(t.Context(), payload)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := s.Bundle(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	v := s.Verifier()
	if who, err := v.Signature(payload, signature); err != nil || who != by {
		t.Errorf("old layout: %q, %v", who, err)
	}
	got, who, err := v.Bundle(bundle, digest)
	if err != nil || who != by || string(got) != string(statement) {
		t.Errorf("bundle: %q %s, %v", who, got, err)
	}
	if _, err := v.Signature(append([]byte(" "), payload...), signature); !errors.Is(err, attest.ErrSigner) {
		t.Errorf("another payload: %v", err)
	}
	other := strings.Replace(digest, "2c26", "2c27", 1)
	if _, _, err := v.Bundle(bundle, other); !errors.Is(err, attest.ErrSigner) {
		t.Errorf("another digest: %v", err)
	}
	signature.Raw[8] ^= 1
	if _, err := v.Signature(payload, signature); !errors.Is(err, attest.ErrSigner) {
		t.Errorf("another signature: %v", err)
	}
	signature.Raw[8] ^= 1
	for i, o := range others {
		if _, err := o.Signature(payload, signature); !errors.Is(err, attest.ErrSigner) {
			t.Errorf("other %d believes the old layout: %v", i, err)
		}
		if _, _, err := o.Bundle(bundle, digest); !errors.Is(err, attest.ErrSigner) {
			t.Errorf("other %d believes the bundle: %v", i, err)
		}
	}
	for _, broken := range []string{"", "{", "null", "[]", `{"mediaType":"x"}`, strings.Replace(string(bundle), "v0.3", "v9.9", 1)} {
		if _, _, err := v.Bundle([]byte(broken), digest); !errors.Is(err, attest.ErrSigner) {
			t.Errorf("%.40q: %v", broken, err)
		}
	}
}

// keyIn writes a key to a file, in one of three forms.
func keyIn(t *testing.T, form, password string) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if form == "EC PRIVATE KEY" {
		der, err = x509.MarshalECPrivateKey(private)
	}
	if err == nil && strings.HasPrefix(form, "ENCRYPTED") {
		der, err = encrypted.Encrypt(der, []byte(password))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: form, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestKeys (SIGN-3).
func TestKeys(t *testing.T) {
	stranger, err := KeyFile(keyIn(t, "PRIVATE KEY", ""), secret.String{})
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"PRIVATE KEY", "EC PRIVATE KEY", cosignKey, sigstoreKey} {
		path := keyIn(t, form, "pass")
		k, err := KeyFile(path, secret.New("pass"))
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		check(t, k, "the key", stranger.Verifier())
		v, err := ByKey(k.Public())
		payload, _ := documents(t)
		signature, signErr := k.Sign(t.Context(), payload)
		if err != nil || signErr != nil {
			t.Fatal(err, signErr)
		}
		if _, err := v.Signature(payload, signature); err != nil {
			t.Errorf("%s, by its public half: %v", form, err)
		}
		if strings.HasPrefix(form, "ENCRYPTED") {
			if _, err := KeyFile(path, secret.New("wrong")); err == nil || !strings.Contains(err.Error(), "password") || strings.Contains(err.Error(), "wrong") {
				t.Errorf("%s with another password: %v", form, err)
			}
		}
	}
	for name, content := range map[string]string{"no PEM": "x", "a public key": stranger.Public(), "garbage": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		path := filepath.Join(t.TempDir(), "k")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := KeyFile(path, secret.String{}); err == nil {
			t.Errorf("%s was taken for a key", name)
		}
	}
}

// TestKMS (SIGN-3) has the two requests of Google's key management.
func TestKMS(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := newKey(private.Public(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const name = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/3"
	down := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Digest struct{ Sha256 string } }
		switch {
		case down:
			http.Error(w, "the secret reason", http.StatusForbidden)
		case r.Method == http.MethodGet && r.URL.Path == "/v1/"+name+"/publicKey":
			_ = json.NewEncoder(w).Encode(map[string]string{"pem": string(own.pem)})
		case r.Method == http.MethodPost && r.URL.Path == "/v1/"+name+":asymmetricSign":
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			sum, _ := base64.StdEncoding.DecodeString(asked.Digest.Sha256)
			signed, err := ecdsa.SignASN1(rand.Reader, private, sum)
			if err != nil {
				t.Error(err)
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"signature": base64.StdEncoding.EncodeToString(signed)})
		default:
			t.Errorf("%s %s", r.Method, r.URL)
		}
	}))
	defer server.Close()
	opts := []option.ClientOption{option.WithEndpoint(server.URL), option.WithoutAuthentication()}
	k, err := KMS(t.Context(), "gcpkms://"+name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	check(t, k, "the key")
	down = true
	payload, _ := documents(t)
	if _, err := k.Sign(t.Context(), payload); err == nil || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"gcpkms://x", "awskms://y", "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"} {
		if _, err := KMS(t.Context(), bad, opts...); err == nil || !strings.Contains(err.Error(), "want gcpkms://") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// authority is a certificate authority and a log of our own, in Sigstore's forms.
type authority struct {
	*ca.VirtualSigstore
	root, middle *x509.Certificate
	key          crypto.Signer
	subject      string
	asked        int
}

const issuer = "https://accounts.example.org"

func newAuthority(t *testing.T, subject string) *authority {
	t.Helper()
	virtual, err := ca.NewVirtualSigstore()
	if err != nil {
		t.Fatal(err)
	}
	top, topKey, err := ca.GenerateRootCa()
	if err != nil {
		t.Fatal(err)
	}
	middle, key, err := ca.GenerateFulcioIntermediate(top, topKey)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{VirtualSigstore: virtual, root: top, middle: middle, key: key, subject: subject}
}

func (a *authority) FulcioCertificateAuthorities() []root.CertificateAuthority {
	return []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: a.root, Intermediates: []*x509.Certificate{a.middle}, ValidityPeriodStart: time.Now().Add(-time.Hour), ValidityPeriodEnd: time.Now().Add(time.Hour),
	}}
}

// CTLogs: there is no log of certificates here.
func (a *authority) CTLogs() map[string]*root.TransparencyLog { return nil }

type half struct{ crypto.PublicKey }

func (h half) Public() crypto.PublicKey { return h.PublicKey }

func (half) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("only the public half is here")
}

// GetCertificate implements sign.CertificateProvider.
func (a *authority) GetCertificate(_ context.Context, pair sign.Keypair, o *sign.CertificateProviderOptions) ([]byte, error) {
	if a.asked++; o.IDToken != "token" {
		return nil, errors.New("who are you?")
	}
	cert, err := ca.GenerateLeafCert(a.subject, issuer, time.Now().Add(-time.Minute), half{pair.GetPublicKey()}, a.middle, a.key)
	if err != nil {
		return nil, err
	}
	return cert.Raw, nil
}

// GetTransparencyLogEntry implements sign.Transparency.
func (a *authority) GetTransparencyLogEntry(_ context.Context, certificate []byte, b *protobundle.Bundle) error {
	block, _ := pem.Decode(certificate)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	body, kind := a.hashed(certificate, b), &rekor.KindVersion{Kind: "hashedrekord", Version: "0.0.1"}
	if e := b.GetDsseEnvelope(); e != nil {
		entry, err := a.GenerateTlogEntry(cert, &dsse.Envelope{
			PayloadType: e.PayloadType, Payload: base64.StdEncoding.EncodeToString(e.Payload),
			Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(e.Signatures[0].Sig)}},
		}, e.Signatures[0].Sig, time.Now().Unix(), false)
		if err != nil {
			return err
		}
		body, kind.Kind = entry.TransparencyLogEntry().CanonicalizedBody, "dsse"
	}
	entry, err := a.enter(body)
	if err == nil {
		entry.KindVersion = kind
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, entry)
	}
	return err
}

// hashed is the body of an entry for the signature of a content that the log does not see.
func (a *authority) hashed(certificate []byte, b *protobundle.Bundle) []byte {
	m := b.GetMessageSignature()
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":%q}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		hex.EncodeToString(m.GetMessageDigest().GetDigest()), base64.StdEncoding.EncodeToString(m.GetSignature()), base64.StdEncoding.EncodeToString(certificate))
}

// enter makes an entry with the log's promise and its proof.
func (a *authority) enter(body []byte) (*rekor.TransparencyLogEntry, error) {
	id, err := a.RekorLogID()
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(id)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	promise, err := a.RekorSignPayload(tlog.RekorPayload{Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: now, LogID: id})
	if err != nil {
		return nil, err
	}
	proof, err := a.GetInclusionProof(body)
	if err != nil {
		return nil, err
	}
	top, err := hex.DecodeString(*proof.RootHash)
	if err != nil {
		return nil, err
	}
	return &rekor.TransparencyLogEntry{
		LogId: &common.LogId{KeyId: key}, IntegratedTime: now, CanonicalizedBody: body, InclusionPromise: &rekor.InclusionPromise{SignedEntryTimestamp: promise},
		InclusionProof: &rekor.InclusionProof{RootHash: top, TreeSize: *proof.TreeSize, Checkpoint: &rekor.Checkpoint{Envelope: *proof.Checkpoint}},
	}, nil
}

// TestKeyless (SIGN-4, SIGN-6): whom the certificate names is believed, where the root vouches for it, and nobody else.
func TestKeyless(t *testing.T) {
	a, stranger := newAuthority(t, "ci@example.org"), newAuthority(t, "ci@example.org")
	by := func(from *authority, i Identity) attest.Verifier {
		v, err := ByIdentity(from, []Identity{{Subject: "nobody", Issuer: issuer}, i})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	k := &Keyless{
		token: func(context.Context) (secret.String, error) { return secret.New("token"), nil }, now: time.Now,
		fulcio: a, logs: []sign.Transparency{a}, verifier: by(a, Identity{Subject: "ci@example.org", Issuer: issuer}),
	}
	check(t, k, "ci@example.org",
		by(a, Identity{Subject: "ci@example.org.evil", Issuer: issuer}), by(a, Identity{Subject: "ci@example.org", Issuer: "https://evil.example"}),
		by(a, Identity{SubjectRegexp: `ci@example`, Issuer: issuer}), by(stranger, Identity{Subject: "ci@example.org", Issuer: issuer}),
	)
	k.verifier = by(a, Identity{SubjectRegexp: `.*@example\.org`, IssuerRegexp: `https://accounts\..*`})
	check(t, k, "ci@example.org")
	if a.asked != 1 {
		t.Errorf("%d certificates were asked for", a.asked)
	}
	k.now = func() time.Time { return time.Now().Add(time.Hour) }
	k.token = func(context.Context) (secret.String, error) { return secret.New("another"), nil }
	payload, _ := documents(t)
	if _, err := k.Sign(t.Context(), payload); err == nil || !strings.Contains(err.Error(), "certificate authority: who are you?") {
		t.Errorf("%v", err)
	}
	if _, err := ByIdentity(a, nil); err == nil {
		t.Error("nobody is somebody")
	}
	sum := sha256.Sum256(payload)
	if _, err := k.verifier.Signature(payload, attest.Signature{Raw: sum[:]}); !errors.Is(err, attest.ErrSigner) {
		t.Errorf("without a certificate: %v", err)
	}
}

func FuzzBundle(f *testing.F) {
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`), "payload", `{"SignedEntryTimestamp":"","Payload":{"body":"e30="}}`)
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	v := keyVerifier{&private.PublicKey}
	f.Fuzz(func(t *testing.T, raw []byte, payload, log string) {
		if _, _, err := v.Bundle(raw, digest); err == nil {
			t.Error("a bundle of nobody was believed")
		}
		if _, err := fromOld([]byte(payload), attest.Signature{Raw: raw, Certificate: payload, Log: log}); err == nil && log == "" {
			t.Error("without a log")
		}
	})
}
