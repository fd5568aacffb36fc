// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// account is the user that every image runs as: that of the distroless images, so that people know it.
const account = "65532:65532"

// binDir holds the program, and is first in PATH: jobs call it by its name.
const binDir = "/usr/local/bin"

// built is an image of the table for every platform, in the order of the flag.
type built struct {
	image
	platforms []v1.Platform
	images    []v1.Image
}

func buildAll(ctx context.Context, opts options, all []image, progress io.Writer) ([]built, error) {
	certificates, err := certificates(opts.ca)
	if err != nil {
		return nil, err
	}
	base, err := baseLayer(certificates, opts.created)
	if err != nil {
		return nil, err
	}
	var done []built
	for _, row := range all {
		if row.git && opts.gitBase == "" {
			fmt.Fprintf(progress, "%s is left out: it needs --git-base\n", row.name)
			continue
		}
		b := built{image: row, platforms: opts.platforms}
		for _, platform := range opts.platforms {
			fmt.Fprintf(progress, "building %s for %s\n", row.name, platform)
			img, err := buildImage(ctx, opts, row, platform, base)
			if err != nil {
				return nil, fmt.Errorf("build %s for %s: %w", row.name, platform, err)
			}
			b.images = append(b.images, img)
		}
		done = append(done, b)
	}
	return done, nil
}

func buildImage(ctx context.Context, opts options, row image, platform v1.Platform, base v1.Layer) (v1.Image, error) {
	program, err := compile(ctx, opts, row, platform)
	if err != nil {
		return nil, err
	}
	file := entry{path: path.Join(binDir, path.Base(row.command)), mode: 0o555, content: program}
	if row.git {
		return onBase(ctx, opts, row, platform, file)
	}
	layer, err := layerOf(types.OCILayer, opts.created, file)
	if err != nil {
		return nil, err
	}
	scratch := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return assemble(opts, row, platform, scratch, base, layer)
}

// onBase puts a program on an image that somebody else made; only its layers are taken over.
func onBase(ctx context.Context, opts options, row image, platform v1.Platform, program entry) (v1.Image, error) {
	under, err := pullBase(ctx, opts.gitBase, platform)
	if err != nil {
		return nil, err
	}
	kind, err := under.MediaType()
	if err != nil {
		return nil, err
	}
	layerKind := types.OCILayer
	if kind == types.DockerManifestSchema2 { // a manifest of one kind with layers of the other is refused by some
		layerKind = types.DockerLayer
	}
	layer, err := layerOf(layerKind, opts.created, program)
	if err != nil {
		return nil, err
	}
	return assemble(opts, row, platform, under, layer)
}

// compile builds a static program. The version is stamped by hand, because what Go stamps by itself depends on the
// checkout: its tags, its place and its owner.
func compile(ctx context.Context, opts options, row image, platform v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "steward-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-p", "2", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X sigs.k8s.io/steward/internal/wire/serve.release="+opts.tag, "-o", file, row.command)
	cmd.Dir = opts.root
	// What this machine prefers would show in the digest.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	return os.ReadFile(file)
}

// pullBase reads the manifest of a base; its layers are read when they are pushed or saved.
func pullBase(ctx context.Context, base string, platform v1.Platform) (v1.Image, error) {
	ref, err := name.ParseReference(base)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(platform), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return nil, fmt.Errorf("read base %s: %w", base, err)
	}
	return img, nil
}

// assemble puts layers on an image and replaces its configuration: what a base ran, and as whom, says nothing here.
func assemble(opts options, row image, platform v1.Platform, under v1.Image, layers ...v1.Layer) (v1.Image, error) {
	img := under
	for _, layer := range layers {
		var err error
		add := mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: opts.created}, CreatedBy: "steward images"}}
		if img, err = mutate.Append(img, add); err != nil {
			return nil, err
		}
	}
	below, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config := &v1.ConfigFile{
		OS: platform.OS, Architecture: platform.Architecture, Variant: platform.Variant,
		Created: v1.Time{Time: opts.created}, RootFS: below.RootFS, History: below.History,
	}
	config.Config = v1.Config{
		User:       account,
		Entrypoint: []string{path.Join(binDir, path.Base(row.command))},
		Env:        []string{"PATH=" + binDir + ":/usr/bin:/bin", "HOME=" + home, "SSL_CERT_FILE=" + caFile},
		WorkingDir: home,
		Labels:     labels(opts, row),
	}
	if row.git { // its files are those of the base
		config.Config.Env, config.Config.WorkingDir = config.Config.Env[:1], "/"
	}
	return mutate.ConfigFile(img, config)
}

// labels are those of the OCI annotations that say where an image is from.
func labels(opts options, row image) map[string]string {
	all := map[string]string{
		"org.opencontainers.image.title":    row.title,
		"org.opencontainers.image.source":   "https://sigs.k8s.io/steward",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  opts.tag,
	}
	if opts.revision != "" {
		all["org.opencontainers.image.revision"] = opts.revision
	}
	return all
}

// publish pushes an image, as an index where it has several platforms, and returns what to write into a manifest.
func publish(ctx context.Context, opts options, b built) (string, error) {
	tag, err := opts.reference(b.name)
	if err != nil {
		return "", err
	}
	if opts.push == "" {
		digest, err := b.images[0].Digest()
		return tag.String() + "@" + digest.String(), err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, img := range b.images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &b.platforms[i]}})
	}
	digest, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("push %s: %w", tag, err)
	}
	err = remote.WriteIndex(tag, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", fmt.Errorf("push %s: %w", tag, err)
	}
	return tag.String() + "@" + digest.String(), nil
}

// save writes the images of the first platform into one file.
func save(opts options, all []built) error {
	byTag := map[name.Tag]v1.Image{}
	for _, b := range all {
		tag, err := opts.reference(b.name)
		if err != nil {
			return err
		}
		byTag[tag] = b.images[0]
	}
	if err := tarball.MultiWriteToFile(opts.tarball, byTag); err != nil {
		return fmt.Errorf("write %s: %w", opts.tarball, err)
	}
	return nil
}
