// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package promote measures what copying a release costs, beside the tools of today: crane, regsync and skopeo.
//
// All copy the same images from one registry to the same mirrors, which are ports of one process that counts.
package promote

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/manifest"
)

// release is images as a release of Kubernetes has them.
type release struct {
	Images, Platforms, Layers int
	LayerSize                 int64
	Mirrors, Prefixes         int
}

// bytes is what one reading of all blobs brings.
func (r release) bytes() int64 {
	return int64(r.Images*r.Platforms*r.Layers) * r.LayerSize
}

// image is one that is to be promoted.
type image struct{ Name, Digest string }

// fill puts a release into the source, in repositories staging/NAME under the tag v1.0.0.
func fill(o *cloudfake.OCI, host string, r release) ([]image, error) {
	var all []image
	seed := uint64(0)
	for n := range r.Images {
		name := fmt.Sprintf("image%02d", n)
		repo := host + "/staging/" + name
		var children []any
		for p := range r.Platforms {
			var layers []any
			for range r.Layers {
				seed++
				digest, err := o.Layer(repo, seed, r.LayerSize)
				if err != nil {
					return nil, err
				}
				layers = append(layers, part("application/vnd.oci.image.layer.v1.tar", digest, r.LayerSize))
			}
			platform := map[string]string{"os": "linux", "architecture": []string{"amd64", "arm64", "ppc64le", "s390x", "arm"}[p%5]}
			config, size, err := document(o, repo, "", map[string]any{"os": "linux", "architecture": platform["architecture"], "n": seed,
				"rootfs": map[string]any{"type": "layers", "diff_ids": []string{}}, "config": map[string]any{}})
			if err != nil {
				return nil, err
			}
			const kind = "application/vnd.oci.image.manifest.v1+json"
			m, size, err := document(o, repo, kind, map[string]any{"schemaVersion": 2, "mediaType": kind,
				"config": part("application/vnd.oci.image.config.v1+json", config, size), "layers": layers})
			if err != nil {
				return nil, err
			}
			child := part(kind, m, size)
			child["platform"] = platform
			children = append(children, child)
		}
		const kind = "application/vnd.oci.image.index.v1+json"
		digest, _, err := document(o, repo, kind, map[string]any{"schemaVersion": 2, "mediaType": kind, "manifests": children}, "v1.0.0")
		if err != nil {
			return nil, err
		}
		all = append(all, image{name, digest})
	}
	return all, nil
}

func part(kind, digest string, size int64) map[string]any {
	return map[string]any{"mediaType": kind, "digest": digest, "size": size}
}

// document puts a manifest into a repository, or, without a media type, a config.
func document(o *cloudfake.OCI, repo, kind string, what map[string]any, tags ...string) (string, int64, error) {
	body, err := json.Marshal(what)
	if err != nil {
		return "", 0, err
	}
	if kind == "" {
		digest, err := o.Blob(repo, body)
		return digest, int64(len(body)), err
	}
	err = o.Change(cloudfake.Change{Put: repo, MediaType: kind, Body: string(body), Tags: tags})
	return manifest.DigestOf(body), int64(len(body)), err
}
