// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"sigs.k8s.io/steward/internal/ghfake"
	"sigs.k8s.io/steward/internal/job"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/registry"
)

// The project that promotes in the demo: from one staging registry to three mirrors.
const (
	siteStaging  = "us-central1-docker.pkg.dev/example-staging/site"
	siteImages   = "registry.k8s.io/images/staging-site/images.yaml"
	siteManifest = "registry.k8s.io/manifests/staging-site/promoter-manifest.yaml"
	asia         = "asia-east1-docker.pkg.dev"
)

// siteFiles declare it, without images yet.
func siteFiles() map[string]string {
	stores := "registries:\n- {name: " + siteStaging + ", src: true}\n"
	for _, host := range []string{"us-central1-docker.pkg.dev", "europe-west1-docker.pkg.dev", asia} {
		stores += "- name: " + host + "/example-prod/images/site\n"
	}
	return map[string]string{siteManifest: stores, siteImages: "# No images yet\n", "registry.k8s.io/images/staging-site/OWNERS": "approvers:\n- sven\n"}
}

// blob is a part of an image.
type blob struct {
	media   string
	content []byte
}

type part struct {
	MediaType string            `json:"mediaType"`
	Digest    string            `json:"digest"`
	Size      int               `json:"size"`
	Platform  map[string]string `json:"platform,omitempty"`
}

func (b blob) part(platform map[string]string) part {
	return part{b.media, manifest.DigestOf(b.content), len(b.content), platform}
}

const (
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// siteImage is the image that is promoted, the same every time: blobs, the manifests of two platforms, and their index.
func siteImage() (blobs, manifests []blob, index blob) {
	encode := func(media string, v any) blob {
		raw, _ := json.Marshal(v) // of maps and texts
		return blob{media, raw}
	}
	var parts []part
	for _, arch := range []string{"amd64", "arm64"} {
		platform := map[string]string{"os": "linux", "architecture": arch}
		layer := blob{ociLayer, bytes.Repeat([]byte("the web site, for "+arch+"\n"), 40_000)}
		config := encode(ociConfig, map[string]any{"os": "linux", "architecture": arch, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{manifest.DigestOf(layer.content)}}})
		image := encode(ociManifest, map[string]any{"schemaVersion": 2, "mediaType": ociManifest, "config": config.part(nil), "layers": []part{layer.part(nil)}})
		blobs, manifests = append(blobs, layer, config), append(manifests, image)
		parts = append(parts, image.part(platform))
	}
	return blobs, manifests, encode(ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": parts})
}

func siteDigest() string {
	_, _, index := siteImage()
	return manifest.DigestOf(index.content)
}

// address is HOST:PORT of the cloud.
func (c *cloud) address() string { return strings.TrimPrefix(c.at.URL, "http://") }

// pushSite is what a build does: it pushes the image to staging.
func pushSite(ctx context.Context, s *stage) (string, error) {
	reg, err := registry.New(registry.Options{Endpoints: map[string]string{"*": s.cloud.address()}})
	if err != nil {
		return "", err
	}
	const repository = siteStaging + "/web"
	blobs, manifests, index := siteImage()
	for _, b := range blobs {
		_, err := reg.Upload(ctx, repository, manifest.DigestOf(b.content), int64(len(b.content)), "", func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(b.content)), nil
		})
		if err != nil {
			return "", err
		}
	}
	for _, m := range append(manifests, index) {
		if _, err := reg.PutManifest(ctx, repository, manifest.DigestOf(m.content), m.media, m.content); err != nil {
			return "", err
		}
	}
	if _, err := reg.PutManifest(ctx, repository, "v1.0.0", index.media, index.content); err != nil {
		return "", err
	}
	return fmt.Sprintf("a build pushes %s/web:v1.0.0, %s", siteStaging, siteDigest()), nil
}

// export writes the repository as git programs read it, and says where.
func (s *stage) export() (dir string, err error) {
	owner, name, _ := strings.Cut(repo, "/")
	return s.fake.Export(owner, name)
}

// promoteArgs completes the arguments of "steward promote": the repository, the registries, and for a run where its state is.
func (s *stage) promoteArgs(args []string) ([]string, error) {
	dir, err := s.export()
	if err != nil {
		return nil, err
	}
	args = append(args, "--dir", dir, "--rev", "main", "--registry", "*="+s.cloud.address(), "--project", "staging-site")
	if args[1] != "plan" {
		args = append(args, "--artifacts=")
	}
	if args[1] == "run" {
		args = append(args, "--confirm", "--state", "file://"+filepath.Join(s.dir, "promoted"), "--lock-for", "1s")
	}
	return args, nil
}

func siteList(digest, tag string) map[string]string {
	return map[string]string{siteImages: fmt.Sprintf("- name: web\n  dmap:\n    %q: [%q]\n", digest, tag)}
}

// promotion is about what comes into production.
func promotion() []step {
	return []step{
		{title: "A build pushes an image for two platforms to staging.", do: pushSite, answer: []string{siteDigest()}},
		{
			title:   "A pull request declares it for production. The bot shows what staging holds, where it goes, and who may approve.",
			act:     ghfake.Act{As: "rey", Do: "open-pull", Title: "Promote web v1.0.0", Files: siteList(siteDigest(), "v1.0.0")},
			answer:  []string{"site/web", "linux/amd64", "linux/arm64", "no signature", "sven"},
			context: ready(),
		},
		{
			title: "Another one has a digest that nobody has pushed. It could never be promoted, and is held.",
			act: ghfake.Act{As: "rey", Do: "open-pull", Title: "Promote web v1.0.1",
				Files: siteList("sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", "v1.0.1")},
			answer:  []string{"missing", "does not hold the digest"},
			context: but("steward/promote", "failure"),
		},
		{title: "The first one is merged.", act: ghfake.Act{As: "sven", Do: "merge", Number: 6}},
		{title: "What is to be copied now, by whom ever asks.", run: []string{"promote", "plan"}, answer: []string{"site/web:v1.0.0", "to all 3 mirrors"}},
		{
			title:   "One of the mirrors is down.",
			changes: []change{{"oci/change", `[{"down": "` + asia + `", "mode": "write"}]`, "the mirror in Asia takes no writes"}},
		},
		{
			title: "The job that a merge starts: every layer is read once, two mirrors have it, the third did not get it.",
			run:   []string{"promote", "run"}, code: job.Incomplete,
			answer: []string{"staging-site  3        2       1", "PROMOTE-5", asia, "run again"},
		},
		{
			title:   "The mirror is back.",
			changes: []change{{"oci/change", `[{"down": "` + asia + `", "mode": ""}]`, "the mirror in Asia takes writes again"}},
		},
		{
			title: "The next run does what is left, and nothing else.",
			run:   []string{"promote", "run"}, answer: []string{"staging-site  1        1       0", asia + "/example-prod/images"},
		},
		{title: "Production is as declared, on all mirrors.", run: []string{"promote", "check"}, answer: []string{"no findings"}},
		{
			title:  "People may ask for a run where the merge was. Here nobody may start jobs, so it says which one does it, and when.",
			act:    comment("sven", 6, "/infra promote retry staging-site"),
			answer: []string{"Not started", "periodic-steward-promote does what is left by itself, every 24 h"},
		},
	}
}
