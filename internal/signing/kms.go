// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

// kmsForm is a version of a key in Google's key management.
var kmsForm = regexp.MustCompile(`^gcpkms://(projects/[a-z0-9:.-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+)(?:/cryptoKeyVersions/|/versions/)([0-9]+)$`)

// IsKMS tells a reference to a key in key management.
func IsKMS(reference string) bool { return strings.Contains(reference, "://") }

// KMS connects with a key: gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N. The key
// never leaves the service, which signs digests; it is asked once for the public half.
func KMS(ctx context.Context, reference string, opts ...option.ClientOption) (*Keyed, error) {
	parts := kmsForm.FindStringSubmatch(reference)
	if parts == nil {
		return nil, fmt.Errorf("key %q: want gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N", reference)
	}
	service, err := cloudkms.NewService(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", reference, err)
	}
	versions, name := service.Projects.Locations.KeyRings.CryptoKeys.CryptoKeyVersions, parts[1]+"/cryptoKeyVersions/"+parts[2]
	answer, err := versions.GetPublicKey(name).Context(ctx).Do()
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", reference, kmsError(err))
	}
	public, err := publicKey(answer.Pem)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", reference, err)
	}
	k, err := newKey(public, func(ctx context.Context, digest []byte) ([]byte, error) {
		signed, err := versions.AsymmetricSign(name, &cloudkms.AsymmetricSignRequest{
			Digest: &cloudkms.Digest{Sha256: base64.StdEncoding.EncodeToString(digest)},
		}).Context(ctx).Do()
		if err != nil {
			return nil, kmsError(err)
		}
		return base64.StdEncoding.DecodeString(signed.Signature)
	})
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", reference, err)
	}
	return &Keyed{k}, nil
}

// kmsError leaves out what the server wrote.
func kmsError(err error) error {
	var answer *googleapi.Error
	if errors.As(err, &answer) {
		return fmt.Errorf("key management answers %d", answer.Code)
	}
	return err
}
