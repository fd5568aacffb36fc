// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package signing makes and verifies signatures of images, with Sigstore's own library.
//
// A Signer has a key, in a file or in Google's key management, or no key at all: then an
// identity token is shown to a certificate authority for each signature, which is entered into
// a transparency log. A Verifier has a public key, or identities and a trusted root, and asks
// nobody. What is signed, and where it is kept, is package attest's.
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
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"sigs.k8s.io/steward/internal/secret"
)

// key signs sha256 digests with ECDSA on P-256: what every verifier of images can do.
type key struct {
	public *ecdsa.PublicKey
	pem    []byte
	// sign returns the signature of a digest, in ASN.1.
	sign func(ctx context.Context, digest []byte) ([]byte, error)
}

func newKey(public crypto.PublicKey, sign func(context.Context, []byte) ([]byte, error)) (*key, error) {
	p, ok := public.(*ecdsa.PublicKey)
	if !ok || p.Curve != elliptic.P256() {
		return nil, errors.New("the key is not one of ECDSA on P-256")
	}
	text, err := cryptoutils.MarshalPublicKeyToPEM(p)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return &key{p, text, sign}, nil
}

// The names that cosign has given to the form of its keys.
const (
	cosignKey   = "ENCRYPTED COSIGN PRIVATE KEY"
	sigstoreKey = "ENCRYPTED SIGSTORE PRIVATE KEY"
)

// maxKey bounds a file that is a key.
const maxKey = 64 << 10

// KeyFile reads a private key in PEM: as cosign writes it, with its password, or plain (EC
// PRIVATE KEY, PRIVATE KEY).
func KeyFile(path string, password secret.String) (*Keyed, error) {
	raw, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, fmt.Errorf("key %s: it is not in PEM", path)
	}
	private, err := privateKey(block, raw, password)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	k, err := newKey(private.Public(), func(_ context.Context, digest []byte) ([]byte, error) {
		return private.Sign(rand.Reader, digest, crypto.SHA256)
	})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", path, err)
	}
	return &Keyed{k}, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKey {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxKey)
	}
	return os.ReadFile(path)
}

// privateKey decrypts what is encrypted. Errors say nothing of what is in the key.
func privateKey(block *pem.Block, raw []byte, password secret.String) (crypto.Signer, error) {
	if block.Type == cosignKey || block.Type == sigstoreKey {
		der, err := encrypted.Decrypt(block.Bytes, []byte(password.Reveal()))
		if err != nil {
			return nil, errors.New("it cannot be decrypted: is the password right?")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		return signerOf(parsed, err)
	}
	parsed, err := cryptoutils.UnmarshalPEMToPrivateKey(raw, cryptoutils.SkipPassword)
	return signerOf(parsed, err)
}

func signerOf(parsed any, err error) (crypto.Signer, error) {
	signer, ok := parsed.(crypto.Signer)
	if err != nil || !ok {
		return nil, errors.New("it is no private key that is understood")
	}
	return signer, nil
}

// keypair is a key as Sigstore's library wants it.
type keypair struct{ *key }

func (k keypair) GetHashAlgorithm() common.HashAlgorithm { return common.HashAlgorithm_SHA2_256 }

func (k keypair) GetSigningAlgorithm() common.PublicKeyDetails {
	return common.PublicKeyDetails_PKIX_ECDSA_P256_SHA_256
}

func (k keypair) GetKeyAlgorithm() string { return "ECDSA" }

func (k keypair) GetPublicKey() crypto.PublicKey { return k.public }

func (k keypair) GetPublicKeyPem() (string, error) { return string(k.pem), nil }

// GetHint names the key, as cosign does: by the digest of its public half.
func (k keypair) GetHint() []byte {
	block, _ := pem.Decode(k.pem)
	sum := sha256.Sum256(block.Bytes)
	return []byte(base64.StdEncoding.EncodeToString(sum[:]))
}

func (k keypair) SignData(ctx context.Context, data []byte) (signature, digest []byte, err error) {
	sum := sha256.Sum256(data)
	signature, err = k.sign(ctx, sum[:])
	return signature, sum[:], err
}

// publicKey reads a public key in PEM.
func publicKey(text string) (*ecdsa.PublicKey, error) {
	parsed, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(strings.TrimSpace(text)))
	if err != nil {
		return nil, errors.New("it is no public key in PEM")
	}
	p, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("it is not a key of ECDSA")
	}
	return p, nil
}
