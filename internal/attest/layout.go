// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// The names of both layouts.
const (
	payloadMedia    = "application/vnd.dev.cosign.simplesigning.v1+json"
	bundleMedia     = "application/vnd.dev.sigstore.bundle.v0.3+json"
	manifestMedia   = "application/vnd.oci.image.manifest.v1+json"
	indexMedia      = "application/vnd.oci.image.index.v1+json"
	listMedia       = "application/vnd.docker.distribution.manifest.list.v2+json"
	configMedia     = "application/vnd.oci.image.config.v1+json"
	emptyMedia      = "application/vnd.oci.empty.v1+json"
	rawKey          = "dev.cosignproject.cosign/signature"
	certificateKey  = "dev.sigstore.cosign/certificate"
	chainKey        = "dev.sigstore.cosign/chain"
	logKey          = "dev.sigstore.cosign/bundle"
	contentKey      = "dev.sigstore.bundle.content"
	predicateKey    = "dev.sigstore.bundle.predicateType"
	createdKey      = "org.opencontainers.image.created"
	contentEnvelope = "dsse-envelope"
)

// SignatureTag is where the old layout keeps the signatures of a digest.
func SignatureTag(digest string) string { return manifest.DigestTag(digest) + ".sig" }

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// Signed is a payload with a signature of it.
type Signed struct {
	Payload   []byte
	Signature Signature
}

// Images lists a digest with the manifests of its index: each is signed.
func Images(ctx context.Context, reg copier.Registry, repository, digest string) ([]string, error) {
	body, media, err := reg.Manifest(ctx, repository, digest)
	if err != nil {
		return nil, err
	}
	all := []string{digest}
	if media != indexMedia && media != listMedia {
		return all, nil
	}
	var index struct {
		Manifests []descriptor `json:"manifests"`
	}
	if json.Unmarshal(body, &index) != nil || len(index.Manifests) > maxSignatures {
		return nil, audit.Fail(finding.Malformed, "%s@%s: an index that is not understood, or of more than %d manifests", repository, digest, maxSignatures)
	}
	for _, m := range index.Manifests {
		if !manifest.IsDigest(m.Digest) {
			return nil, audit.Fail(finding.Malformed, "%s@%s: an index that names no digest", repository, digest)
		}
		if !slices.Contains(all, m.Digest) {
			all = append(all, m.Digest)
		}
	}
	return all, nil
}

// gone tells a registry's own word that there is nothing.
func gone(err error) bool {
	return errors.Is(err, manifest.ErrNoManifest) || errors.Is(err, manifest.ErrNoRepository)
}

