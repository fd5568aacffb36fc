// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import "sigs.k8s.io/steward/jobs"

// Promote is what promotion reaches production with.
func Promote() jobs.PromoteAdapters {
	return jobs.PromoteAdapters{Registry: promoteRegistry}
}

// promoteRegistry reaches registries with the credentials of the environment.
func promoteRegistry(r jobs.PromoteReach) (jobs.PromoteRegistry, error) {
	return images(jobs.Reach{Registries: r.Registries, Rate: r.Rate})
}
