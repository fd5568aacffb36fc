// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	home   = "/home/nonroot"
	caFile = "/etc/ssl/certs/ca-certificates.crt"
	uid    = 65532 // as in account
)

// entry is a file of a layer; one without content is a folder. The folders above it are made as they are needed.
type entry struct {
	path    string
	mode    int64
	owner   int
	content []byte
}

// baseLayer is what a static program needs of an operating system: whom to trust, who it is, and where it may write
// a file if somebody mounts no volume. There is no shell, no package manager and no git, and no time zones either,
// because nothing here knows another than UTC.
func baseLayer(certificates []byte, created time.Time) (v1.Layer, error) {
	return layerOf(types.OCILayer, created,
		entry{path: "/etc/passwd", mode: 0o644, content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:" + home + ":/sbin/nologin\n")},
		entry{path: "/etc/group", mode: 0o644, content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		entry{path: caFile, mode: 0o644, content: certificates},
		entry{path: home, mode: 0o700, owner: uid},
		entry{path: "/tmp", mode: 0o1777},
	)
}

// layerOf packs entries in their order, so that the same entries are the same layer.
func layerOf(kind types.MediaType, created time.Time, entries ...entry) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	made := map[string]bool{"/": true}
	for _, e := range entries {
		for _, dir := range parents(e.path) {
			if !made[dir] {
				made[dir] = true
				if err := w.WriteHeader(header(entry{path: dir, mode: 0o755}, created)); err != nil {
					return nil, err
				}
			}
		}
		made[e.path] = true
		if err := w.WriteHeader(header(e, created)); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(kind))
}

func header(e entry, created time.Time) *tar.Header {
	h := &tar.Header{
		Name: strings.TrimPrefix(e.path, "/"), Mode: e.mode, Uid: e.owner, Gid: e.owner,
		Size: int64(len(e.content)), ModTime: created, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR,
	}
	if e.content == nil {
		h.Name, h.Typeflag = h.Name+"/", tar.TypeDir
	}
	return h
}

// parents lists the folders above a path, the topmost first.
func parents(file string) []string {
	var all []string
	for dir := path.Dir(file); dir != "/"; dir = path.Dir(dir) {
		all = append([]string{dir}, all...)
	}
	return all
}

// certificates reads whom to trust, from a file or from where systems keep it. What is in it is looked at: an image
// that trusts nobody would be found out only where it runs.
func certificates(file string) ([]byte, error) {
	files := []string{
		caFile,                             // Debian, Alpine
		"/etc/pki/tls/certs/ca-bundle.crt", // Fedora
		"/etc/ssl/ca-bundle.pem",           // openSUSE
		"/etc/ssl/cert.pem",                // macOS
	}
	if file != "" {
		files = []string{file}
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && file == "" {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read certificates: %w", err)
		}
		if err := trusts(content); err != nil {
			return nil, fmt.Errorf("read certificates %s: %w", name, err)
		}
		return content, nil
	}
	return nil, errors.New("read certificates: this machine has none where others have them: name them with --ca")
}

// trusts refuses what holds no certificate, and what holds anything else: a key in there would be published.
func trusts(content []byte) error {
	if !x509.NewCertPool().AppendCertsFromPEM(content) {
		return errors.New("there is no certificate in it")
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("there is a %s in it", strings.ToLower(block.Type))
		}
	}
	return nil
}
