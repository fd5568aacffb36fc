// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/secret"
)

// freshFor is how long one certificate is used. They live ten minutes, and every one of them is a
// request to an authority that counts them.
const freshFor = 5 * time.Minute

// Keyless signs with keys that live for minutes: an authority certifies whose they are, by an
// identity token, and a log tells when they were used.
type Keyless struct {
	token    func(context.Context) (secret.String, error)
	fulcio   sign.CertificateProvider
	logs     []sign.Transparency
	stamps   []*sign.TimestampAuthority
	verifier attest.Verifier
	now      func() time.Time

	mu    sync.Mutex
	pair  *keypair
	cert  []byte
	since time.Time
}

// KeylessOptions say whom to ask, and whom to believe.
type KeylessOptions struct {
	Config string // path of a signing_config.json: where authority and log are
	Root   string // path of a trusted_root.json
	Self   Identity
	// Token returns an identity token for the audience sigstore.
	Token func(context.Context) (secret.String, error)
}

// NewKeyless reads both files. It asks nobody.
func NewKeyless(o KeylessOptions) (*Keyless, error) {
	config, err := root.NewSigningConfigFromPath(o.Config)
	if err != nil {
		return nil, fmt.Errorf("signing config %s: %w", o.Config, plain(err))
	}
	material, err := TrustedRoot(o.Root)
	if err != nil {
		return nil, err
	}
	k := &Keyless{token: o.Token, now: time.Now}
	if k.verifier, err = ByIdentity(material, []Identity{o.Self}); err != nil {
		return nil, err
	}
	fulcio, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, k.now())
	if err != nil {
		return nil, fmt.Errorf("signing config %s: no certificate authority: %w", o.Config, plain(err))
	}
	k.fulcio = sign.NewFulcio(&sign.FulcioOptions{BaseURL: fulcio.URL, Timeout: time.Minute, Retries: 2})
	rekors, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, k.now())
	if err != nil {
		return nil, fmt.Errorf("signing config %s: no transparency log: %w", o.Config, plain(err))
	}
	for _, r := range rekors {
		k.logs = append(k.logs, sign.NewRekor(&sign.RekorOptions{BaseURL: r.URL, Timeout: time.Minute, Retries: 2, Version: r.MajorAPIVersion}))
	}
	if len(config.TimestampAuthorityURLs()) > 0 {
		stamps, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(), []uint32{1}, k.now())
		if err != nil {
			return nil, fmt.Errorf("signing config %s: no timestamp authority: %w", o.Config, plain(err))
		}
		for _, s := range stamps {
			k.stamps = append(k.stamps, sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: s.URL, Timeout: time.Minute, Retries: 2}))
		}
	}
	return k, nil
}

// Verifier implements attest.Signer.
func (k *Keyless) Verifier() attest.Verifier { return k.verifier }

// GetCertificate implements Sigstore's interface with the certificate that fresh has.
func (k *Keyless) certificate(ctx context.Context) (*keypair, []byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pair != nil && k.now().Sub(k.since) < freshFor {
		return k.pair, k.cert, nil
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	made, err := newKey(private.Public(), func(_ context.Context, digest []byte) ([]byte, error) {
		return private.Sign(rand.Reader, digest, crypto.SHA256)
	})
	if err != nil {
		return nil, nil, err
	}
	token, err := k.token(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("identity token: %w", err)
	}
	pair := &keypair{made}
	cert, err := k.fulcio.GetCertificate(ctx, pair, &sign.CertificateProviderOptions{IDToken: token.Reveal()})
	if err != nil {
		return nil, nil, fmt.Errorf("certificate authority: %w", plain(err))
	}
	k.pair, k.cert, k.since = pair, cert, k.now()
	return pair, cert, nil
}

// known hands out a certificate that is there.
type known []byte

func (c known) GetCertificate(context.Context, sign.Keypair, *sign.CertificateProviderOptions) ([]byte, error) {
	return c, nil
}

func (k *Keyless) bundle(ctx context.Context, content sign.Content) (*protobundle.Bundle, []byte, error) {
	pair, cert, err := k.certificate(ctx)
	if err != nil {
		return nil, nil, err
	}
	b, err := sign.Bundle(content, pair, sign.BundleOptions{
		Context: ctx, CertificateProvider: known(cert), TransparencyLogs: k.logs, TimestampAuthorities: k.stamps,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("sign: %w", plain(err))
	}
	return b, cert, nil
}

// Bundle implements attest.Signer.
func (k *Keyless) Bundle(ctx context.Context, statement []byte) ([]byte, error) {
	b, _, err := k.bundle(ctx, &sign.DSSEData{Data: statement, PayloadType: inToto})
	if err != nil {
		return nil, err
	}
	return protojson.Marshal(b)
}

// Sign implements attest.Signer. The old layout has room for an entry of a log of version 1 only.
func (k *Keyless) Sign(ctx context.Context, payload []byte) (attest.Signature, error) {
	b, cert, err := k.bundle(ctx, &sign.PlainData{Data: payload})
	if err != nil {
		return attest.Signature{}, err
	}
	s := attest.Signature{
		Raw:         b.GetMessageSignature().GetSignature(),
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
	}
	for _, entry := range b.GetVerificationMaterial().GetTlogEntries() {
		if entry.GetInclusionPromise() == nil {
			continue
		}
		var log logEntry
		log.SignedEntryTimestamp = entry.GetInclusionPromise().GetSignedEntryTimestamp()
		log.Payload.Body = base64.StdEncoding.EncodeToString(entry.GetCanonicalizedBody())
		log.Payload.IntegratedTime, log.Payload.LogIndex = entry.GetIntegratedTime(), entry.GetLogIndex()
		log.Payload.LogID = hex.EncodeToString(entry.GetLogId().GetKeyId())
		raw, err := json.Marshal(log)
		if err != nil {
			return s, fmt.Errorf("sign: %w", err)
		}
		s.Log = string(raw)
		return s, nil
	}
	return s, errors.New("sign: the log gives no promise that the old layout could keep: sign without it (promotion.signing.legacy: false)")
}
