// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package providers turns addresses and flags into adapters. It decides nothing; every
// function fails with what to write instead.
package providers

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/gcs"
	"sigs.k8s.io/steward/internal/state"
)

// OpenState opens file:///DIR or gs://BUCKET/PREFIX. Nobody else on the machine may read
// the directory; who may read a bucket is the bucket's affair.
func OpenState(ctx context.Context, address string) (state.Store, error) {
	return open(ctx, address, disk.Open)
}

// OpenPublic is OpenState for what everybody may read.
func OpenPublic(ctx context.Context, address string) (state.Store, error) {
	return open(ctx, address, disk.OpenPublic)
}

func open(ctx context.Context, address string, directory func(string) (*disk.Store, error)) (state.Store, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%q is not file:///DIR or gs://BUCKET/PREFIX", address)
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
		return directory(u.Path)
	case u.Scheme == "file":
		return nil, fmt.Errorf("%q: write an absolute path, with three slashes: file:///var/lib/steward", address)
	case u.Scheme == "gs" && u.Host != "" && u.RawQuery == "":
		return gcs.Open(ctx, u.Host, u.Path)
	}
	return nil, fmt.Errorf("%q is not file:///DIR or gs://BUCKET/PREFIX", address)
}
