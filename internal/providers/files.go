// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"fmt"
	"net/url"

	"sigs.k8s.io/steward/internal/disk"
	"sigs.k8s.io/steward/internal/filestore"
	"sigs.k8s.io/steward/internal/gcs"
	"sigs.k8s.io/steward/internal/s3"
)

// openFiles opens gs://BUCKET/PREFIX/, s3://BUCKET/PREFIX/ or file:///DIR/, with the credentials
// of the environment.
func openFiles(ctx context.Context, base string) (filestore.Store, func() error, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is not gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIR", base)
	}
	nothing := func() error { return nil }
	switch u.Scheme {
	case "gs":
		f, err := gcs.OpenFiles(ctx, u.Host, u.Path)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Close, nil
	case "s3":
		f, err := s3.Open(ctx, u.Host, u.Path)
		return f, nothing, err
	case "file":
		f := disk.OpenFolder(u.Path)
		return f, f.Close, nil
	}
	return nil, nil, fmt.Errorf("%q is not gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIR", base)
}
