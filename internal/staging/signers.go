// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package staging

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"

	"sigs.k8s.io/steward/internal/manifest"
)

// What is looked at of signatures.
const (
	maxSignatures = 20
	certificate   = "dev.sigstore.cosign/certificate"
	keyed         = "a key"
)

// signers names whom the signatures of an image name: mail addresses and addresses of workflows. That they
// signed is for a job to prove; nil says that no signature was found.
func (c *Client) signers(ctx context.Context, repository, digest string) []string {
	d, err := c.document(ctx, repository, "manifests/"+manifest.DigestTag(digest)+".sig", "")
	if err != nil {
		return nil
	}
	var all []string
	for _, l := range d.Layers[:min(len(d.Layers), maxSignatures)] {
		all = append(all, identity(l.Annotations[certificate]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// identity is the subject of a certificate.
func identity(text string) string {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return keyed
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return keyed
	}
	switch {
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	}
	return keyed
}
