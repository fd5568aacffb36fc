// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package files

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"sigs.k8s.io/steward/internal/blobs"
	"sigs.k8s.io/steward/internal/copier"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/filestore/filestoretest"
	"sigs.k8s.io/steward/internal/manifest"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/internal/s3"
)

// An image of a registry arrives in two S3 buckets as archeio looks for it, with a layer that takes several requests.
func TestBlobs(t *testing.T) {
	gateway(t, "blobs-east", "blobs-west")
	server := httptest.NewServer(ggcr.New(ggcr.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/tools/tool"
	img, layers := largeImage(t)
	ref, err := name.NewTag(repository + ":v1")
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	stores := map[string]filestore.Store{}
	job := copier.Job{Source: repository, Digest: digest.String()}
	for _, bucket := range []string{"blobs-east", "blobs-west"} {
		store, err := s3.Open(t.Context(), bucket, "")
		if err != nil {
			t.Fatal(err)
		}
		stores["s3://"+bucket] = store
		job.Targets = append(job.Targets, copier.Target{Repository: blobs.Name("s3://" + bucket)})
	}
	source, err := registry.New(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := copier.New(source, blobs.New(stores), copier.Options{Dir: t.TempDir(), Attached: true})
	for _, want := range []string{"3 blobs", "0 blobs"} { // the second time it is all there
		for _, o := range c.Copy(t.Context(), []copier.Job{job}, nil) {
			if got := fmt.Sprintf("%d blobs", o.Uploaded); o.Err != nil || got != want {
				t.Errorf("%s: %s, want %s: %v", job.Targets[o.Target].Repository, got, want, o.Err)
			}
		}
	}
	for base, store := range stores {
		for _, layer := range layers {
			id, err := layer.Digest()
			if err != nil {
				t.Fatal(err)
			}
			content, o, err := filestoretest.Get(t.Context(), store, "containers/images/"+id.String())
			if size, _ := layer.Size(); err != nil || o.Size != size || manifest.DigestOf(content) != id.String() {
				t.Errorf("%s: %s has %d bytes with the digest %s: %v", base, id, o.Size, manifest.DigestOf(content), err)
			}
		}
		if body, _, err := filestoretest.Get(t.Context(), store, "geranos/uploaded-images/"+digest.String()); err != nil || manifest.DigestOf(body) != digest.String() {
			t.Errorf("%s: no record: %v", base, err)
		}
	}
}

// largeImage is an image, and what of it are blobs.
func largeImage(t *testing.T) (v1.Image, []v1.Layer) {
	t.Helper()
	img, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	large, err := random.Layer(2*filestore.PieceSize+1000, "application/vnd.docker.image.rootfs.diff.tar.gzip")
	if err == nil {
		img, err = mutate.AppendLayers(img, large)
	}
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := partial.ConfigLayer(img)
	if err != nil {
		t.Fatal(err)
	}
	return img, append(layers, config)
}
