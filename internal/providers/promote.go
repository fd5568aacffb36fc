// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"

	"github.com/google/go-containerregistry/pkg/authn"

	"sigs.k8s.io/steward/internal/gcp"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/registry"
	"sigs.k8s.io/steward/jobs"
)

// Promote is what promotion reaches production with.
func Promote() jobs.PromoteAdapters {
	return jobs.PromoteAdapters{Registry: promoteRegistry, Files: openFiles, OpenSigner: openSigner, OpenVerifier: openVerifier}
}

// promoteRegistry reaches registries with the credentials of the environment: Google's for
// its own, the configuration of Docker for others. A program on this machine gets none of
// Google's.
func promoteRegistry(r jobs.PromoteReach) (jobs.PromoteRegistry, error) {
	opts := registry.Options{
		Pace: pace.Options{Rate: r.Rate}, Quota: registry.GoogleQuota, Keys: authn.DefaultKeychain, Endpoints: r.Registries,
	}
	if len(r.Registries) == 0 {
		if token, err := gcp.WritingCredentials(context.Background()); err == nil {
			opts.Google = token
		}
	} else {
		opts.Quota = 0
	}
	return registry.New(opts)
}
