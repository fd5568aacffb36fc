// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"

	"sigs.k8s.io/steward/internal/manifest"
)

// The bounds of what the fake keeps in memory. A larger blob can be one that it makes when it is read (Layer): then an upload of it
// is proven and forgotten.
const (
	maxManifest = 4 << 20
	maxBlob     = 8 << 20
	maxBlobs    = 512 << 20 // all of them
	maxUploads  = 4096      // at once
)

// blob is bytes under a digest, for all registries: what was given, or what is made from a seed.
type blob struct {
	body []byte
	seed uint64
	size int64
}

func (b *blob) open() io.Reader {
	if b.body != nil || b.size == 0 {
		return bytes.NewReader(b.body)
	}
	var key [32]byte
	for i := range 8 {
		key[i] = byte(b.seed >> (8 * i))
	}
	return io.LimitReader(rand.NewChaCha8(key), b.size)
}

// Blob puts bytes into a repository, HOST/PATH, and returns their digest.
func (o *OCI) Blob(repo string, body []byte) (string, error) {
	return o.putBlob(repo, manifest.DigestOf(body), &blob{body: bytes.Clone(body), size: int64(len(body))})
}

// Layer puts a blob of a size into a repository and returns its digest. Its bytes follow from the seed and take no memory.
func (o *OCI) Layer(repo string, seed uint64, size int64) (string, error) {
	b := &blob{seed: seed, size: size}
	sum := sha256.New()
	if _, err := io.Copy(sum, b.open()); err != nil {
		return "", err
	}
	return o.putBlob(repo, "sha256:"+hex.EncodeToString(sum.Sum(nil)), b)
}

func (o *OCI) putBlob(repo, digest string, b *blob) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return digest, o.edit(repo, "", func(r *repository, _ string) error {
		if !o.keep(digest, b) {
			return fmt.Errorf("%s: there is no room for %d bytes", repo, b.size)
		}
		r.blobs[digest] = true
		return nil
	})
}

// keep stores a blob, if there is room for it.
func (o *OCI) keep(digest string, b *blob) bool {
	if o.blobs[digest] != nil {
		return true
	}
	size := int64(len(b.body))
	if size > 0 && o.kept+size > maxBlobs {
		o.forget()
	}
	if size > 0 && o.kept+size > maxBlobs {
		return false
	}
	o.blobs[digest] = b
	o.kept += size
	return true
}

// forget drops blobs that no repository has any more.
func (o *OCI) forget() {
	used := map[string]bool{}
	for _, h := range o.hosts {
		for _, r := range h.repos {
			maps.Copy(used, r.blobs)
		}
	}
	for digest, b := range o.blobs {
		if !used[digest] {
			o.kept -= int64(len(b.body))
			delete(o.blobs, digest)
		}
	}
}

// Any makes every name a registry, without tokens, when something is pushed there.
func (o *OCI) Any() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.any = true
}

// Tags are all tags of all registries: HOST/PATH:TAG to digest.
func (o *OCI) Tags() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]string{}
	for host, h := range o.hosts {
		for path, r := range h.repos {
			for tag, digest := range r.tags {
				all[host+"/"+path+":"+tag] = digest
			}
		}
	}
	return all
}
