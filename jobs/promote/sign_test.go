// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package promote_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/attest"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/signing"
)

// keyPair writes a private key and its public half.
func keyPair(path string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600),
	)
}

func client(r *registries) (*registry.Registry, error) {
	return registry.New(registry.Options{Pace: pace.Options{Rate: 10_000}, Endpoints: map[string]string{"*": r.address()}})
}

// signs signs as somebody else does, in the old layout.
func signs(ts *testscript.TestScript, r *registries, args []string) {
	reg, err := client(r)
	ts.Check(err)
	key, err := signing.KeyFile(ts.MkAbs(args[0]+".key"), secret.String{})
	ts.Check(err)
	payload, err := attest.Payload{Reference: args[3], Digest: args[2]}.Encode()
	ts.Check(err)
	signature, err := key.Sign(context.Background(), payload)
	ts.Check(err)
	ts.Check(attest.PutSignature(context.Background(), reg, args[1], args[2], attest.Signed{Payload: payload, Signature: signature}))
}

// signed counts what a public key proves of an image.
func signed(ts *testscript.TestScript, r *registries, args []string) {
	reg, err := client(r)
	ts.Check(err)
	v, err := signing.ByKey(ts.ReadFile(args[0] + ".pub"))
	ts.Check(err)
	old, err := attest.Signatures(context.Background(), reg, args[1], args[2])
	ts.Check(err)
	ours, count := 0, map[string]int{}
	for _, s := range old {
		if _, err := v.Signature(s.Payload, s.Signature); err == nil {
			ours++
			fmt.Fprintf(ts.Stdout(), "payload %s\n", s.Payload)
		}
	}
	bundles, err := attest.Bundles(context.Background(), reg, args[1], args[2])
	ts.Check(err)
	for _, raw := range bundles {
		if statement, _, err := v.Bundle(raw, args[2]); err == nil {
			kind, err := attest.KindOf(statement, args[2])
			ts.Check(err)
			count[kind]++
			fmt.Fprintf(ts.Stdout(), "statement %s\n", statement)
		}
	}
	fmt.Fprintf(ts.Stdout(), "%d %d %d\n", ours, count[attest.SignatureType], count[attest.PromotionType])
}
