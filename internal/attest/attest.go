// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package attest says what is signed of a promoted image, and where signatures are kept.
//
// It knows two layouts and no cryptography: the tag sha256-HEX.sig of an image manifest whose
// layers are payloads with their signatures in annotations, which every client of today reads,
// and bundles of Sigstore as referrers. Whoever signs and verifies is a Signer or Verifier.
// Documents of other people are bounded. docs/signing.md numbers the rules.
package attest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sigs.k8s.io/steward/internal/manifest"
)

// Signature is one of the old layout: of a payload, with what a verifier needs beside it.
type Signature struct {
	Raw         []byte
	Certificate string // PEM; "" for a key
	Chain       string // PEM of what stands above the certificate; may be ""
	Log         string // JSON of the entry in the transparency log; "" where there is none
}

// Signer signs with one key or one identity. It is safe for concurrent use.
type Signer interface {
	// Sign signs a payload of the old layout.
	Sign(ctx context.Context, payload []byte) (Signature, error)
	// Bundle makes a Sigstore bundle of an in-toto statement, in JSON.
	Bundle(ctx context.Context, statement []byte) ([]byte, error)
	// Verifier verifies what this signer makes, and nothing of others.
	Verifier() Verifier
}

// Verifier knows whom to believe. It needs no network.
type Verifier interface {
	// Signature returns who signed a payload; ErrSigner says that it was somebody else.
	Signature(payload []byte, s Signature) (by string, err error)
	// Bundle returns the statement in a bundle that is about a digest (sha256:…).
	Bundle(raw []byte, digest string) (statement []byte, by string, err error)
	// Whom names whom it believes, the same for the same key or the same identities, and another for others.
	Whom() string
}

// ErrSigner says that a signature is not one of those who are believed, or proves nothing.
var ErrSigner = errors.New("not a signature of whom the policy names")

// payloadType is the type that a payload says it has.
const payloadType = "cosign container image signature"

// The bounds of what is read of signatures.
const (
	maxPayload    = 64 << 10
	maxBundle     = 1 << 20
	maxSignatures = 50  // of one image, in one layout, that are looked at
	maxListed     = 900 // of one image in the old layout: a manifest that is copied has no more parts
)

// Payload is what is signed in the old layout: that a digest is what a reference means.
type Payload struct {
	Reference string // registry.k8s.io/kubernetes/pause
	Digest    string
}

// payloadForm is its JSON, as the specification of containers/image has it.
type payloadForm struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional map[string]any `json:"optional"`
}

// Encode writes a payload, the same bytes each time.
func (p Payload) Encode() ([]byte, error) {
	var f payloadForm
	f.Critical.Identity.Reference, f.Critical.Image.Digest, f.Critical.Type = p.Reference, p.Digest, payloadType
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return raw, nil
}

// ParsePayload reads a payload of anybody.
func ParsePayload(raw []byte) (Payload, error) {
	var f payloadForm
	dec := json.NewDecoder(bytes.NewReader(raw))
	switch {
	case len(raw) > maxPayload:
		return Payload{}, fmt.Errorf("payload: more than %d bytes", maxPayload)
	case dec.Decode(&f) != nil || dec.More():
		return Payload{}, errors.New("payload: not understood")
	case f.Critical.Type != payloadType:
		return Payload{}, errors.New("payload: of another kind")
	case !manifest.IsDigest(f.Critical.Image.Digest):
		return Payload{}, errors.New("payload: it names no digest")
	}
	return Payload{f.Critical.Identity.Reference, f.Critical.Image.Digest}, nil
}

// The kinds of statements.
const (
	statementType = "https://in-toto.io/Statement/v1"
	// SignatureType is what a signature of an image is among statements, as cosign has it.
	SignatureType = "https://sigstore.dev/cosign/sign/v1"
	// PromotionType is the record of a promotion, as Kubernetes' promoter has it.
	PromotionType = "https://k8s.io/promo-tools/promotion/v1"
)

// Record says how an image came into production.
type Record struct {
	Source      string    `json:"srcRef"` // HOST/PATH@DIGEST that it was copied from
	Destination string    `json:"dstRef"` // the reference that production serves, with the digest
	Digest      string    `json:"digest"`
	Time        time.Time `json:"timestamp"`
	Builder     string    `json:"builderId"`
	Commit      string    `json:"manifestCommit"` // that declares it
	File        string    `json:"manifestFile"`
	Line        int       `json:"manifestLine,omitempty"`
	// Approvers are who may approve the file by OWNERS at that commit.
	Approvers []string `json:"approvers,omitempty"`
}

// statement is an in-toto statement, version 1.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []subject       `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

type subject struct {
	Name   string            `json:"name,omitempty"`
	Digest map[string]string `json:"digest"`
}

// SignatureStatement says that a digest is what a reference means.
func SignatureStatement(p Payload) ([]byte, error) {
	return encode(p.Reference, p.Digest, SignatureType, json.RawMessage("{}"))
}

// PromotionStatement is the record of a promotion.
func PromotionStatement(r Record, reference string) ([]byte, error) {
	predicate, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return encode(reference, r.Digest, PromotionType, predicate)
}

func encode(name, digest, kind string, predicate json.RawMessage) ([]byte, error) {
	raw, err := json.Marshal(statement{
		Type: statementType, PredicateType: kind, Predicate: predicate,
		Subject: []subject{{Name: name, Digest: map[string]string{"sha256": digest[len("sha256:"):]}}},
	})
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return raw, nil
}

// KindOf returns the predicate type of a statement that is about a digest.
func KindOf(raw []byte, digest string) (string, error) {
	var s statement
	if len(raw) > maxBundle || json.Unmarshal(raw, &s) != nil || s.Type != statementType {
		return "", errors.New("statement: not understood")
	}
	for _, about := range s.Subject {
		if "sha256:"+about.Digest["sha256"] == digest {
			return s.PredicateType, nil
		}
	}
	return "", errors.New("statement: about something else")
}
