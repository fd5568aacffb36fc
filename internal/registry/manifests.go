// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/manifest"
)

// The bounds of a manifest: what the specification asks registries to accept.
const (
	maxManifest  = 4 << 20
	maxManifests = 10_000
)

// accepted are the forms of a manifest, so that a registry converts none.
func accepted() string {
	return strings.Join([]string{
		string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2),
		string(types.DockerManifestList), string(types.DockerManifestSchema1Signed), string(types.DockerManifestSchema1), "*/*",
	}, ", ")
}

// Resolve returns the digest of a tag, or the digest itself if it is there.
// manifest.ErrNoManifest says that the registry does not have it.
func (r *Registry) Resolve(ctx context.Context, repository, reference string) (string, error) {
	repo, err := parse(repository)
	if err != nil {
		return "", err
	}
	if !manifest.IsTag(reference) && !manifest.IsDigest(reference) {
		return "", fmt.Errorf("%q is neither a tag nor a digest", reference)
	}
	return r.resolve(ctx, repo, reference)
}

// resolve asks with HEAD. An answer to that has no code and cannot be checked, so only
// a good one is believed.
func (r *Registry) resolve(ctx context.Context, repo name.Repository, reference string) (string, error) {
	resp, _, err := r.get(ctx, repo.Registry, repo.Scope(pullAction), http.MethodHead, address(repo, reference), accepted())
	if err != nil {
		return "", err
	}
	digest := resp.Header.Get("Docker-Content-Digest")
	if resp.StatusCode != http.StatusOK || !manifest.IsDigest(digest) {
		if _, digest, err = r.fetch(ctx, repo, reference); err != nil {
			return "", err
		}
	}
	if manifest.IsDigest(reference) && digest != reference {
		return "", audit.Fail(finding.Malformed, "%s@%s: answered with another digest", repo, reference)
	}
	return digest, nil
}

// fetch returns a manifest and the digest that its bytes have. A page that somebody puts
// in the place of a manifest has a digest too; it is not taken for one.
func (r *Registry) fetch(ctx context.Context, repo name.Repository, reference string) (c manifest.Content, digest string, err error) {
	body, _, digest, err := r.raw(ctx, repo, reference)
	if err != nil {
		return c, "", err
	}
	if c, err = decode(body); err != nil {
		return c, "", audit.Fail(finding.Malformed, "%s/manifests/%s: %w", repo, reference, err)
	}
	return c, digest, nil
}

func (r *Registry) raw(ctx context.Context, repo name.Repository, reference string) (body []byte, mediaType, digest string, err error) {
	what := repo.String() + "/manifests/" + reference
	resp, body, err := r.get(ctx, repo.Registry, repo.Scope(pullAction), http.MethodGet, address(repo, reference), accepted())
	switch {
	case err != nil:
		return nil, "", "", err
	case resp.StatusCode != http.StatusOK:
		return nil, "", "", refusal(resp, body, what)
	case len(body) > maxManifest:
		return nil, "", "", audit.Fail(finding.TooLarge, "%s has more than %d bytes", what, maxManifest)
	}
	digest = manifest.DigestOf(body)
	if said := resp.Header.Get("Docker-Content-Digest"); said != "" && said != digest {
		return nil, "", "", audit.Fail(finding.Malformed, "%s: the bytes have another digest than the answer says", what)
	}
	return body, resp.Header.Get("Content-Type"), digest, nil
}

// Manifest returns the bytes of a manifest and the media type that the answer names. By a
// digest that is not theirs they are not returned.
func (r *Registry) Manifest(ctx context.Context, repository, reference string) (body []byte, mediaType string, err error) {
	repo, err := parse(repository)
	if err != nil {
		return nil, "", err
	}
	if !manifest.IsTag(reference) && !manifest.IsDigest(reference) {
		return nil, "", fmt.Errorf("%q is neither a tag nor a digest", reference)
	}
	body, mediaType, digest, err := r.raw(ctx, repo, reference)
	if err == nil && manifest.IsDigest(reference) && digest != reference {
		err = audit.Fail(finding.Malformed, "%s@%s: the bytes have another digest", repo, reference)
	}
	if err != nil {
		return nil, "", err
	}
	return body, mediaType, nil
}

// Content returns what a manifest says about others.
func (r *Registry) Content(ctx context.Context, repository, digest string) (manifest.Content, error) {
	repo, err := parse(repository)
	if err != nil {
		return manifest.Content{}, err
	}
	if !manifest.IsDigest(digest) {
		return manifest.Content{}, fmt.Errorf("%q is not a digest", digest)
	}
	content, got, err := r.fetch(ctx, repo, digest)
	if err == nil && got != digest {
		err = audit.Fail(finding.Malformed, "%s@%s: the bytes have another digest", repo, digest)
	}
	if err != nil {
		return manifest.Content{}, err
	}
	return content, nil
}

// How the layout of the tag sha256-HEX.sig keeps a signature: beside what is signed.
const (
	signedPayload = "application/vnd.dev.cosign.simplesigning.v1+json"
	signatureKey  = "dev.cosignproject.cosign/signature"
	maxPayload    = 64 << 10
)

// decode reads an image or an index; what it does not know it leaves aside.
func decode(body []byte) (manifest.Content, error) {
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations"`
	}
	var m struct {
		SchemaVersion int          `json:"schemaVersion"`
		Manifests     []descriptor `json:"manifests"`
		Layers        []descriptor `json:"layers"`
		Subject       *descriptor  `json:"subject"`
	}
	if json.Unmarshal(body, &m) != nil || m.SchemaVersion < 1 || m.SchemaVersion > 2 {
		return manifest.Content{}, errors.New("not a manifest")
	}
	if len(m.Manifests) > maxManifests {
		return manifest.Content{}, fmt.Errorf("an index of more than %d manifests", maxManifests)
	}
	var c manifest.Content
	for _, d := range m.Manifests {
		c.Manifests = append(c.Manifests, d.Digest)
	}
	if m.Subject != nil {
		c.Subject = m.Subject.Digest
	}
	c.Signed = len(m.Layers) > 0 && len(m.Manifests) == 0 && m.Subject == nil && !slices.ContainsFunc(m.Layers, func(d descriptor) bool {
		return d.MediaType != signedPayload || d.Size > maxPayload || d.Annotations[signatureKey] == ""
	})
	return c, nil
}
