// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"sigs.k8s.io/steward/internal/attest"
)

const sha256Hash = crypto.SHA256

// Identity is whom a certificate has to name, and who has vouched for that. A value is compared
// as it is, an expression matches the whole.
type Identity struct {
	Subject, SubjectRegexp string
	Issuer, IssuerRegexp   string
}

// ByIdentity believes certificates of a trusted root that name one of some identities, and are in
// a transparency log of it.
func ByIdentity(material root.TrustedMaterial, all []Identity) (attest.Verifier, error) {
	opts := []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1)}
	if len(material.CTLogs()) > 0 {
		opts = append(opts, verify.WithSignedCertificateTimestamps(1))
	}
	engine, err := verify.NewVerifier(material, opts...)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	v := identityVerifier{engine: engine, all: all}
	for _, i := range all {
		id, err := verify.NewShortCertificateIdentity(i.Issuer, whole(i.IssuerRegexp), i.Subject, whole(i.SubjectRegexp))
		if err != nil {
			return nil, fmt.Errorf("identity: %w", plain(err))
		}
		v.who = append(v.who, verify.WithCertificateIdentity(id))
	}
	if len(v.who) == 0 {
		return nil, errors.New("identity: name one")
	}
	return v, nil
}

// whole makes an expression match all or nothing.
func whole(expression string) string {
	if expression == "" {
		return ""
	}
	return "^(?:" + expression + ")$"
}

// TrustedRoot reads a trusted_root.json.
func TrustedRoot(path string) (root.TrustedMaterial, error) {
	material, err := root.NewTrustedRootFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("trusted root %s: %w", path, plain(err))
	}
	return material, nil
}

// plain is an error of the library on one bounded line.
func plain(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return errors.New(text[:min(len(text), 300)])
}

type identityVerifier struct {
	engine *verify.Verifier
	who    []verify.PolicyOption
	all    []Identity
}

// Whom implements attest.Verifier.
func (v identityVerifier) Whom() string { return fmt.Sprintf("identities %q", v.all) }

// Bundle implements attest.Verifier.
func (v identityVerifier) Bundle(raw []byte, digest string) (statement []byte, by string, err error) {
	for _, who := range v.who {
		if statement, err = verified(v.engine, raw, digest, who); err == nil {
			return statement, signerIn(raw), nil
		}
	}
	return nil, "", err
}

// Signature implements attest.Verifier.
func (v identityVerifier) Signature(payload []byte, s attest.Signature) (by string, err error) {
	b, err := fromOld(payload, s)
	if err != nil {
		return "", errors.Join(attest.ErrSigner, err)
	}
	for _, who := range v.who {
		var result *verify.VerificationResult
		result, err = v.engine.Verify(b, verify.NewPolicy(verify.WithArtifact(bytes.NewReader(payload)), who))
		if err == nil {
			return result.Signature.Certificate.SubjectAlternativeName, nil
		}
	}
	return "", errors.Join(attest.ErrSigner, plain(err))
}

// signerIn is whom the certificate of a verified bundle names.
func signerIn(raw []byte) string {
	b := new(bundle.Bundle)
	if b.UnmarshalJSON(raw) != nil {
		return ""
	}
	content, err := b.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return ""
	}
	cert := content.Certificate()
	switch {
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	}
	return ""
}

// logEntry is what the old layout keeps of the transparency log.
type logEntry struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           string `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

// fromOld makes a bundle of a signature of the old layout, so that there is one verifier.
func fromOld(payload []byte, s attest.Signature) (*bundle.Bundle, error) {
	cert, _ := pem.Decode([]byte(s.Certificate))
	var log logEntry
	if cert == nil || json.Unmarshal([]byte(s.Log), &log) != nil {
		return nil, errors.New("without a certificate, or without an entry in a log")
	}
	body, err := base64.StdEncoding.DecodeString(log.Payload.Body)
	if err != nil {
		return nil, errors.New("the entry of the log is not understood")
	}
	id, err := hex.DecodeString(log.Payload.LogID)
	if err != nil {
		return nil, errors.New("the entry of the log is not understood")
	}
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return nil, errors.New("the entry of the log is not understood")
	}
	sum := sha256.Sum256(payload)
	b, err := bundle.NewBundle(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &common.X509CertificateChain{
				Certificates: []*common.X509Certificate{{RawBytes: cert.Bytes}},
			}},
			TlogEntries: []*rekor.TransparencyLogEntry{{
				LogIndex: log.Payload.LogIndex, LogId: &common.LogId{KeyId: id}, IntegratedTime: log.Payload.IntegratedTime,
				KindVersion:      &rekor.KindVersion{Kind: kind.Kind, Version: kind.APIVersion},
				InclusionPromise: &rekor.InclusionPromise{SignedEntryTimestamp: log.SignedEntryTimestamp}, CanonicalizedBody: body,
			}},
		},
		Content: &protobundle.Bundle_MessageSignature{MessageSignature: &common.MessageSignature{
			MessageDigest: &common.HashOutput{Algorithm: common.HashAlgorithm_SHA2_256, Digest: sum[:]}, Signature: s.Raw,
		}},
	})
	if err != nil {
		return nil, plain(err)
	}
	return b, nil
}

func hexDigest(digest string) ([]byte, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return nil, fmt.Errorf("%q is not a digest", digest)
	}
	return raw, nil
}
