// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/api/idtoken"

	"sigs.k8s.io/steward/internal/secret"
	"sigs.k8s.io/steward/internal/settings"
	"sigs.k8s.io/steward/internal/signing"
	"sigs.k8s.io/steward/jobs"
)

// openSigner makes what signs: a key of a file or of key management, or an identity.
func openSigner(ctx context.Context, with jobs.SignWith) (jobs.Signer, error) {
	switch {
	case with.Key == settings.Keyless:
		if with.Config == "" || with.Root == "" {
			return nil, errors.New("keyless needs --signing-config and --trust-root")
		}
		return signing.NewKeyless(signing.KeylessOptions{Config: with.Config, Root: with.Root, Self: identity(with.Self), Token: identityToken(with.TokenFile)})
	case signing.IsKMS(with.Key):
		return signing.KMS(ctx, with.Key)
	}
	password := secret.String{}
	if with.PasswordFile != "" {
		raw, err := os.ReadFile(with.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("password of the key: %w", err)
		}
		password = secret.New(strings.TrimRight(string(raw), "\r\n"))
	}
	return signing.KeyFile(with.Key, password)
}

func identity(i settings.Identity) signing.Identity {
	return signing.Identity{Subject: i.Identity, SubjectRegexp: i.IdentityRegexp, Issuer: i.Issuer, IssuerRegexp: i.IssuerRegexp}
}

// sigstoreAudience is for whom identity tokens are made out.
const sigstoreAudience = "sigstore"

// identityToken reads a token from a file, each time anew, or asks for one in the name of the machine's account.
func identityToken(file string) func(context.Context) (secret.String, error) {
	return func(ctx context.Context) (secret.String, error) {
		if file != "" {
			raw, err := os.ReadFile(file)
			return secret.New(strings.TrimSpace(string(raw))), err
		}
		source, err := idtoken.NewTokenSource(ctx, sigstoreAudience)
		if err != nil {
			return secret.String{}, fmt.Errorf("this machine has no identity: name --identity-token-file: %w", err)
		}
		token, err := source.Token()
		if err != nil {
			return secret.String{}, errors.New("this machine's identity token cannot be had")
		}
		return secret.New(token.AccessToken), nil
	}
}

// openVerifier makes what believes signatures of staging.
func openVerifier(b jobs.Believe) (jobs.Verifier, error) {
	if b.KeyFile != "" {
		raw, err := os.ReadFile(b.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("public key: %w", err)
		}
		return signing.ByKey(string(raw))
	}
	if b.Root == "" {
		return nil, errors.New("identities are proven by a trusted root: name --trust-root")
	}
	root, err := signing.TrustedRoot(b.Root)
	if err != nil {
		return nil, err
	}
	return signing.ByIdentity(root, []signing.Identity{identity(b.Identity)})
}
