// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/steward/internal/attest"
)

// inToto is the type of the envelopes of statements.
const inToto = "application/vnd.in-toto+json"

// Keyed signs with a key. Its signatures are entered into no log: whoever has the public half
// believes them.
type Keyed struct{ key *key }

// Sign implements attest.Signer.
func (k *Keyed) Sign(ctx context.Context, payload []byte) (attest.Signature, error) {
	sum := sha256.Sum256(payload)
	raw, err := k.key.sign(ctx, sum[:])
	if err != nil {
		return attest.Signature{}, fmt.Errorf("sign: %w", err)
	}
	return attest.Signature{Raw: raw}, nil
}

// Bundle implements attest.Signer.
func (k *Keyed) Bundle(ctx context.Context, statement []byte) ([]byte, error) {
	b, err := sign.Bundle(&sign.DSSEData{Data: statement, PayloadType: inToto}, keypair{k.key}, sign.BundleOptions{Context: ctx})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return protojson.Marshal(b)
}

// Verifier implements attest.Signer.
func (k *Keyed) Verifier() attest.Verifier { return keyVerifier{k.key.public} }

// Public is the public half, in PEM.
func (k *Keyed) Public() string { return string(k.key.pem) }

// keyVerifier believes one key.
type keyVerifier struct{ public *ecdsa.PublicKey }

// ByKey believes signatures of a public key, in PEM.
func ByKey(text string) (attest.Verifier, error) {
	p, err := publicKey(text)
	if err != nil {
		return nil, err
	}
	return keyVerifier{p}, nil
}

// Whom implements attest.Verifier.
func (v keyVerifier) Whom() string {
	raw, err := v.public.Bytes()
	if err != nil { // of a point that is none, which no parser lets through
		return "nobody"
	}
	return fmt.Sprintf("key %x", sha256.Sum256(raw))
}

// Signature implements attest.Verifier.
func (v keyVerifier) Signature(payload []byte, s attest.Signature) (string, error) {
	sum := sha256.Sum256(payload)
	if !ecdsa.VerifyASN1(v.public, sum[:], s.Raw) {
		return "", attest.ErrSigner
	}
	return "the key", nil
}

// Bundle implements attest.Verifier.
func (v keyVerifier) Bundle(raw []byte, digest string) ([]byte, string, error) {
	verifier, err := signature.LoadVerifier(v.public, sha256Hash)
	if err != nil {
		return nil, "", fmt.Errorf("verify: %w", err)
	}
	expiring := root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	material := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return expiring, nil })
	engine, err := verify.NewVerifier(material, verify.WithNoObserverTimestamps())
	if err != nil {
		return nil, "", fmt.Errorf("verify: %w", err)
	}
	statement, err := verified(engine, raw, digest, verify.WithKey())
	return statement, "the key", err
}

// verified returns the statement of a bundle that is about a digest.
func verified(engine *verify.Verifier, raw []byte, digest string, who verify.PolicyOption) ([]byte, error) {
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(raw); err != nil {
		return nil, fmt.Errorf("bundle is not understood: %w", attest.ErrSigner)
	}
	about, err := hexDigest(digest)
	if err != nil {
		return nil, err
	}
	if _, err := engine.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", about), who)); err != nil {
		return nil, errors.Join(attest.ErrSigner, plain(err))
	}
	envelope, err := b.Envelope()
	if err != nil {
		return nil, fmt.Errorf("bundle of something else than a statement: %w", attest.ErrSigner)
	}
	statement, err := envelope.RawEnvelope().DecodeB64Payload()
	if err != nil {
		return nil, fmt.Errorf("bundle is not understood: %w", attest.ErrSigner)
	}
	return statement, nil
}