// old reads the manifest of the old layout; nil where there is none.
func old(ctx context.Context, reg copier.Source, repository, digest string) (*document, error) {
	tag := SignatureTag(digest)
	body, _, err := reg.Manifest(ctx, repository, tag)
	switch {
	case gone(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var d document
	if json.Unmarshal(body, &d) != nil || d.SchemaVersion != 2 || len(d.Layers) > maxListed {
		return nil, audit.Fail(finding.Malformed, "%s:%s: not a list of signatures, or more than %d", repository, tag, maxListed)
	}
	return &d, nil
}

// Signatures returns those of the old layout, the newest that are looked at where there are more. What is no signature of this
// digest is left out.
func Signatures(ctx context.Context, reg copier.Source, repository, digest string) ([]Signed, error) {
	d, err := old(ctx, reg, repository, digest)
	if err != nil || d == nil {
		return nil, err
	}
	var all []Signed
	for _, l := range d.Layers[max(len(d.Layers)-maxSignatures, 0):] {
		raw, err := base64.StdEncoding.DecodeString(l.Annotations[rawKey])
		if err != nil || len(raw) == 0 || l.MediaType != payloadMedia {
			continue
		}
		payload, err := blob(ctx, reg, repository, l, maxPayload)
		if err != nil {
			return nil, err
		}
		if p, err := ParsePayload(payload); err != nil || p.Digest != digest {
			continue
		}
		all = append(all, Signed{payload, Signature{raw, l.Annotations[certificateKey], l.Annotations[chainKey], l.Annotations[logKey]}})
	}
	return all, nil
}

// blob reads a small blob, and proves it.
func blob(ctx context.Context, reg copier.Source, repository string, d descriptor, most int64) ([]byte, error) {
	if d.Size > most || d.Size < 0 || !manifest.IsDigest(d.Digest) {
		return nil, audit.Fail(finding.TooLarge, "%s: a signature of %d bytes", repository, d.Size)
	}
	r, err := reg.Blob(ctx, repository, d.Digest, d.Size)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it is only read
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if manifest.DigestOf(raw) != d.Digest {
		return nil, audit.Fail(finding.Malformed, "%s: the bytes of %s have another digest", repository, d.Digest)
	}
	return raw, nil
}

// Bundles returns the Sigstore bundles that are attached to a digest.
func Bundles(ctx context.Context, reg copier.Source, repository, digest string) ([][]byte, error) {
	referrers, err := reg.Referrers(ctx, repository, digest)
	if err != nil {
		return nil, err
	}
	if len(referrers) > maxSignatures {
		return nil, audit.Fail(finding.TooLarge, "%s@%s: more than %d referrers", repository, digest, maxSignatures)
	}
	var all [][]byte
	for _, r := range referrers {
		body, _, err := reg.Manifest(ctx, repository, r)
		if err != nil {
			return nil, err
		}
		var d document
		if json.Unmarshal(body, &d) != nil || d.Subject == nil || d.Subject.Digest != digest || len(d.Layers) != 1 || d.Layers[0].MediaType != bundleMedia {
			continue // of another kind
		}
		raw, err := blob(ctx, reg, repository, d.Layers[0], maxBundle)
		if err != nil {
			return nil, err
		}
		all = append(all, raw)
	}
	return all, nil
}

// PutSignature adds a signature in the old layout to those that are there.
func PutSignature(ctx context.Context, reg copier.Registry, repository, digest string, s Signed) error {
	d, err := old(ctx, reg, repository, digest)
	if err != nil {
		return err
	}
	if d == nil {
		d = &document{SchemaVersion: 2, MediaType: manifestMedia}
	}
	layer, err := upload(ctx, reg, repository, payloadMedia, s.Payload)
	if err != nil {
		return err
	}
	layer.Annotations = map[string]string{rawKey: base64.StdEncoding.EncodeToString(s.Signature.Raw)}
	for key, value := range map[string]string{certificateKey: s.Signature.Certificate, chainKey: s.Signature.Chain, logKey: s.Signature.Log} {
		if value != "" {
			layer.Annotations[key] = value
		}
	}
	d.Layers = append(d.Layers, layer)
	if d.Config, err = upload(ctx, reg, repository, configMedia, configOf(d.Layers)); err != nil {
		return err
	}
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("signatures: %w", err)
	}
	_, err = reg.PutManifest(ctx, repository, SignatureTag(digest), manifestMedia, body)
	return err
}

// configOf is what clients of images want to see: the layers once more.
func configOf(layers []descriptor) []byte {
	var config struct {
		Architecture string     `json:"architecture"`
		Created      string     `json:"created"`
		OS           string     `json:"os"`
		History      []struct{} `json:"history"`
		Config       struct{}   `json:"config"`
		RootFS       struct {
			Type    string   `json:"type"`
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	config.Created, config.RootFS.Type = "0001-01-01T00:00:00Z", "layers"
	for _, l := range layers {
		config.History = append(config.History, struct{}{})
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest)
	}
	raw, err := json.Marshal(config)
	if err != nil { // of a struct of texts
		return []byte("{}")
	}
	return raw
}

// upload puts a small blob.
func upload(ctx context.Context, reg copier.Registry, repository, media string, content []byte) (descriptor, error) {
	d := descriptor{MediaType: media, Digest: manifest.DigestOf(content), Size: int64(len(content))}
	_, err := reg.Upload(ctx, repository, d.Digest, d.Size, "", func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	return d, err
}

// PutBundle attaches a bundle to a digest.
func PutBundle(ctx context.Context, reg copier.Registry, repository, digest, kind string, bundle []byte) error {
	body, media, err := reg.Manifest(ctx, repository, digest)
	if err != nil {
		return err
	}
	layer, err := upload(ctx, reg, repository, bundleMedia, bundle)
	if err != nil {
		return err
	}
	empty, err := upload(ctx, reg, repository, emptyMedia, []byte("{}"))
	if err != nil {
		return err
	}
	raw, err := json.Marshal(document{
		SchemaVersion: 2, MediaType: manifestMedia, ArtifactType: bundleMedia, Config: empty, Layers: []descriptor{layer},
		Subject:     &descriptor{MediaType: media, Digest: digest, Size: int64(len(body))},
		Annotations: map[string]string{contentKey: contentEnvelope, predicateKey: kind},
	})
	if err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return copier.Attach(ctx, reg, repository, digest, raw, manifestMedia)
}
